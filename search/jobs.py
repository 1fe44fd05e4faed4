"""The trials of a search: which there are, in which order, and how long they will take."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from proxyset.seeds import make_generator
from search.placement import Placement
from search.scores import MeanScores
from search.settings import RankingSettings, truth_count
from search.sources.trained import AGAIN, TRUTH
from search.space import stratified
from search.trial import Job, TrialContext, Workbench

TIMED = 6  # architectures that the estimate times

Stage = Callable[[MeanScores], list[Job]]
"""The trials of one stage, which may depend on the scores of those before."""


def stages(context: TrialContext) -> Iterator[Stage]:
    """The stages of a search, one after another."""
    yield lambda scores: first_jobs(context)
    if context.settings.promote:
        yield lambda scores: promoted_jobs(context, scores)


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
        and (source.name != TRUTH or name in checked)
        and (source.repeats or repeat == 0)
        and source.covers(name)
    ]
    return sorted(jobs, key=lambda job: (job.source == AGAIN, not context.sources[job.source].free))


def together_jobs(context: TrialContext) -> list[Job]:
    """What the sources score that look at all architectures together."""
    return [
        Job(source.name, name) for source in context.sources.values() if source.together for name in context.candidates
    ]


def _with_truth(context: TrialContext) -> set[str]:
    """The architectures that get a truth: those that are trained on the whole set, or looked up."""
    settings, truth = context.settings, context.sources[TRUTH]
    candidates = [candidate for candidate in context.candidates.values() if truth.covers(candidate.name)]
    count = truth_count(settings.truth or "all")
    if count is not None:
        generator = make_generator(settings.seed, "truth")
        candidates = stratified(candidates, count, generator)
    return {candidate.name for candidate in candidates}


def promoted_jobs(context: TrialContext, scores: MeanScores) -> list[Job]:
    """Training on the whole set of what each source ranks highest."""
    settings: RankingSettings = context.settings
    best: dict[str, None] = {}
    for source in context.sources:
        if source != TRUTH and source in scores:
            ranked = scores[source].sort_values(ascending=False, kind="stable")
            best |= dict.fromkeys(ranked.index[: settings.promote])
    truth = context.sources[TRUTH]
    repeats = settings.repeats if truth.repeats else 1
    return [Job(TRUTH, name, repeat) for repeat in range(repeats) for name in best if truth.covers(name)]


def estimate(jobs: Sequence[Job], context: TrialContext, placement: Placement) -> float:
    """Seconds that the jobs will take on this machine, from a few timed training steps."""
    threads = torch.get_num_threads()
    torch.set_num_threads(placement.threads)
    try:
        bench = Workbench(context, placement.trial_session())
        some = list(context.candidates.values())[:: max(1, len(context.candidates) // TIMED)]
        each = float(np.mean([bench.seconds_per_image(candidate) for candidate in some]))
    finally:
        torch.set_num_threads(threads)
    images = sum(context.sources[job.source].images_trained(context.settings) for job in jobs)
    return images * each / placement.at_once
