"""GDumb (Prabhu et al., ECCV 2020): after each task a fresh network on the memory only."""

from continual.schemes.afresh import Afresh
from continual.settings import NONE, Learning
from continual.stream import Stream
from proxyset.errors import InputError
from proxyset.train.protocols import PAPER, Evaluation
from proxyset.train.recipe import Recipe


class GDumb(Afresh):
    """A fresh network on the memory only, trained as the core's evaluation trains (as in the public code of DM)."""

    phase = "afresh"
    own = frozenset({"gdumb_epochs", "gdumb_batch_size", "gdumb_protocol"})

    @classmethod
    def check(cls, learning: Learning, stream: Stream, memory: str) -> None:
        super().check(learning, stream, memory)
        if memory == NONE:
            raise InputError("without a memory there is nothing to learn from: `scheme=gdumb` needs a `memory`")

    @classmethod
    def describe(cls, learning: Learning, memory: str) -> str:
        how = f"{learning.gdumb_epochs} epochs, minibatches of {learning.gdumb_batch_size}"
        how += "" if learning.gdumb_protocol == PAPER else f", {learning.gdumb_protocol}"
        return f"gdumb: a fresh network on the memory only, {how}"

    def recipe(self, stage: int) -> Recipe:
        learning, memory = self.learning, self.memory
        protocol = Evaluation(
            protocol=learning.gdumb_protocol,
            epochs=learning.gdumb_epochs,
            batch_size=learning.gdumb_batch_size,
            augment=learning.augment,
        )
        return protocol.resolved(memory.size(stage), memory.formation)
