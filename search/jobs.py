"""The trials of a search: which there are, in which order, and how long they will take."""

from collections.abc import Sequence

import numpy as np

from proxyset.compute.threads import threads
from proxyset.seeds import make_generator
from search.placement import Placement
from search.scores import MeanScores, best_first, mean_scores
from search.settings import truth_count
from search.sources.halving import Rung, fold
from search.sources.trained import AGAIN, TRUTH
from search.space import stratified
from search.trial import Job, Row, TrialContext, Workbench

TIMED = 6  # architectures that the estimate times


def first_jobs(context: TrialContext) -> list[Job]:
    """First what costs no training. Then architecture by architecture every source's trials and the truth's, so that an
    interrupted run is a whole run of fewer architectures. The noise ceiling's come last, being the least needed.
    """
    checked = _with_truth(context)
    jobs = [
        Job(source.name, name, repeat)
        for repeat in range(context.settings.repeats)
        for name in context.candidates
        for source in context.sources.values()
        if not source.together
        and (source.name not in (TRUTH, AGAIN) or name in checked)
        and (source.repeats or repeat == 0)
        and source.covers(name)
        and (not isinstance(source, Rung) or source.number == 0)
    ]
    return sorted(jobs, key=lambda job: (job.source == AGAIN, not context.sources[job.source].free))


def together_jobs(context: TrialContext) -> list[Job]:
    """What the sources score that look at all architectures together."""
    return [
        Job(source.name, name) for source in context.sources.values() if source.together for name in context.candidates
    ]


def next_rungs(context: TrialContext, number: int, scores: MeanScores | None = None) -> list[Job]:
    """The trials on the rungs of that number: of the better half of those that the rung before has ranked.

    Args:
        scores: of the rungs (None: nothing is known yet, and any architectures stand for the better half).
    """
    rungs = {source.name: source for source in context.sources.values() if isinstance(source, Rung)}
    jobs: list[Job] = []
    for rung in (one for one in rungs.values() if one.number == number):
        before = next(name for name, one in rungs.items() if one.of == rung.of and one.number == number - 1)
        names = list(context.candidates) if scores is None else best_first(scores[before]) if before in scores else []
        best = names[: rung.count(len(context.candidates))]
        jobs += [Job(rung.name, name, repeat) for repeat in range(context.settings.repeats) for name in best]
    return jobs


def _with_truth(context: TrialContext) -> set[str]:
    """The architectures that get a truth: those that are trained on the whole set, or looked up."""
    settings, truth = context.settings, context.sources[TRUTH]
    candidates = [candidate for candidate in context.candidates.values() if truth.covers(candidate.name)]
    count = truth_count(settings.truth or "all")
    if count is not None:
        generator = make_generator(settings.seed, "truth")
        candidates = stratified(candidates, count, generator)
    return {candidate.name for candidate in candidates}


def promoted(context: TrialContext, rows: Sequence[Row]) -> list[str]:
    """The architectures that each ranking puts highest: the first of all, then the second of all, and so on.

    The truth is a ranking like the others; its repetition, the noise ceiling, is none.
    """
    sources, folded = fold({name: source.facts() for name, source in context.sources.items()}, list(rows))
    scores = mean_scores(folded, list(context.candidates))
    ranked = [best_first(scores[name]) for name in sources if name != AGAIN and name in scores]
    places = range(context.settings.promote)
    return list(dict.fromkeys(names[place] for place in places for names in ranked if place < len(names)))


def estimate(jobs: Sequence[Job], context: TrialContext, placement: Placement) -> float:
    """Seconds that the jobs will take on this machine, from a few timed training steps."""
    images = sum(context.sources[job.source].images_passed(context.settings) for job in jobs)
    return images * seconds_per_image(context, placement) / placement.at_once


def seconds_per_image(context: TrialContext, placement: Placement) -> float:
    """Time of training on one image where a trial runs, from a few timed steps: a mean over some architectures."""
    with threads(placement.threads):
        bench = Workbench(context, placement.trial_session())
        some = list(context.candidates.values())[:: max(1, len(context.candidates) // TIMED)]
        return float(np.mean([bench.seconds_per_image(candidate) for candidate in some]))
