"""GDumb (Prabhu et al., ECCV 2020): after each task a fresh network on the memory only."""

from continual.schemes.afresh import Afresh
from continual.settings import NONE, Learning
from continual.stream import Stream
from proxyset.errors import InputError
from proxyset.train.protocols import Evaluation
from proxyset.train.recipe import Recipe


class GDumb(Afresh):
    """A fresh network on the memory only, trained as the core's evaluation trains (as in the public code of DM)."""

    phase = "afresh"

    @classmethod
    def check(cls, learning: Learning, stream: Stream, memory: str) -> None:
        super().check(learning, stream, memory)
        if memory == NONE:
            raise InputError("without a memory there is nothing to learn from: `scheme=gdumb` needs a `memory`")

    @classmethod
    def describe(cls, learning: Learning) -> str:
        return f"gdumb: a fresh network on the memory only, {learning.gdumb_epochs} epochs"

    def recipe(self) -> Recipe:
        return Evaluation(epochs=self.learning.gdumb_epochs, augment=self.learning.augment).resolved()
