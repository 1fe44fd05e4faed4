"""Asynchronous successive halving on the whole set: no proxy, but most architectures are given up early."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from proxyset.train.recipe import Recipe
from search.settings import RankingSettings
from search.sources.base import Trained, Unit
from search.sources.trained import TRAIN

if TYPE_CHECKING:
    from search.space import Candidate
    from search.trial import Workbench


@dataclass(frozen=True)
class Asha(Trained):
    """ASHA (Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020), by Ray Tune's own
    scheduler: every architecture trains on the whole set, and after 1, 4, 16, … epochs only the best quarter so far
    goes on.

    It gets the wall-clock time that the search's first proxy had, building included. The score is the number of epochs
    that an architecture reached, plus its accuracy (0..1) there: who got further ranks higher. One that was not begun
    has 0. How far each gets depends on the machine, so two runs need not agree.
    """

    unit: ClassVar[Unit] = "score"
    repeats: ClassVar[bool] = False
    together: ClassVar[bool] = True

    @property
    def data(self) -> str:
        return TRAIN

    def recipe(self, settings: RankingSettings) -> Recipe:
        return settings.on_whole()

    def score(self, bench: "Workbench", candidate: "Candidate", generator: torch.Generator) -> float:
        """Of an architecture that is never stopped."""
        return bench.context.settings.on_whole().epochs + super().score(bench, candidate, generator)

    def images_trained(self, settings: RankingSettings) -> int:
        return 0  # its time is given, whatever a training costs
