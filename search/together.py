"""The stage of a search in which architectures are halved on the whole set, for as long as the proxy search took."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from proxyset.compute.parallel import Pool, workers_that_fit
from proxyset.compute.ray_environment import prepare_ray
from proxyset.errors import RunError
from search.placement import Placement
from search.sources.base import Source
from search.sources.halving import Rung
from search.sources.trained import AGAIN, TRUTH
from search.trial import Job, Row, TrialContext, Workbench, row_of


def budget(rows: Sequence[Row], context: TrialContext, placement: Placement) -> tuple[str, float]:
    """Whose time the halving gets, and how many seconds: what the first proxy took, building and trials.

    Raises:
        RunError: no source has trained anything, so there is no time to be given.
    """
    for source in context.sources.values():
        ranking = _ranking(source)
        alike = {name for name, one in context.sources.items() if _ranking(one) == ranking}  # rungs of a halving
        spent = sum(row["seconds"] for row in rows if row["source"] in alike)
        if spent and _is_proxy(source):
            return ranking, source.seconds + spent / _at_once(placement)
    raise RunError("asha gets the time of the first proxy that trains, and none has: name one, such as random")


def _at_once(placement: Placement) -> int:
    """How many trials ran at the same time; on a cluster, as many as it has room for now."""
    if placement.here or placement.pool.address is None:
        return placement.at_once
    return workers_that_fit(replace(placement.pool, workers=placement.max_concurrent))


def _ranking(source: Source) -> str:
    return source.ranking if isinstance(source, Rung) else source.name


def _is_proxy(source: Source) -> bool:
    return not (source.free or source.together or source.name in (TRUTH, AGAIN))


def run_together(
    jobs: Sequence[Job],
    context: TrialContext,
    placement: Placement,
    seconds: float,
    on_row: Callable[[Row, int], None],
) -> None:
    """Halve the architectures of the jobs for so many seconds; all rows come in the end.

    Raises:
        InputError, RunError: see `search.tune.halve`.
    """
    where = replace(placement, pool=Pool(workers=1)) if placement.here else placement
    pool = where.pool_for(context.nbytes)
    prepare_ray(local=pool.address is None)
    from search.tune import Reached, halve

    names = [job.candidate for job in jobs]
    reached = halve(names, context, pool, placement.compute, seconds)
    bench = Workbench(context, placement.session)
    for number, job in enumerate(jobs):
        got = reached.get(job.candidate, Reached())
        row = row_of(job, context, got.score, None, got.seconds) | {"threads": placement.threads}
        on_row(row | {"parameters": bench.count(job.candidate)}, len(jobs) - 1 - number)
