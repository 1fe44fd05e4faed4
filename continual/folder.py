"""The folders of runs, comparisons and reports: claimed before any work, recognised, begun, and cleared. Light."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from proxyset.artefact.outputs import is_checkpoint
from proxyset.claims import Claim
from proxyset.errors import InputError
from proxyset.files import remove_empty, remove_leftovers
from proxyset.folders import MARKER, claim_folder, mark, read_marker

RUN, COMPARISON, REPORT = "continual run", "continual comparison", "continual report"
"""Kinds of folders, as their markers have them."""

STATE, RESULTS, SUMMARY = "state.safetensors", "results.json", "summary.json"
TABLE, MATRIX, MEMORY, CURVES, TRACE = "results.csv", "matrix.png", "memory.png", "curves.png", "trace.png"
PAGE = "report.html"
FILES = {
    RUN: (STATE, RESULTS, TABLE, MATRIX, MEMORY, TRACE, PAGE),
    COMPARISON: (SUMMARY, TABLE, CURVES, PAGE),
    REPORT: (SUMMARY, TABLE, CURVES, MATRIX, TRACE, PAGE),
}
"""What is written into each kind of folder."""
HINT = "`resume=True` goes on, `force=True` starts over, `out` names another place"


def claim(path: Path, kind: str, *, force: bool = False, resume: bool = False) -> Claim:
    """Claim a folder for what is written there, before any work.

    Raises:
        InputError: something is there that is not of this kind; or it is, and neither `force` nor `resume`; another
            process is writing it.
    """
    claimed = claim_folder(
        path, kind=kind, force=force, resume=resume, made_by_us=lambda folder: holds(folder) == kind, hint=HINT
    )
    for name in FILES[kind]:
        remove_leftovers(claimed.path / name)
    return claimed


@contextlib.contextmanager
def begun(claimed: Claim, kind: str, *, force: bool = False) -> Iterator[Path]:
    """The claimed folder with its marker, ready to be written. What comes to nothing leaves nothing.

    Args:
        force: remove what an earlier run or comparison wrote there, and nothing else.
    """
    if force:
        clear(claimed.path, kind)
    mark(claimed, kind)
    try:
        yield claimed.path
    except BaseException:
        if os.listdir(claimed.path) == [MARKER]:  # the claim removes a folder that it made
            (claimed.path / MARKER).unlink()
        raise


def clear(folder: Path, kind: str) -> None:
    """Remove what was written into such a folder; of a comparison also its runs. What else is there stays."""
    for name in FILES[kind]:
        (folder / name).unlink(missing_ok=True)
    if kind == COMPARISON and folder.exists():
        for run in _folders(folder):
            if holds(run) == RUN:
                clear(run, RUN)
                (run / MARKER).unlink(missing_ok=True)
                remove_empty([run])


def holds(folder: Path) -> str | None:
    """The kind of a folder that `continual` made: by its marker, or, of older versions, by its files."""
    kind = read_marker(folder).get("kind")
    if kind is not None:
        return kind if kind in FILES else None
    with contextlib.suppress(OSError):
        return _held_of_old(folder)
    return None


def _held_of_old(folder: Path) -> str | None:
    """The kind of a folder without a marker that holds nothing but what older versions wrote."""
    entries = [Path(entry) for entry in os.scandir(folder) if not entry.name.startswith(".")]
    folders = _folders(folder)
    files = {entry.name for entry in entries} - {entry.name for entry in folders}
    if not folders and files <= set(FILES[RUN]):
        return RUN if _is_results(folder / RESULTS) or is_checkpoint(folder / STATE) else None
    kinds = {holds(run) for run in folders if os.listdir(run)}  # a run that was just begun is empty
    return COMPARISON if files <= set(FILES[COMPARISON]) and kinds == {RUN} else None


def _folders(folder: Path) -> list[Path]:
    return [Path(entry) for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith(".")]


def _is_results(path: Path) -> bool:
    """Whether a file holds the results of a run. What is wrong with them is said when they are read."""
    from continual.results import read_result

    try:
        read_result(path)
    except InputError:
        return False
    return True
