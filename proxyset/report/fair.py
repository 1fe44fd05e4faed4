"""Scores that tell what a set's images give from what targets and augmentation give (DD-Ranking, Li et al., 2025).

Accuracies are shares from 0 to 1, means over networks after their last epoch.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from proxyset.artefact.outputs import keep_folder
from proxyset.artefact.proxy_set import ProxySet
from proxyset.compute.session import Session
from proxyset.data.images import ImageSet
from proxyset.methods.coreset import Random
from proxyset.report.kinds import Kind, kind_of
from proxyset.report.scores import Contest, ProgressOf, picks
from proxyset.train.evaluate import evaluate
from proxyset.train.recipe import Recipe

NETS = 5  # of DD-Ranking
WEIGHT = 0.5  # w and γ

Train = ImageSet | Callable[[int], ImageSet]


@dataclass(frozen=True)
class Measured:
    """Mean accuracies of networks that were trained on different sets, with augmentation unless it says otherwise.

    Attributes:
        whole: all real images.
        hard: the set with its labels.
        own: the set with its own targets.
        random: random images in as many bytes, with tiles and targets of the same kind.
        as_many: as many random images as the set has training images (or the class with the fewest), with their labels.
        plain: the set, without augmentation.
        plain_random: as `random`, without augmentation.
    """

    whole: float
    hard: float
    own: float
    random: float
    as_many: float
    plain: float
    plain_random: float


@dataclass(frozen=True)
class Fair:
    """
    Attributes:
        hlr: hard-label recovery, acc(whole) − acc(set with its labels); lower is better.
        ior: improvement over random, acc(set) − acc(random images in as many bytes).
        over_as_many: the same over as many random images as the set has training images.
        lrs: label-robust score in 0..1, of ½ (IOR − HLR).
        ars: augmentation-robust score in 0..1, of the improvement over random with and without augmentation.
    """

    hlr: float
    ior: float
    over_as_many: float
    lrs: float
    ars: float

    @classmethod
    def of(cls, measured: Measured) -> "Fair":
        hlr, ior = measured.whole - measured.hard, measured.own - measured.random
        without = measured.plain - measured.plain_random
        robust = _share(WEIGHT * ior - (1 - WEIGHT) * hlr)
        return cls(hlr, ior, measured.own - measured.as_many, robust, _share(WEIGHT * ior + (1 - WEIGHT) * without))


def _share(value: float) -> float:
    """(e^α − e⁻¹) / (e − e⁻¹): −1 becomes 0, and 1 becomes 1."""
    return (math.exp(value) - math.exp(-1)) / (math.e - math.exp(-1))


def fair_sizes(proxy: ProxySet, contest: Contest) -> list[tuple[int, Recipe]]:
    """For each training of `fair_scores` at most: how many images an epoch has, and how a network trains on them."""
    stored, formation, protocol = len(proxy.data), proxy.data.formation, contest.protocol
    tiles = proxy.data.trained_on, protocol.resolved(stored, formation)
    plain = proxy.data.trained_on, protocol.model_copy(update={"augment": "none"}).resolved(stored, formation)
    spread = proxy.data.trained_on, protocol.resolved(proxy.data.trained_on)
    whole = len(contest.dataset.train), protocol.recipe(contest.whole_epochs)
    return [whole, tiles, tiles, tiles, spread, plain, plain]


def fair_scores(
    name: str, proxy: ProxySet, contest: Contest, net: str, session: Session, progress: ProgressOf = lambda title: False
) -> dict[str, Any]:
    """Score a set so, with one network.

    Args:
        name: of the set's file.

    Returns:
        What `Fair` and `Measured` have, and the bytes of images and targets.
    """
    dataset, kind = contest.dataset, kind_of(proxy)
    keep = keep_folder(Path(name))
    plain = contest.protocol.model_copy(update={"augment": "none"})
    most = min(dataset.train.labels.bincount(minlength=dataset.spec.classes).tolist())
    as_many = min(proxy.ipc * proxy.data.formation**2, most)
    random = picks(kind.method("random"), kind.ipc, contest, session, keep_as=kind.keep_as, keep=keep)

    def score(title: str, train: Train, protocol: Any = contest.protocol) -> float:
        return evaluate(
            train,
            dataset.test,
            dataset.spec,
            protocol,
            net=net,
            seed=contest.seed,
            session=session,
            progress=progress(f"{title} on {net}"),
        ).mean

    long = contest.protocol.model_copy(update={"epochs": contest.whole_epochs})
    own, at_random = score("set", proxy.data), score("random", random)
    spread = (
        at_random if kind == Kind(as_many) else score("random, as many", picks(Random(), as_many, contest, session))
    )
    measured = Measured(
        whole=score("whole", replace(dataset.train, targets=None), long),
        hard=own if proxy.data.targets is None else score("set, labels", replace(proxy.data, targets=None)),
        own=own,
        random=at_random,
        as_many=spread,
        plain=score("set, plain", proxy.data, plain),
        plain_random=score("random, plain", random, plain),
    )
    return {"name": Path(name).stem, "net": net, "bytes": proxy.nbytes, **asdict(Fair.of(measured)), **asdict(measured)}
