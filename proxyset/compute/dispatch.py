"""Jobs handed to workers of Ray: short ones several at a time; workers that die are replaced, new machines are used."""

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import torch

from proxyset.errors import InputError, RunError
from proxyset.registry import describe

J = TypeVar("J")
R = TypeVar("R")
R_contra = TypeVar("R_contra", contravariant=True)
MakeWorker = Callable[[], Callable[[J], R]]
"""Makes what does the jobs, once in every process that works; must be picklable."""

CALL_SECONDS = 1.0  # of work in one call, against which the 2 ms that a call costs are nothing
MOST_JOBS = 1000  # in one call, so that what it answers stays small
LOOK_SECONDS = 5.0  # between two looks at how many workers there is room for
FAILED_STARTS = 5  # of workers in a row, after which another would fail as well
ONE_AT_A_TIME = math.inf  # seconds that a job is taken for while nothing is known of its kind


class Enough(RunError):
    """No further job should begin. Those that run are finished, and what they give is handed on."""


class OnResult(Protocol[R_contra]):
    def __call__(self, number: int, result: R_contra, running: int, /) -> None:
        """
        Args:
            number: of the job.
            running: calls that are still at work.

        Raises:
            Enough: the work ends with this error if any job is left then; any other error ends it at once.
        """


@dataclass(frozen=True)
class Assignment(Generic[J, R]):
    """What is to be done.

    Attributes:
        on_result: is called in this process with every result, as they come; nothing else keeps it.
        on_lost: gives the result of a job whose worker died too often, from what happened, so that the others go on.
        kind: jobs of one kind take about as long, so that short ones can share a call (None: a call for every job).
    """

    make_worker: "MakeWorker[J, R]"
    jobs: Sequence[J]
    on_result: OnResult[R]
    on_lost: Callable[[J, str], R] | None = None
    kind: Callable[[J], Hashable] | None = None


class _Actor(Generic[J, R]):
    """What runs in a worker process. The worker is made with the first job, so that its errors are that job's."""

    def __init__(self, make_worker: "MakeWorker[J, R]", threads: int) -> None:
        torch.set_num_threads(threads)
        self.make_worker = make_worker
        self.worker: Callable[[J], R] | None = None

    def ready(self) -> None:
        """Answers once the process has started."""

    def run(self, jobs: Sequence[J]) -> list[tuple[R, float]]:
        """The results and seconds of the jobs; only of those before one that raises, unless that is the first."""
        if self.worker is None:
            self.worker = self.make_worker()
        done: list[tuple[R, float]] = []
        for job in jobs:
            started = time.monotonic()
            try:
                result = self.worker(job)
            except Exception:
                if not done:
                    raise
                break
            done.append((result, time.monotonic() - started))
        return done


