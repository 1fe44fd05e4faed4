"""A grid from its cells to its rows: what is there stays, what is missing is done, a kill loses nothing finished."""

import contextlib
import json
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from proxyset.claims import Claim
from proxyset.compute.parallel import Pool, run_jobs
from proxyset.errors import InputError
from proxyset.files import append_line, remove_leftovers, write_atomic
from proxyset.folders import claim_folder, mark, read_marker
from proxyset.parsing import Schema, checksummed, read_bytes, read_row, read_rows
from proxyset.progress import Progress
from proxyset.report.grid_file import Cell, GridFile
from proxyset.report.grid_jobs import Bench, Job, Places, Row
from proxyset.settings import Compute

KIND = "grid"
CONFIG, ROWS = "grid.json", "rows.jsonl"
TABLES = ("results.parquet", "results.csv", "table.md", "table.tex", "table.html")


class Kept(Schema):
    """What a row of the file holds."""

    key: str
    score: bool
    error: str | None = None
    file: str | None = None
    seconds: float | None = None
    bytes: int | None = None
    peak_memory_bytes: int | None = None
    accuracies: list[float] | None = None


class GridFolder:
    """Where a grid is kept: its settings, a line for every finished job, its sets and its tables."""

    def __init__(self, path: Path, claim: Claim | None = None) -> None:
        self.path, self.claim = path, claim

    @property
    def sets(self) -> Path:
        return self.path / "sets"

    def begin(self, grid: GridFile, over: bool) -> None:
        """Begin, or go on with what the same grid began.

        Raises:
            InputError: another grid began here; a file is damaged.
        """
        config = json.loads(grid.model_dump_json())
        if self.claim is not None and not read_marker(self.path):
            mark(self.claim, KIND)
        if over:
            for name in (ROWS, *TABLES, CONFIG):
                (self.path / name).unlink(missing_ok=True)
        path = self.path / CONFIG
        if path.exists():
            before, _ = read_row(bytes(read_bytes(path)), repr(str(path)))
            changed = [name for name in config if before.get(name) != config[name]]
            if changed:
                raise InputError(
                    f"{str(self.path)!r} began with other {', '.join(changed)}: `force=True` starts over, `out` names "
                    "another place"
                )
        else:
            write_atomic(path, f"{checksummed(config)}\n".encode())
        self._drop_torn_row()

    def rows(self) -> dict[str, Row]:
        """What came of the finished jobs, by key, the last of several. A last line that was cut short is passed over.

        Raises:
            InputError: another line is damaged or was changed.
        """
        path = self.path / ROWS
        return {row["key"]: row for row in read_rows(path, Kept)} if path.exists() else {}

    def append(self, row: Row) -> None:
        append_line(self.path / ROWS, checksummed(row))

    def _drop_torn_row(self) -> None:
        path = self.path / ROWS
        if path.exists():
            data = read_bytes(path)
            whole = data.rfind(b"\n") + 1
            if whole < len(data):
                write_atomic(path, bytes(data[:whole]))


@contextlib.contextmanager
def claim_grid(path: Path, *, force: bool = False, resume: bool = False) -> Iterator[GridFolder]:
    """The folder of a grid, for this process alone.

    Raises:
        InputError: it is not free, holds something else, cannot be written, or another process works in it.
    """
    hint = f"`resume=True` goes on, `force=True` starts over, `out` names another place ({shlex.quote(str(path))})"
    with claim_folder(path, kind=KIND, force=force, resume=resume, hint=hint) as claim:
        for name in (CONFIG, ROWS, *TABLES):
            remove_leftovers(claim.path / name)
        yield GridFolder(claim.path, claim)


@dataclass(frozen=True)
class Plan:
    """The jobs of a grid that are still to do.

    Attributes:
        sets: one for every set that is missing.
        scores: one for every cell without a score.
        cells: all cells but those that are left out.
        skipped: those.
    """

    sets: list[Job]
    scores: list[Job]
    cells: list[Cell]
    skipped: list[Cell]


def plan(grid: GridFile, done: dict[str, Row], bench: Bench) -> Plan:
    """What is still to do. Failed jobs are tried again, because what they failed for may have changed.

    Raises:
        InputError: a dataset cannot be read; there is no such device.
    """
    bench.session  # noqa: B018 (refuses a device that is not there)
    for name in grid.datasets:
        bench.dataset(name)
    cells = grid.cells()
    kept = [cell for cell in cells if cell.skip is None]
    finished = {key for key, row in done.items() if row["error"] is None}
    scores = [Job(cell, True) for cell in kept if cell.key not in finished]
    first = {job.cell.set_key: job.cell for job in scores}
    sets = [Job(cell, False) for cell in first.values() if bench.needs_set(cell) and not _there(bench, cell)]
    return Plan(sets, scores, kept, [cell for cell in cells if cell.skip is not None])


def _there(bench: Bench, cell: Cell) -> bool:
    """Whether a cell's set is built; one that cannot be is left to its job, whose row says why."""
    try:
        return bench.is_built(cell)
    except InputError:
        return False


def carry_out(
    grid: GridFile,
    todo: Plan,
    folder: GridFolder,
    places: Places,
    compute: Compute,
    pool: Pool,
    progress: Progress,
    tell: Callable[[Row], None] = lambda row: None,
) -> dict[str, Row]:
    """Do all jobs, sets before scores, and keep a row of each.

    Args:
        progress: is told how many of all jobs are done.
        tell: is given every row as it comes.

    Returns:
        All rows of the grid by key.

    Raises:
        RunError: Ray died, or a worker kept dying; what is finished is kept.
    """
    done, total = 0, len(todo.sets) + len(todo.scores)
    make: Callable[[], Callable[[Job], Row]] = partial(Bench, grid, places, compute)

    def keep(row: Row) -> None:
        nonlocal done
        folder.append(row)
        tell(row)
        done += 1
        progress(done, total)

    failed: dict[str, str] = {}
    for row in run_jobs(make, todo.sets, pool, lambda number, row: keep(row)) if todo.sets else ():
        if row["error"] is not None:
            failed[row["key"]] = row["error"]
    ready = [job for job in todo.scores if job.cell.set_key not in failed]
    for job in todo.scores:
        if job.cell.set_key in failed:
            keep({"key": job.key, "score": True, "error": failed[job.cell.set_key]})
    if ready:
        run_jobs(make, ready, pool, lambda number, row: keep(row))
    return folder.rows()
