"""What a grid will take, from a few timed steps of each kind of job."""

from collections.abc import Sequence
from dataclasses import dataclass

from proxyset.compute.plan import Estimate
from proxyset.errors import interruptible
from proxyset.report.grid_jobs import Bench, Job, explained


@dataclass(frozen=True)
class Forecast:
    """
    Attributes:
        seconds: of all jobs, one after another.
        longest: seconds of the longest job.
        name: of that job.
        memory: bytes of the job that needs most.
        wrong: what is known to fail, by job.
    """

    seconds: float
    longest: float
    name: str
    memory: int
    wrong: dict[str, str]

    def spread(self, workers: int) -> float:
        """Seconds on some workers, at best."""
        return max(self.longest, self.seconds / workers)


def forecast(jobs: Sequence[Job], bench: Bench) -> Forecast:
    """Time and memory of jobs. Those that differ in nothing but their seed are timed once."""
    known: dict[tuple[object, ...], Estimate] = {}
    wrong: dict[str, str] = {}
    found: list[tuple[float, int, str]] = []
    for job in jobs:
        cell = job.cell
        alike = (job.score, cell.dataset, cell.method, cell.ipc, repr(cell.settings))
        kind = (*alike, cell.test, cell.net) if job.score else alike
        try:
            if kind not in known:
                with interruptible():
                    known[kind] = bench.estimate(job)
        except Exception as error:  # also of a method or network of the user's own: the job's row will say it
            wrong[job.key] = explained(error)
            continue
        found.append((known[kind].seconds, known[kind].memory, job.key))
    longest = max(found, default=(0.0, 0, ""))
    memory = max((each[1] for each in found), default=0)
    return Forecast(sum(each[0] for each in found), longest[0], longest[2], memory, wrong)