@dataclass
class Dispatcher(Generic[J, R]):
    """Hands jobs to Ray actors. What it holds does not grow with the results.

    Attributes:
        cpus, gpus: of each worker.
        retries: how often a job is started again after its worker died.
        room: how many workers there is room for now.
    """

    work: Assignment[J, R]
    cpus: int
    gpus: float
    retries: int
    room: Callable[[], int]

    waiting: "deque[int]" = field(init=False)
    idle: list[Any] = field(default_factory=list, init=False)
    starting: dict[Any, Any] = field(default_factory=dict, init=False)
    running: dict[Any, tuple[list[int], Any]] = field(default_factory=dict, init=False)
    deaths: "Counter[int]" = field(default_factory=Counter, init=False)
    seconds: dict[Hashable, float] = field(default_factory=dict, init=False)
    failed_starts: int = field(default=0, init=False)
    looked: float = field(default=-math.inf, init=False)
    enough: Enough | None = field(default=None, init=False)
    dropped: int = field(default=0, init=False)

    def run(self) -> None:
        """Do all jobs, on the Ray that runs in this process.

        Raises:
            InputError, RunError: as the jobs raise them; RunError also where a job's worker died once more than
                `retries`, workers cannot start, or a job raised anything else.
            Enough: see `OnResult`.
        """
        import ray

        self.waiting = deque(range(len(self.work.jobs)))
        self.shared = ray.put(self.work.make_worker)
        try:
            while self.waiting or self.running:
                if time.monotonic() - self.looked > LOOK_SECONDS or not self.living:
                    self._start_workers(max(1, self.room()))
                    self.looked = time.monotonic()
                self._hand_out()
                ready, _ = ray.wait([*self.running, *self.starting], num_returns=1, timeout=LOOK_SECONDS)
                for answer in ready:
                    self._started(answer) if answer in self.starting else self._answered(answer)
        finally:
            for actor in [*self.idle, *self.starting.values(), *(actor for _, actor in self.running.values())]:
                ray.kill(actor)
        if self.enough is not None and self.dropped:
            raise self.enough

    @property
    def living(self) -> int:
        """Workers that are there, or on their way."""
        return len(self.idle) + len(self.starting) + len(self.running)

    def _start_workers(self, room: int) -> None:
        import ray

        actor = ray.remote(num_cpus=self.cpus, num_gpus=self.gpus)(_Actor)
        for _ in range(min(room - self.living, len(self.waiting) - len(self.idle) - len(self.starting))):
            handle: Any = actor.remote(self.shared, self.cpus)
            self.starting[handle.ready.remote()] = handle

    def _started(self, answer: Any) -> None:
        """A worker has started, or could not."""
        import ray

        actor = self.starting.pop(answer)
        try:
            ray.get(answer)
        except ray.exceptions.RayError as error:
            self.failed_starts += 1
            if self.failed_starts >= FAILED_STARTS:
                raise RunError(f"workers cannot start: {describe(error)[:500]}") from None
        else:
            self.failed_starts = 0
            self.idle.append(actor)

    def _hand_out(self) -> None:
        while self.waiting and self.idle:
            numbers, actor = self._next_jobs(), self.idle.pop()
            self.running[actor.run.remote([self.work.jobs[number] for number in numbers])] = numbers, actor

    def _next_jobs(self) -> list[int]:
        """The jobs of one call: about a second of work, at most an even share of what is left.

        A job that was in a call whose worker died is alone in its next call, so that only it is to blame.
        """
        share = min(MOST_JOBS, math.ceil(len(self.waiting) / self.living))
        numbers, seconds = [self.waiting.popleft()], 0.0
        while self.waiting and len(numbers) < share:
            seconds += self._expected(numbers[-1])
            if seconds + self._expected(self.waiting[0]) > CALL_SECONDS:
                break
            numbers.append(self.waiting.popleft())
        return numbers

    def _expected(self, number: int) -> float:
        """Seconds that a job will take, by those of its kind before."""
        if self.work.kind is None or self.deaths[number]:
            return ONE_AT_A_TIME
        return self.seconds.get(self.work.kind(self.work.jobs[number]), ONE_AT_A_TIME)

    def _answered(self, answer: Any) -> None:
        """A call has ended, in results, in an error, or in its worker's death."""
        import ray

        numbers, actor = self.running.pop(answer)
        try:
            done = ray.get(answer)
        except ray.exceptions.RayTaskError as error:
            raise _as_ours(error.cause) from None
        except ray.exceptions.RayError:  # the worker, or its machine, is gone
            self._died(numbers)
            return
        self.idle.append(actor)
        self._again(numbers[len(done) :])
        for number, (result, seconds) in zip(numbers, done, strict=False):
            self._learn(number, seconds)
            self._hand_on(number, result)

    def _hand_on(self, number: int, result: R) -> None:
        try:
            self.work.on_result(number, result, len(self.running))
        except Enough as enough:
            self.enough = enough
            self.dropped += len(self.waiting)
            self.waiting.clear()

    def _again(self, numbers: list[int]) -> None:
        """Jobs that are to be begun once more, before the others."""
        if self.enough is None:
            self.waiting.extendleft(reversed(numbers))
        else:
            self.dropped += len(numbers)

    def _learn(self, number: int, seconds: float) -> None:
        if self.work.kind is not None:
            kind = self.work.kind(self.work.jobs[number])
            self.seconds[kind] = (self.seconds.get(kind, seconds) + seconds) / 2

    def _died(self, numbers: list[int]) -> None:
        """Start the jobs of a call again, but for one that was alone in it and has had its share of workers."""
        self.looked = -math.inf  # another worker takes its place at once
        self.deaths.update(numbers)
        first = numbers[0]
        if len(numbers) > 1 or self.deaths[first] <= self.retries:
            self._again(numbers)
            return
        words = f"the worker died {self.deaths[first]} times (out of memory, killed, or its machine went away)"
        if self.work.on_lost is None:
            where = f"job {first + 1} of {len(self.work.jobs)}"
            raise RunError(f"{where}: {words}; with `workers=1` it runs in this process")
        self._hand_on(first, self.work.on_lost(self.work.jobs[first], words))


def _as_ours(cause: Any) -> Exception:
    """What a job raised in a worker, as an error that this process can show."""
    if isinstance(cause, InputError | RunError):
        return cause
    return RunError(f"a job failed: {describe(cause)}; with `workers=1` it runs in this process and shows more")
