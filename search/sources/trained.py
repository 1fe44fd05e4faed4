"""Sources that train: on a proxy set, on the whole set, and on the whole set for as many updates as on a proxy set."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch

from proxyset.seeds import make_generator
from proxyset.train.fit import Order
from proxyset.train.recipe import Recipe
from search.settings import RankingSettings
from search.sources.base import Scope, Trained, Unit

if TYPE_CHECKING:
    from search.space import Candidate
    from search.trial import Workbench

TRUTH, AGAIN, EARLY = "whole", "whole-again", "early-stop"
TRAIN, TEST = "train", "test"  # the sets that every search has
VALIDATION = "validation"  # the set that ranks and chooses, where images were held out for it
SCORED = "scored"  # the part of it, or of the test split, that ranks, where not all of it does
TENTH = 10


@dataclass(frozen=True)
class ProxySource(Trained):
    """A proxy set.

    Attributes:
        sha256: of its images, labels and targets.
        file: where it lies ("" for one that was given as an object).
        tiles: in each stored image, on every one of which an architecture trains at full size.
    """

    sha256: str = ""
    file: str = ""
    tiles: int = 1

    @property
    def data(self) -> str:
        return self.name

    def recipe(self, settings: RankingSettings) -> Recipe:
        return settings.on_proxy()

    def images_per_epoch(self) -> int:
        return self.images * self.tiles

    def facts(self) -> dict[str, Any]:
        """What older runs do not say is left out where it says nothing, so that they go on."""
        facts = super().facts()
        return facts if self.tiles > 1 else {name: value for name, value in facts.items() if name != "tiles"}


@dataclass(frozen=True)
class EarlyStop(Trained):
    """The whole set, for as many updates, with as many images each, as training on a proxy set makes.

    Attributes:
        whole: images of the whole set.
        batch: images of a minibatch.
        batches: minibatches that count as an epoch, each epoch of a fresh shuffle.
    """

    whole: int = 0
    batch: int = 1
    batches: int = 1

    @classmethod
    def make(cls, name: str, scope: Scope) -> Self:
        return cls.like(scope.proxy, scope.whole, scope.settings, name)

    @classmethod
    def like(cls, proxy_images: int, whole_images: int, settings: RankingSettings, name: str = EARLY) -> Self:
        """The counterpart of a proxy set of so many images, tiles counted one by one."""
        recipe = settings.on_proxy()
        batch = min(recipe.batch_size, proxy_images)
        batches = math.ceil(proxy_images / batch)
        images = min(whole_images, recipe.epochs * batch * batches)
        return cls(name, images, whole=whole_images, batch=batch, batches=batches)

    @property
    def data(self) -> str:
        return TRAIN

    def recipe(self, settings: RankingSettings) -> Recipe:
        return settings.on_proxy()

    def images_per_epoch(self) -> int:
        return self.batch * self.batches

    def order(self) -> Order:
        return some_batches(self.whole, self.batch, self.batches)


def some_batches(length: int, batch: int, batches: int) -> Order:
    """An order for `fit` whose epoch is only `batches` minibatches of a fresh shuffle of `length` images."""
    return lambda generator: torch.randperm(length, generator=generator).split(batch)[:batches]


@dataclass(frozen=True)
class WholeSet(Trained):
    """The whole set: the truth that the other rankings are held against, or, under another name and so with other
    random choices, the noise ceiling: how well another training of the same cost ranks.
    """

    @classmethod
    def make(cls, name: str, scope: Scope) -> Self:
        """Named as a source it is the noise ceiling: the truth is there without being named."""
        return cls(AGAIN if name == TRUTH else name, scope.whole)

    @property
    def data(self) -> str:
        return TRAIN

    def recipe(self, settings: RankingSettings) -> Recipe:
        return settings.on_whole()


@dataclass(frozen=True)
class Tenth(Trained):
    """One epoch on a random tenth of the whole set, the same images for every architecture.

    Attributes:
        whole: images of the whole set.
        seed: of the draw of the tenth.
        batch: images of a minibatch.
    """

    whole: int = 0
    seed: int = 0
    batch: int = 1

    @classmethod
    def make(cls, name: str, scope: Scope) -> Self:
        images = math.ceil(scope.whole / TENTH)
        return cls(
            name, images, whole=scope.whole, seed=scope.settings.seed, batch=scope.settings.on_whole().batch_size
        )

    @property
    def data(self) -> str:
        return TRAIN

    def recipe(self, settings: RankingSettings) -> Recipe:
        return settings.on_whole().recipe(1)

    def order(self) -> Order:
        chosen = torch.randperm(self.whole, generator=make_generator(self.seed, "tenth"))[: self.images]
        return lambda generator: chosen[torch.randperm(len(chosen), generator=generator)].split(self.batch)


class TenthLoss(Tenth):
    """The same training, scored by the loss in place of the accuracy: lower is better, so its negative ranks."""

    unit: ClassVar[Unit] = "score"

    def score(self, bench: "Workbench", candidate: "Candidate", generator: torch.Generator) -> float:
        return -bench.loss(bench.train(candidate, self, generator))


@dataclass(frozen=True)
class FinalSet(Trained):
    """The whole set, as the networks that are kept are trained on it. It ranks nothing."""

    @property
    def data(self) -> str:
        return TRAIN

    def recipe(self, settings: RankingSettings) -> Recipe:
        return settings.finally_()
