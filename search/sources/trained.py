"""Sources that train: on a proxy set, on the whole set, and on the whole set for as many updates as on a proxy set."""

import math
from dataclasses import dataclass
from typing import Any

import torch

from proxyset.train.fit import Order
from proxyset.train.recipe import Recipe
from search.settings import RankingSettings
from search.sources.base import Trained

TRUTH, AGAIN, EARLY = "whole", "whole-again", "early-stop"
TRAIN, TEST = "train", "test"  # the sets that every search has
VALIDATION = "validation"  # the set that ranks and chooses, where images were held out for it


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
    def like(cls, proxy_images: int, whole_images: int, settings: RankingSettings) -> "EarlyStop":
        """The counterpart of a proxy set of so many images, tiles counted one by one."""
        recipe = settings.on_proxy()
        batch = min(recipe.batch_size, proxy_images)
        batches = math.ceil(proxy_images / batch)
        images = min(whole_images, recipe.epochs * batch * batches)
        return cls(EARLY, images, whole=whole_images, batch=batch, batches=batches)

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
    random choices, the noise ceiling: how well the truth ranks as it does itself.
    """

    @property
    def data(self) -> str:
        return TRAIN

    def recipe(self, settings: RankingSettings) -> Recipe:
        return settings.on_whole()


@dataclass(frozen=True)
class FinalSet(Trained):
    """The whole set, as the networks that are kept are trained on it. It ranks nothing."""

    @property
    def data(self) -> str:
        return TRAIN

    def recipe(self, settings: RankingSettings) -> Recipe:
        return settings.finally_()
