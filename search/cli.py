"""The `search` command: run, report (the others: `search.use`). Heavy imports wait until a command needs them."""

import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from proxyset.cli.app import run, say

if TYPE_CHECKING:
    from proxyset.data.spec import Dataset
    from search.commands import RunSettings
    from search.folder import Record, RunFolder
    from search.preparation import Search
    from search.trial import Row

REPORT = "search report"  # in the marker of a folder with a report and no run


def main(argv: list[str] | None = None) -> NoReturn:
    commands = {
        "run": ("rank architectures on proxy sets and check the ranking", "search.cli:run_command"),
        "report": ("write a run's tables and figures again, from its files", "search.cli:report_command"),
        "export": ("write a network that a run keeps, for use without this toolkit", "search.use:export_command"),
        "predict": ("classify pictures with a network that a run keeps", "search.use:predict_command"),
    }
    run("search", "Rank many networks on a few images per class, and say how far to trust it.", commands, argv)


def run_command(argv: list[str]) -> None:
    from search.folder import claim_run

    command, resumed = read(argv)
    with claim_run(command.folder, force=command.output.force, resume=resumed) as folder:
        with rows_logged(command, folder):
            carry_out(command, folder)
        report(folder.record(), folder.path, command.output.as_json)
        say(f"{folder.path}")


@contextmanager
def rows_logged(command: "RunSettings", folder: "RunFolder") -> Iterator[None]:
    """Pass the score of every trial on to the loggers that are wanted, under the name of what ranks."""
    from proxyset.loggers import Subject, logging_to
    from search.commands import stored

    with logging_to(command.output.log_to, Subject(folder.path.name, folder.path.parent, stored(command))) as log:
        trials = count(1 if command.output.force else len(folder.rows()) + 1)

        def tell(row: "Row") -> None:
            if row["score"] is not None:
                log({f"score by {row['source']}": row["score"], "seconds": row["seconds"]}, next(trials))

        folder.on_row = tell
        yield


def carry_out(command: "RunSettings", folder: "RunFolder") -> None:
    """Check everything, then begin the run, or go on with it; what a user got wrong leaves nothing behind."""
    from proxyset.compute.session import Session
    from proxyset.errors import InputError, RunError, interruptible
    from search import driver
    from search.commands import stored
    from search.placement import place_by_flags
    from search.places import NEW, Begun
    from search.preparation import Display, prepare
    from search.sources.proxies import MissingProxy
    from search.within import Limit, limited

    placement = place_by_flags(command.execution, Session(command.compute))
    within, begins = command.limit.within, time.monotonic()
    if not command.output.force:
        folder.check_settings(stored(command), driver.MAY_CHANGE)
    dataset = load_data(command)
    display = Display(progress=True, say=say)
    begun = NEW if command.output.force else Begun.of(folder)

    def prepared() -> "Search":
        asked = command.rankings.proxy, command.space, command.ranking
        return prepare(dataset, *asked, placement, display, begun=begun)

    try:
        search = prepared()
        if within is not None:
            ends = begins + within
            command, keeping = fit(command, search, ends, folder)
            search = replace(prepared(), limit=Limit(time.time() + ends - time.monotonic(), keeping))
    except MissingProxy as error:
        raise InputError(f"{error} --data-root {shlex.quote(str(command.data.data_root))}") from None
    try:
        with interruptible():
            driver.carry_out(search, folder, stored(command) | limited(within), over=command.output.force)
    except RunError as error:
        raise RunError(f"{error}; to go on: {resume_command(command, folder)}") from None
    except KeyboardInterrupt as stop:
        if not folder.begun or str(stop):
            raise
        raise KeyboardInterrupt(f"interrupted; to go on: {resume_command(command, folder)}") from None


def load_data(command: "RunSettings") -> "Dataset":
    """The images of a run.

    Raises:
        InputError: as `load`; where those of a run that goes on have moved, with what to do.
    """
    from proxyset.data.hub import is_hub_name
    from proxyset.data.load import NAMES, load
    from proxyset.errors import InputError
    from proxyset.files import in_full

    place = command.data.dataset
    try:
        return load(place, **command.data.choices())
    except InputError as error:
        if (
            command.output.resume is None
            or place in NAMES
            or is_hub_name(place)
            or os.path.exists(in_full(Path(place)))
        ):
            raise
        raise InputError(f"{error}; `dataset=PATH` names the place where it lies now") from None


