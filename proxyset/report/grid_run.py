"""A grid from its cells to its rows: what is there stays, what is missing is done, a kill loses nothing finished."""

import contextlib
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import model_validator

from proxyset.claims import Claim
from proxyset.compute.parallel import Pool, run_jobs
from proxyset.errors import InputError
from proxyset.files import append_line, drop_torn_line, remove_leftovers, write_atomic
from proxyset.folders import claim_folder, mark, read_marker
from proxyset.parsing import Schema, checksummed, read_bytes, read_row, read_rows
from proxyset.progress import Progress
from proxyset.report.grid_cell import GridCell
from proxyset.report.grid_file import GridFile
from proxyset.report.grid_jobs import Bench, Job, Row

KIND = "grid"
FACTS, ROWS = "grid.json", "rows.jsonl"
SECTIONS = {
    "datasets": "dataset",
    "methods": "method",
    "tests": "test",
    "exceptions": "exception",
    "data": "content of",
}
"""What decides the scores, by name in each section, and what a message calls it."""
Facts = dict[str, dict[str, Any]]
TABLES = ("results.parquet", "results.csv", "table.md", "table.tex", "table.html")


class Kept(Schema):
    """What a row of the file holds."""

    key: str
    score: bool
    error: str | None
    file: str | None = None
    seconds: float | None = None
    bytes: int | None = None
    peak_memory_bytes: int | None = None
    accuracies: list[float] | None = None
    settings: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _scores_or_error(self) -> "Kept":
        if self.score and self.error is None and not self.accuracies:
            raise ValueError("a score has accuracies or an error")
        return self


class GridFolder:
    """Where a grid is kept: its settings, a line for every finished job, its sets and its tables."""

    def __init__(self, path: Path, claim: Claim | None = None) -> None:
        self.path, self.claim = path, claim

    @property
    def sets(self) -> Path:
        return self.path / "sets"

    def check(self, facts: Facts) -> None:
        """Hold what is to run against what began here, if anything did. Nothing is written.

        Raises:
            InputError: a dataset, method or test of the same name was another one; a file is damaged.
        """
        before = self._facts()
        changed = [
            f"{words} {name!r}"
            for section, words in SECTIONS.items()
            for name, value in facts[section].items()
            if before.get(section, {}).get(name, value) != value
        ]
        if changed:
            raise InputError(
                f"{str(self.path)!r} began with another {', '.join(changed)}: `force=True` scores everything anew, "
                "`out` names another place"
            )

    def begin(self, facts: Facts, over: bool) -> None:
        """Begin, or go on with what `check` has let pass.

        Args:
            over: score everything anew. Sets stay: they are found by what they are made of.
        """
        if self.claim is not None and not read_marker(self.path):
            mark(self.claim, KIND)
        if over:
            for name in (ROWS, *TABLES, FACTS):
                (self.path / name).unlink(missing_ok=True)
        before = self._facts()
        both = {section: before.get(section, {}) | facts[section] for section in SECTIONS}
        write_atomic(self.path / FACTS, f"{checksummed(both)}\n".encode())
        drop_torn_line(self.path / ROWS)

    def _facts(self) -> dict[str, Any]:
        path = self.path / FACTS
        if not path.exists():
            return {}
        facts, sealed = read_row(bytes(read_bytes(path)), repr(str(path)))
        if not sealed or not all(isinstance(facts.get(section, {}), dict) for section in SECTIONS):
            raise InputError(f"{str(path)!r} was changed after it was written: it holds no settings of a grid")
        return facts

    def rows(self) -> dict[str, Row]:
        """What came of the finished jobs, by key, the last of several. A last line that was cut short is passed over.

        Raises:
            InputError: another line is damaged or was changed.
        """
        path = self.path / ROWS
        return {row["key"]: row for row in read_rows(path, Kept)} if path.exists() else {}

    def append(self, row: Row) -> None:
        append_line(self.path / ROWS, checksummed(row))


@contextlib.contextmanager
def claim_grid(path: Path, *, force: bool = False, resume: bool = False) -> Iterator[GridFolder]:
    """The folder of a grid, for this process alone.

    Raises:
        InputError: it is not free, holds something else, cannot be written, or another process works in it.
    """
    hint = f"`resume=True` goes on, `force=True` starts over, `out` names another place ({shlex.quote(str(path))})"
    with claim_folder(path, kind=KIND, force=force, resume=resume, hint=hint) as claim:
        for name in (FACTS, ROWS, *TABLES):
            remove_leftovers(claim.path / name)
        yield GridFolder(claim.path, claim)


