"""`proxyset grid`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationInfo, field_validator

from proxyset.cli.app import say
from proxyset.cli.messages import again
from proxyset.cli.options import ConfiguredCommand, DataRoot, Output
from proxyset.cli.parse import parse
from proxyset.errors import InputError, RunError, interruptible
from proxyset.report.grid_file import GridFile
from proxyset.settings import ClusterAddress, Compute, Settings

if TYPE_CHECKING:
    from proxyset.compute.parallel import Pool
    from proxyset.report.grid_jobs import Bench, Places, Row
    from proxyset.report.grid_run import GridFolder, Plan

GRIDS = Path("grids")


class Found(DataRoot):
    """Where the datasets are."""

    place: tuple[str, ...] = Field(
        (), title="NAME=PATH ...", description="datasets of the grid that lie elsewhere than its file says"
    )

    @field_validator("place")
    @classmethod
    def _pairs(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            name, equals, path = text.partition("=")
            if not (name and equals and path):
                raise ValueError(f"must be NAME=PATH, such as cifar10=data/cifar10, got {text!r}")
        return value

    def pairs(self) -> tuple[tuple[str, str], ...]:
        return tuple((text.partition("=")[0], text.partition("=")[2]) for text in self.place)


class Workers(Settings):
    """Where the jobs run."""

    workers: int = Field(1, ge=1, le=1024, description="jobs at once on this machine, with Ray where there are several")
    address: ClusterAddress | None = Field(None, description="a running Ray cluster: auto, or host:port")
    cpus_per_job: int = Field(1, ge=1, description="cores, and torch threads, of a job in a worker")
    gpus_per_job: float = Field(0.0, ge=0, description="GPU share of a job, such as 0.25")
    retries: int = Field(2, ge=0, description="how often a job is started again after its worker died")

    @field_validator("address")
    @classmethod
    def _one_place(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("workers", 1) != 1:
            raise ValueError("`workers` is for this machine; a cluster takes as many jobs as fit")
        return value

    def pool(self) -> Pool:
        from proxyset.compute.parallel import Pool

        workers = None if self.address is not None else self.workers
        return Pool(workers, self.address, self.cpus_per_job, self.gpus_per_job, self.retries)


class GridOutput(Output):
    """What is written."""

    out: Path | None = Field(None, description="the grid's folder (default: grids/NAME of the file)")
    resume: bool = Field(False, description="go on where an interrupted grid stopped; finished jobs are kept")
    dry_run: bool = Field(False, description="say what there is to do and how long it will take, and do nothing")


class Grid(ConfiguredCommand):
    """Build and score datasets × methods × sizes × seeds × networks, and lay them out as a table."""

    examples = (
        "proxyset grid --config configs/grid/digits.yaml --dry-run",
        "proxyset grid --config configs/grid/digits.yaml --workers 2",
        "proxyset grid --config configs/grid/digits.yaml --resume",
    )

    grid: GridFile = Field(GridFile.model_construct(), title="what is compared")
    found: Found = Field(Found(), title="where the datasets are")
    jobs: Workers = Field(Workers(), title="where the jobs run")
    compute: Compute = Field(Compute(), title="how it is computed")
    output: GridOutput = Field(GridOutput(), title="output")


def grid_command(argv: list[str]) -> None:
    command = parse(Grid, argv, "proxyset grid")
    if not (command.grid.datasets and command.grid.methods):
        raise InputError("no grid given: `config` names the YAML file that says what is compared")
    command.grid.check()
    for name, _ in command.found.pairs():
        if name not in command.grid.datasets:
            raise InputError(f"`place={name}=…`: the grid has no dataset of that name")
    if command.output.force and command.output.resume:
        raise InputError("`force` scores everything anew, `resume` keeps what is there: leave out one")
    from proxyset.report.grid_jobs import Bench
    from proxyset.report.grid_run import GridFolder, claim_grid, facts_of, plan

    path = (command.output.out or GRIDS / (command.config.stem if command.config else "grid")).absolute()
    bench = Bench(command.grid, _places(command, path), command.compute)
    if command.output.dry_run:
        folder = GridFolder(path)
        if not command.output.force:
            folder.check(facts_of(command.grid, bench))
        _announce(command, plan(command.grid, {} if command.output.force else folder.rows(), bench), bench)
        return
    with claim_grid(path, force=command.output.force, resume=command.output.resume) as folder:
        facts = facts_of(command.grid, bench)
        if not command.output.force:
            folder.check(facts)
        todo = plan(command.grid, {} if command.output.force else folder.rows(), bench)
        _announce(command, todo, bench)
        folder.begin(facts, over=command.output.force)
        words = again("proxyset grid", argv, force=command.output.force)
        try:
            with interruptible():
                _work(command, todo, folder, bench)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"interrupted; to go on: {words}") from None
        except RunError as error:
            raise RunError(f"{error}; to go on: {words}") from None


def _places(command: Grid, path: Path) -> Places:
    """Where everything is, in full: workers may have another working folder."""
    from proxyset.data.hub import is_hub_name
    from proxyset.data.load import NAMES
    from proxyset.files import in_full
    from proxyset.report.grid_jobs import Places

    def located(place: str) -> str:
        known, found = place in NAMES or is_hub_name(place), in_full(Path(place))  # names come first, as in `load`
        return str(found) if not known and found.exists() else place

    wanted = {name: choice.dataset for name, choice in command.grid.datasets.items()} | dict(command.found.pairs())
    full = {name: located(place) for name, place in wanted.items()}
    return Places(path / "sets", in_full(command.found.data_root), tuple(full.items()))


def _announce(command: Grid, todo: Plan, bench: Bench) -> None:
    """How many jobs there are, how many are done, and what the others will take."""
    from proxyset.compute.threads import threads
    from proxyset.progress import duration, size
    from proxyset.report.grid_estimate import forecast

    missing = [job for job in todo.sets if not bench.is_built(job.cell)]
    jobs = [*missing, *todo.scores]
    left = f", {len(todo.skipped)} left out" if todo.skipped else ""
    say(
        f"{len(todo.cells)} cells{left}: {len(todo.cells) - len(todo.scores)} are there; "
        f"{len(missing)} sets to build, {len(todo.scores)} cells to score"
    )
    if not jobs:
        return
    workers, pool = command.jobs.workers, command.jobs.pool()
    with threads(None if pool.in_process else pool.cpus):  # as the workers do
        found = forecast(jobs, bench)
    spread = f", {duration(found.spread(workers))} on {workers} workers" if workers > 1 else ""
    say(f"estimated: {duration(found.seconds)} one after another{spread}, {size(found.memory)} of memory for a job")
    say(f"the longest: {found.name}, {duration(found.longest)}")
    for name, why in found.wrong.items():
        say(f"will fail: {name}: {why}")


def _work(command: Grid, todo: Plan, folder: GridFolder, bench: Bench) -> None:
    from proxyset.progress import ProgressLine
    from proxyset.report.grid_run import carry_out
    from proxyset.report.grid_tables import write_tables

    line = ProgressLine("jobs")

    def tell(row: Row) -> None:
        if row["error"] is not None:
            line.close()
            say(f"failed: {row['key']}: {row['error']}")

    try:
        rows = carry_out(todo, folder, bench, command.jobs.pool(), line, tell)
    finally:
        line.close()
    cells = [*todo.cells, *todo.skipped]
    order = {cell.key: number for number, cell in enumerate(command.grid.cells())}
    files = write_tables(command.grid, sorted(cells, key=lambda cell: order[cell.key]), rows, folder.path)
    if command.output.as_json:
        print(json.dumps(_result(rows)))
    for path in files:
        say(str(path))


def _result(rows: dict[str, Row]) -> list[dict[str, Any]]:
    return [row for row in rows.values() if row["score"]]
