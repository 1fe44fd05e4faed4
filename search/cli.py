"""The `search` command."""

import sys


def main() -> None:
    sys.exit("search: not built yet")
