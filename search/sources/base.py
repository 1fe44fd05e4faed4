"""What every source of a ranking is: it scores an architecture, and says what that costs."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import torch

from proxyset.train.fit import Order
from proxyset.train.recipe import Recipe
from search.settings import RankingSettings

Unit = Literal["accuracy", "score"]

if TYPE_CHECKING:
    from search.space import Candidate
    from search.trial import Workbench


@dataclass(frozen=True)
class Scope:
    """What a source may want to know of the search that it is made for.

    Attributes:
        settings: with nothing left open.
        whole: training images of the whole set.
        proxy: images that an epoch on the search's first proxy set takes; without one, those of `settings.ipc` images
            per class.
    """

    settings: RankingSettings
    whole: int
    proxy: int


@dataclass(frozen=True)
class Source(ABC):
    """Where a ranking comes from. Sources travel to the workers: they hold facts, and the images stay in the context.

    Attributes:
        name: as in the tables.
        images: how many images somebody must keep to rank with it, as they are stored.
        seconds: what preparing it took, besides the trials.
    """

    name: str
    images: int = 0
    seconds: float = 0.0

    free: ClassVar[bool] = False
    """Whether it trains nothing, so that ranking with it costs next to nothing."""
    repeats: ClassVar[bool] = True
    """Whether another repeat can give another score."""
    together: ClassVar[bool] = False
    """Whether it scores all architectures in one go, after the others (`search.tune`), and not trial by trial."""
    unit: ClassVar[Unit] = "accuracy"
    """What it scores in: the share of images that are classified correctly (0..1), or a number of its own."""

    @classmethod
    def make(cls, name: str, scope: Scope) -> Self:
        """The source for one search, under the name that the tables should have."""
        return cls(name)

    @abstractmethod
    def score(self, bench: "Workbench", candidate: "Candidate", generator: torch.Generator) -> float:
        """What this source ranks the architecture by: higher is better. Random choices come from `generator`."""

    @abstractmethod
    def images_trained(self, settings: RankingSettings) -> int:
        """How many images one trial trains on in all, epochs counted."""

    def images_passed(self, settings: RankingSettings) -> int:
        """How many images pass forward and backward in one trial before it is scored: what it costs."""
        return self.images_trained(settings)

    def covers(self, name: str) -> bool:
        """Whether it can score the architecture of that name."""
        return True

    def facts(self) -> dict[str, Any]:
        """What a run keeps of it, by which it is recognised when the run goes on."""
        facts = asdict(self) | {"kind": type(self).__name__, "free": self.free}
        return facts if self.unit == unit_of(facts) else facts | {"unit": self.unit}


def unit_of(facts: Mapping[str, Any]) -> Unit:
    """The unit of a source, from its facts: where they do not say it, what trains is scored by its accuracy."""
    return facts.get("unit", "score" if facts.get("free") else "accuracy")


class Free(Source):
    """A source that trains nothing."""

    free = True
    unit: ClassVar[Unit] = "score"

    def images_trained(self, settings: RankingSettings) -> int:
        return 0


class Trained(Source):
    """A source that trains the architecture on some images, and scores it by its accuracy on others."""

    @property
    @abstractmethod
    def data(self) -> str:
        """The set that it trains on, as the context names it."""

    @abstractmethod
    def recipe(self, settings: RankingSettings) -> Recipe:
        """How it trains."""

    def images_per_epoch(self) -> int:
        """How many images an epoch takes."""
        return self.images

    def order(self) -> Order | None:
        """The minibatches of an epoch (None: every image once, shuffled)."""
        return None

    def score(self, bench: "Workbench", candidate: "Candidate", generator: torch.Generator) -> float:
        return bench.accuracy(bench.train(candidate, self, generator))

    def images_trained(self, settings: RankingSettings) -> int:
        return self.recipe(settings).epochs * self.images_per_epoch()
