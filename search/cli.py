"""The `search` command: run, report. Heavy imports wait until a command needs them."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from proxyset.cli.app import run, say

if TYPE_CHECKING:
    from search.commands import RunSettings
    from search.folder import RunFolder


def main(argv: list[str] | None = None) -> NoReturn:
    commands = {
        "run": ("rank architectures on proxy sets and check the ranking", "search.cli:run_command"),
        "report": ("write a run's tables and figures again, from its files", "search.cli:report_command"),
    }
    run("search", "Rank many networks on a few images per class, and say how far to trust it.", commands, argv)


def run_command(argv: list[str]) -> None:
    from search.folder import RunFolder

    command, resumed = read(argv)
    folder = RunFolder(command.folder)
    if not resumed:
        folder.check_usable()
        if not command.output.force:
            folder.check_free()
    carry_out(command, folder)
    report(folder, folder.path, command.output.as_json)
    say(f"{folder.path}")


def carry_out(command: "RunSettings", folder: "RunFolder") -> None:
    """Check everything, then begin the run, or go on with it; what a user got wrong leaves nothing behind."""
    from proxyset.compute.session import Session
    from proxyset.data.load import load
    from proxyset.errors import InputError
    from search import driver
    from search.commands import stored
    from search.placement import place_by_flags
    from search.sources.proxies import MissingProxy

    placement = place_by_flags(command.execution, Session(command.compute))
    dataset = load(command.data.dataset, **command.data.choices())
    display = driver.Display(progress=True, say=say)
    try:
        search = driver.prepare(dataset, command.rankings.proxy, command.space, command.ranking, placement, display)
    except MissingProxy as error:
        raise InputError(f"{error} --data-root {shlex.quote(str(command.data.data_root))}") from None
    if command.output.force and command.output.resume is None:
        folder.clear()
    try:
        driver.carry_out(search, folder, stored(command))
    except KeyboardInterrupt:
        again = f"search run --resume {shlex.quote(str(folder.path))}"
        raise KeyboardInterrupt(f"interrupted; to go on: {again}") from None


def read(argv: Sequence[str]) -> tuple["RunSettings", bool]:
    """The settings of a run with nothing left open, and whether it is one to go on with.

    Raises:
        InputError: bad settings, or --resume names no run.
    """
    from proxyset.cli.options import change, peek
    from proxyset.cli.parse import parse
    from proxyset.errors import InputError
    from search.commands import RunSettings, resolve
    from search.folder import CONFIG, RunFolder

    resume = peek(argv, "resume")
    if resume is None:
        return resolve(parse(RunSettings, argv, "search run")), False
    folder = RunFolder.open(Path(resume))
    if peek(argv, "config") is not None:
        raise InputError("--resume takes the settings of its run: leave out --config")
    command = resolve(parse(RunSettings, ["--config", str(folder.path / CONFIG), *argv], "search run"))
    return change(command, out=folder.path), True


def report_command(argv: list[str]) -> None:
    from proxyset.cli.parse import parse
    from proxyset.errors import InputError
    from search.commands import ReportSettings
    from search.folder import RunFolder

    command = parse(ReportSettings, argv, "search report")
    if command.run == Path():
        raise InputError("no run given: search report RUN")
    folder = RunFolder.open(command.run)
    report(folder, command.out or folder.path, command.form.as_json)


def report(folder: "RunFolder", out: Path, as_json: bool) -> None:
    """Write the result files and print the tables; with `as_json` the summary on stdout, and the tables on stderr."""
    import json

    from rich.console import Console

    from search.report import without_nan, write_report
    from search.tables import print_summary

    summary, figures = write_report(folder, out)
    print_summary(summary, Console(stderr=as_json))
    if as_json:
        print(json.dumps(without_nan(summary), indent=1))
    for path in figures:
        say(str(path))


if __name__ == "__main__":
    main(sys.argv[1:])
