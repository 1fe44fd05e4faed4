"""The trials of a search, spread over this process, worker processes of this machine, or a cluster."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from proxyset.compute.dispatch import Assignment
from proxyset.compute.parallel import Pool, spread_jobs, stream_jobs
from proxyset.compute.session import Session
from proxyset.settings import Compute
from search.placement import Placement
from search.trial import Job, Row, TrialContext, Workbench, row_of

OnRow = Callable[[Row, int], None]


@dataclass(frozen=True)
class MakeBench:
    """Makes what runs trials in a worker process. The images in the context are read where Ray keeps them."""

    context: TrialContext
    compute: Compute

    def __call__(self) -> Callable[[Job], Row]:
        return Workbench(self.context, Session(self.compute)).run


def run_trials(jobs: Sequence[Job], context: TrialContext, placement: Placement, on_row: OnRow) -> None:
    """Run the jobs, and call `on_row` in this process with each finished row and the number of calls still running.

    The images go to Ray's object store once; workers read them there without copies. Short trials share a call. Rows
    are handed on and not kept. Ray is started if it is not running in this process, and stopped again.

    Raises:
        InputError: no such cluster, or no machine in it that has what a trial needs.
        RunError: Ray died on this machine, or gave up. What `on_row` raises ends the trials.
    """

    def lost(job: Job, why: str) -> Row:
        return row_of(job, context, None, why, 0.0)

    def hand_on(number: int, row: Row, running: int) -> None:
        on_row(row, running)

    make = MakeBench(context, placement.compute)
    if placement.here:
        bench = Workbench(context, placement.session)
        stream_jobs(Assignment(lambda: bench.run, jobs, hand_on), Pool())
    else:
        assignment = Assignment(make, jobs, hand_on, lost, kind=lambda job: job.source)
        spread_jobs(assignment, placement.pool_for(context.nbytes))