@dataclass(frozen=True)
class Plan:
    """The jobs of a grid that are still to do.

    Attributes:
        sets: one for every set that is missing, or has no row yet.
        scores: one for every cell without a score.
        cells: all cells but those that are left out.
        skipped: those.
    """

    sets: list[Job]
    scores: list[Job]
    cells: list[GridCell]
    skipped: list[GridCell]


def plan(grid: GridFile, done: dict[str, Row], bench: Bench) -> Plan:
    """What is still to do. Failed jobs are tried again, because what they failed for may have changed."""
    cells = grid.cells()
    kept = [cell for cell in cells if cell.skip is None]
    finished = {key for key, row in done.items() if row["error"] is None}
    scores = [Job(cell, True) for cell in kept if cell.key not in finished or _changed(cell, done[cell.key])]
    wanted = {job.cell.set_key: job.cell for job in scores}
    names: dict[Any, list[str]] = {}  # of sets by their files, because two names may mean the same set
    for name, cell in wanted.items():
        place = _place(bench, cell)
        if place is not None and not (place.exists() and name in finished):
            names.setdefault(place, []).append(name)
    sets = [Job(wanted[first], False, tuple(others)) for first, *others in names.values()]
    return Plan(sets, scores, kept, [cell for cell in cells if cell.skip is not None])


def _changed(cell: GridCell, row: Row) -> bool:
    """Whether it was scored with other settings; rows of earlier versions do not say theirs."""
    settings = row.get("settings")
    return settings is not None and settings != cell.shown()


def _place(bench: Bench, cell: GridCell) -> Path | None:
    """Where a cell's set is, or will be; None where it needs none.

    Settings that cannot work with the images give a place of their own: the job's row will say why.
    """
    try:
        return bench.path(cell) if bench.needs_set(cell) else None
    except Exception:
        return Path(cell.set_key)


def facts_of(grid: GridFile, bench: Bench) -> Facts:
    """What decides the scores: settings, and the content of the datasets.

    Raises:
        InputError: a dataset cannot be read; there is no such device.
    """
    bench.session  # noqa: B018 (refuses a device that is not there)
    data = {name: [bench.dataset(name).sha256, bench.dataset(name).test_sha256] for name in grid.datasets}
    return grid.deciding() | {"data": data}


def carry_out(
    todo: Plan, folder: GridFolder, bench: Bench, pool: Pool, progress: Progress, tell: Callable[[Row], None]
) -> dict[str, Row]:
    """Do all jobs, sets before scores, and keep a row of each.

    Args:
        bench: what does the jobs where they run in this process.
        progress: is told how many of all jobs are done.
        tell: is given every row as it comes.

    Returns:
        All rows of the grid by key.

    Raises:
        RunError: Ray died; what is finished is kept.
    """
    done, total = 0, len(todo.sets) + len(todo.scores)
    make: Callable[[], Callable[[Job], Row]] = partial(Bench, bench.grid, bench.places, bench.compute)
    if pool.in_process:
        make = lambda: bench  # noqa: E731 (it has read the datasets)

    def keep(row: Row) -> None:
        nonlocal done
        folder.append(row)
        tell(row)
        done += 1
        progress(done, total)

    failed: dict[str, str] = {}

    def built(number: int, row: Row) -> None:
        names = row["key"], *todo.sets[number].also
        for name in names[1:]:
            folder.append(row | {"key": name})
        failed.update(dict.fromkeys(names, row["error"]) if row["error"] is not None else {})
        keep(row)

    if todo.sets:
        run_jobs(make, todo.sets, pool, built, _lost)
    for job in todo.scores:
        if job.cell.set_key in failed:
            keep(_lost(job, failed[job.cell.set_key]))
    ready = [job for job in todo.scores if job.cell.set_key not in failed]
    if ready:
        run_jobs(make, ready, pool, lambda number, row: keep(row), _lost)
    return folder.rows()


def _lost(job: Job, why: str) -> Row:
    """The row of a job that could not be done."""
    return {"key": job.key, "score": job.score, "error": why}