def fit(command: "RunSettings", search: "Search", ends: float, folder: "RunFolder") -> tuple["RunSettings", float]:
    """The command with as much work as fits into what is left of its time, and the seconds that networks to keep will
    take. A run that has begun keeps what it began with.

    Args:
        ends: when its time is up, by `time.monotonic()`.

    Raises:
        InputError: not even the least fits.
    """
    from proxyset.cli.options import change
    from search.finals import read_finals
    from search.sources.proxies import seconds_to_build
    from search.within import choose_within, seconds_to_keep

    if folder.begun and not command.output.force:
        return command, seconds_to_keep(search, max(0.0, ends - time.monotonic()), len(read_finals(folder.path)))
    building = seconds_to_build(search.plan.proxies, search.placement.session)
    choice = choose_within(search, ends - time.monotonic(), building)
    say(str(choice))
    return change(command, **choice.settings), choice.seconds["networks to keep"]


def resume_command(command: "RunSettings", folder: "RunFolder") -> str:
    """The words that go on with a run."""
    from search.commands import code_of, stored

    trust = " --trust" if code_of(stored(command)) else ""
    return f"search run --resume {shlex.quote(str(folder.path))}{trust}"


def read(argv: Sequence[str]) -> tuple["RunSettings", bool]:
    """The settings of a run with nothing left open, and whether it is one to go on with.

    Raises:
        InputError: bad settings, or --resume names no run, or one whose code is not trusted.
    """
    from proxyset.cli.options import change, peek
    from proxyset.cli.parse import parse
    from proxyset.errors import InputError
    from search.commands import RunSettings, code_of, resolve
    from search.folder import RunFolder
    from search.places import found_again

    resume = peek(argv, "resume")
    if resume is None:
        command = resolve(parse(RunSettings, argv, "search run"))
        command.ranking  # noqa: B018 (refuses what its groups allow one by one)
        return command, False
    wrong = next((f"--{name}" for name in ("config", "out", "force") if f"--{name}" in _names(argv)), None)
    if wrong is not None:
        raise InputError(f"--resume takes the settings and the folder of its run: leave out {wrong}")
    folder = RunFolder.open(Path(resume))
    before = found_again(folder)
    for name, others in {"workers": ("address", "max_concurrent"), "address": ("workers",)}.items():
        if f"--{name}" in _names(argv):
            before = {key: value for key, value in before.items() if key not in others}
    command = resolve(parse(RunSettings, argv, "search run", stored=before))
    code = code_of(before)
    if code and not command.output.trust:
        raise InputError(f"{resume!r} names code that would be run: {', '.join(code)}; if you trust it: `trust=True`")
    return change(command, out=folder.path), True


def _names(argv: Sequence[str]) -> set[str]:
    """The flags among the words."""
    return {word.split("=")[0] for word in argv}


def report_command(argv: list[str]) -> None:
    from proxyset.cli.parse import parse
    from proxyset.cli.report import open_if
    from proxyset.errors import InputError
    from proxyset.folders import claim_folder, mark
    from search.commands import ReportSettings
    from search.folder import RunFolder, claim_run

    command = parse(ReportSettings, argv, "search report")
    if command.run == Path():
        raise InputError("no run given: search report RUN")
    record, out = RunFolder.open(command.run).record(), command.output.out
    if out is None or (out.exists() and out.samefile(command.run)):
        with claim_run(command.run, resume=True) as folder:
            report(record, folder.path, command.output.as_json)
        open_if(command.output, command.run)
        return
    with claim_folder(out, kind=REPORT, force=command.output.force) as claim:
        mark(claim, REPORT)
        report(record, claim.path, command.output.as_json)
    open_if(command.output, out)


def report(record: "Record", out: Path, as_json: bool) -> None:
    """Write the result files and print the tables; with `as_json` the summary on stdout, and the tables on stderr."""
    import json

    from rich.console import Console

    from search.page import save_run_page
    from search.report import without_nan, write_report
    from search.tables import print_summary

    summary, figures = write_report(record, out)
    figures = [*figures, save_run_page(record, summary, out)]
    print_summary(summary, Console(stderr=as_json), record.path)
    if as_json:
        print(json.dumps(without_nan(summary), indent=1))
    for path in figures:
        say(str(path))


if __name__ == "__main__":
    main(sys.argv[1:])
