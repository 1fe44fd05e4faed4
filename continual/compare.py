"""Several memories, with and without distillation, over several seeds: one run for each, in turn or in parallel."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from continual.api import StreamRun, learn_stream
from continual.choose import check_settings, folder_name, settings_of
from continual.estimate import Estimate, seconds_to_learn
from continual.folder import RUN, claim
from continual.loading import make_stream, read_data
from continual.results import StreamResult
from continual.schemes.registry import scheme_class
from continual.settings import Budget, Learning, StreamChoice, TaskTraining
from continual.stream import Stream
from continual.trainer import Trainer
from proxyset.compute.parallel import Pool, run_jobs
from proxyset.compute.session import Session
from proxyset.data.spec import Dataset
from proxyset.errors import InputError, RunError
from proxyset.progress import Progress
from proxyset.settings import Compute

Distils = Literal["both", "with", "without"]


@dataclass(frozen=True)
class Common:
    """What all runs of a comparison share: everything but the memory, the distillation and the seed."""

    folder: Path
    stream: StreamChoice = field(default_factory=StreamChoice)
    budget: Budget = field(default_factory=Budget)
    training: TaskTraining = field(default_factory=TaskTraining)
    compute: Compute = field(default_factory=Compute)
    data_root: Path = Path("data")


@dataclass(frozen=True)
class Cell:
    """One run of a comparison, and everything it takes to do it in another process."""

    memory: str
    kd: bool
    seed: int
    common: Common

    @property
    def path(self) -> Path:
        """The folder of the run."""
        return self.common.folder / f"{folder_name(self.memory)}{'-kd' if self.kd else ''}-seed{self.seed}"

    @property
    def learning(self) -> Learning:
        return Learning(**self.common.training.model_dump(), kd=self.kd)

    @property
    def budget(self) -> Budget:
        """The budget, with those of the settings that the memory has."""
        budget = self.common.budget
        return budget.model_copy(update={"memory_settings": settings_of(self.memory, budget.memory_settings)})

    def prepare(self, stream: Stream, session: Session, *, resume: bool = False) -> StreamRun:
        """The run, checked, and with `resume` with what an earlier process finished of it.

        Raises:
            InputError: anything that would fail later.
        """
        run = StreamRun(Trainer(stream, self.learning, seed=self.seed, session=session), self.memory, self.budget)
        if self.path.exists():
            with claim(self.path, RUN, resume=True):
                if resume:
                    run.restore(self.path)
        return run

    def run(self, stream: Stream, session: Session) -> StreamResult:
        """Do it, going on from the state in its folder where there is one.

        Raises:
            RunError: the training diverged, or the disk is full; the message says which run it was.
        """
        choices = self.memory, self.budget, self.learning
        try:
            return learn_stream(stream, *choices, seed=self.seed, session=session, folder=self.path, progress=False)
        except RunError as error:
            raise RunError(f"{self.memory}{' + KD' * self.kd}, seed {self.seed}: {error}") from None


class Streams:
    """The streams of one comparison: its data is read once, and only an order of classes depends on the seed.

    Args:
        progress: see `proxyset.progress.shown`; for images that take long to decode.
    """

    def __init__(self, progress: Progress | bool = False) -> None:
        self.progress = progress
        self._data: list[Dataset] | None = None
        self._latest: tuple[int | None, Stream] | None = None

    def of(self, cell: Cell) -> Stream:
        """The stream of a cell."""
        choice = cell.common.stream
        if self._data is None:
            self._data = read_data(choice, data_root=cell.common.data_root, progress=self.progress)
        seed = None if choice.tasks or choice.class_order else cell.seed
        if self._latest is None or self._latest[0] != seed:
            self._latest = None  # the earlier one may go before the next one comes
            self._latest = seed, make_stream(self._data, choice, seed=cell.seed)
        return self._latest[1]


def make_cells(memories: Sequence[str], seeds: Sequence[int], kd: Distils, common: Common) -> list[Cell]:
    """A cell for every memory, with and without distillation as `kd` says, and every seed.

    Schemes whose networks start afresh after each task run without distillation only. Each memory takes those of
    `memory_settings` that it has.

    Raises:
        InputError: two memories of one name, or none; a setting that none of them has.
    """
    check_settings(common.budget.memory_settings, memories)
    wanted = {"both": (False, True), "with": (True,), "without": (False,)}[kd]
    cells = [
        Cell(memory, distils, seed, common)
        for memory in dict.fromkeys(memories)
        for distils in (wanted if scheme_class(common.training.scheme, memory).distils else (False,))
        for seed in dict.fromkeys(seeds)
    ]
    if not cells:
        raise InputError("nothing to compare: give at least one `memory` and one of `seeds`")
    if len({cell.path for cell in cells}) < len(cells):
        raise InputError(
            "two of the memories have the same name, which is that of their folder: rename a file, or a class"
        )
    return cells


def check_cells(
    cells: Sequence[Cell],
    session: Session,
    *,
    resume: bool = False,
    streams: Streams | None = None,
    on_run: Callable[[StreamRun], None] | None = None,
) -> tuple[Estimate, int]:
    """See that every cell can work, and estimate them all.

    Args:
        streams: what makes them of the data (None: one of its own).
        resume: count what earlier processes finished.
        on_run: called with the run of every cell.

    Returns:
        What it will take to do all runs one after another, and how many tasks are finished.

    Raises:
        InputError: a cell that cannot work, or whose state is damaged or of other work.
    """
    making: dict[tuple[str, int], float] = {}
    learning, finished = 0.0, 0
    known: dict[tuple[str, bool, int], float] = {}  # seconds to learn, which are the same for every seed
    streams = streams or Streams()
    for seed in dict.fromkeys(cell.seed for cell in cells):
        of_seed = [cell for cell in cells if cell.seed == seed]
        stream = streams.of(of_seed[0])
        for cell in of_seed:
            run = cell.prepare(stream, session, resume=resume)
            if on_run is not None:
                on_run(run)
            key = cell.memory, cell.kd, run.finished
            if key not in known:
                known[key] = seconds_to_learn(run.scheme, run.finished)
            to_make = run.scheme.memory.estimate(run.finished)  # some seeds' memories may be there already
            making[cell.memory, seed] = max(to_make, making.get((cell.memory, seed), 0.0))
            learning += known[key]
            finished += run.finished
    return Estimate(sum(making.values()), learning), finished


Job = list[Cell]
"""Cells with the same memory and seed, without distillation first: what it condenses is then there for the other."""


class Worker:
    """Does cells in one process, which compiles and measures a network once, and reads the data once."""

    def __init__(self, compute: Compute, streams: Streams) -> None:
        self.session = Session(compute)
        self.streams = streams

    def __call__(self, job: Job) -> list[StreamResult]:
        return [cell.run(self.streams.of(cell), self.session) for cell in job]


@dataclass(frozen=True)
class MakeWorker:
    """Makes a `Worker`, in whichever process."""

    compute: Compute
    streams: Streams = field(default_factory=Streams)

    def __call__(self) -> Worker:
        return Worker(self.compute, self.streams)


def group(cells: Sequence[Cell]) -> list[list[int]]:
    """The numbers of the cells, those with the same memory and seed together, without distillation first."""
    groups: dict[tuple[str, int], list[int]] = {}
    for number in sorted(range(len(cells)), key=lambda number: cells[number].kd):
        groups.setdefault((cells[number].memory, cells[number].seed), []).append(number)
    return list(groups.values())


def run_cells(
    cells: Sequence[Cell],
    pool: Pool | None = None,
    on_result: Callable[[int, StreamResult], None] | None = None,
    streams: Streams | None = None,
) -> list[StreamResult]:
    """The results of all cells, in their order. Cells with the same memory and seed run in one process.

    Args:
        pool: where they run (None: in this process, one after another).
        on_result: called with the number of a cell and its result, as they come.
        streams: those of `check_cells`, whose data need not be read again in this process.

    Raises:
        InputError, RunError: as the runs raise them.
    """
    numbers, pool = group(cells), pool or Pool()
    make = MakeWorker(cells[0].common.compute)
    if streams is not None and pool.in_process:
        make = replace(make, streams=streams)
    results: dict[int, StreamResult] = {}

    def collect(job: int, done: list[StreamResult]) -> None:
        for number, result in zip(numbers[job], done, strict=True):
            results[number] = result
            if on_result is not None:
                on_result(number, result)

    jobs = [[cells[number] for number in group] for group in numbers]
    run_jobs(make, jobs, pool, collect, _lost)
    return [results[number] for number in range(len(cells))]


def _lost(job: Job, words: str) -> list[StreamResult]:
    """What to say of a job whose worker died too often. There is no result without it, so the others end too.

    Raises:
        RunError: always.
    """
    with_kd = " (with or without distillation)" if len(job) > 1 else " + KD" * job[0].kd
    raise RunError(
        f"{job[0].memory}{with_kd}, seed {job[0].seed}: {words}; finished tasks are kept: `resume=True` with fewer "
        "`workers` goes on"
    )
