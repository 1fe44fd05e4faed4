"""The `continual` command."""

import sys


def main() -> None:
    sys.exit("continual: not built yet")
