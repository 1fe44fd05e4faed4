"""How long scoring will take, from two timed epochs on throwaway networks."""

import math
from collections import defaultdict
from collections.abc import Sequence

import torch

from proxyset.compute.clock import timed
from proxyset.compute.plan import Engine, Estimate
from proxyset.compute.session import Session
from proxyset.data.images import ImageSet
from proxyset.nets.build import build_net
from proxyset.report.scores import Contest
from proxyset.train.evaluate import accuracy, training_work
from proxyset.train.fit import fit
from proxyset.train.recipe import Recipe

TESTED = 256  # images of the test split that are timed


def estimate_scores(sizes: Sequence[tuple[int, Recipe]], contest: Contest, session: Session) -> Estimate:
    """Time and memory of scoring training sets with every network of a contest.

    Args:
        sizes: for each set how many images an epoch has, and how a network trains on them.
    """
    eager: dict[tuple[str, Engine], float] = defaultdict(float)
    for net in contest.nets:
        testing = _seconds_to_test(net, contest, session)
        batches: dict[int, float] = {}
        for images, recipe in sizes:
            count = min(images, recipe.batch_size, len(contest.dataset.train))
            work = training_work(session, net, contest.dataset.spec, recipe, images, contest.protocol.nets)
            engine = session.plan(work)
            if count not in batches:
                batches[count] = _seconds_of_a_batch(net, engine, count, contest, session)
            each = batches[count] * images / count * recipe.epochs + testing
            eager[net, engine] += each * contest.protocol.nets
    parts = [engine.estimate(seconds) for (_, engine), seconds in eager.items()]
    return Estimate(seconds=sum(part.seconds for part in parts), memory=max((part.memory for part in parts), default=0))


def _seconds_of_a_batch(net: str, engine: Engine, count: int, contest: Contest, session: Session) -> float:
    """Of one epoch on so many images: the second of two."""
    spec, train = contest.dataset.spec, contest.dataset.train
    targets = None if train.targets is None else train.targets[:count]
    few, generator = ImageSet(train.images[:count], train.labels[:count], targets), torch.Generator()
    model = build_net(net, **spec.shape, generator=generator, device=session.device)
    gradients, recipe = session.gradients(engine.eager(), net, spec.shape), contest.protocol.recipe(1)
    return timed(lambda: fit(model, few, spec, recipe, generator=generator, gradients=gradients), session.device)


def _seconds_to_test(net: str, contest: Contest, session: Session) -> float:
    spec, test = contest.dataset.spec, contest.dataset.test
    count = min(TESTED, len(test))
    few = ImageSet(test.images[:count], test.labels[:count])
    model = build_net(net, **spec.shape, generator=torch.Generator(), device=session.device)
    return timed(lambda: accuracy(model, few, spec, TESTED), session.device) * math.ceil(len(test) / count)
