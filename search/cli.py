"""The `search` command: run, report. Heavy imports wait until a command needs them."""

import sys
from typing import NoReturn

from proxyset.config import run


def main(argv: list[str] | None = None) -> NoReturn:
    commands = {
        "run": ("rank architectures on proxy sets and check the ranking", run_command),
        "report": ("draw a run's tables and pictures again, from its files", report_command),
    }
    run("search", "Rank many networks on a few images per class, and say how far to trust it.", commands, argv)


def run_command(argv: list[str]) -> None:
    from search.run import run_command

    run_command(argv)


def report_command(argv: list[str]) -> None:
    from search.run import report_command

    report_command(argv)


if __name__ == "__main__":
    main(sys.argv[1:])
