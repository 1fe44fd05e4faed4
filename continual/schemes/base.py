"""What every scheme is: a network and a memory that see the tasks of a stream one after another."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from continual.memory import Memory
from continual.settings import Learning
from continual.stream import Stream
from continual.trainer import Trainer
from proxyset.checkpoint import State
from proxyset.errors import InputError
from proxyset.nets.classifier import Classifier
from proxyset.train.recipe import Recipe, Training

COMMON = frozenset({"net", "scheme", "augment", "trace", "kd"})
"""Settings of every scheme; `check` refuses a `kd` that is on."""

DISTILLING = frozenset({"kd_softmax", "temperature", "kd_weight"})
STAGE = frozenset({*Training.model_fields, "epochs", "lr_every"})
"""Those of `Learning.stage_recipe`."""


class Scheme(ABC):
    """A way to learn a stream. To add one: one file with its class, one line in `registry.py`."""

    own: ClassVar[frozenset[str]] = STAGE
    """The settings that it uses, besides those of every scheme and of distillation."""

    distils: ClassVar[bool] = False
    """Whether it can learn from the answers of the previous network."""

    without_kd: ClassVar[str] = (
        "a network that starts afresh after each task has no previous one to distil: leave out `kd`"
    )
    """Why not, where it cannot."""
    keeps_answers: ClassVar[bool] = False
    """Whether the network's answers for what the memory keeps are kept with it."""

    def __init__(self, trainer: Trainer, memory: Memory) -> None:
        self.trainer, self.memory = trainer, memory
        self.stream, self.learning = trainer.stream, trainer.learning
        self.net: Classifier = trainer.fresh(0)

    @classmethod
    def check(cls, learning: Learning, stream: Stream, memory: str) -> None:
        """Raise `InputError` for what cannot work with this stream and memory. Subclasses add to it."""
        if learning.kd and not cls.distils:
            raise InputError(cls.without_kd)

    @classmethod
    def uses(cls, kd: bool) -> frozenset[str]:
        """The settings of `Learning` that change what it does, with or without distillation."""
        return COMMON | cls.own | (DISTILLING if kd and cls.distils else frozenset())

    @classmethod
    @abstractmethod
    def describe(cls, learning: Learning, memory: str) -> str:
        """The choices that the paper leaves open, in words for reports."""

    @classmethod
    def ranks_by_learner(cls, learning: Learning) -> bool:
        """Whether the memory of a task is made when the network has just learned it from its full data."""
        return False

    @abstractmethod
    def learn(self, stage: int) -> None:
        """Learn the task of `stage`, after those before it. What it draws depends on the seed and the stage alone."""

    @abstractmethod
    def trainings(self, stage: int) -> list[tuple[Recipe, int]]:
        """The trainings of `stage` in advance, for estimates: how, and on how many images."""

    @abstractmethod
    def rebuild(self, stages: int) -> Classifier:
        """A network of the structure that it has after `stages` finished stages."""

    def test(self, stage: int) -> Tensor:
        """For every task up to `stage` how many of its test images get the right class among all seen so far."""
        return self.trainer.test(self.net, stage)

    def state(self) -> State:
        """Everything that later stages depend on, as named tensors."""
        return {f"net.{name}": tensor for name, tensor in self.net.state_dict().items()} | self.memory.state()

    def set_state(self, saved: State, stages: int) -> None:
        """Go on after `stages` finished stages."""
        self.net = self.rebuild(stages)
        self.net.load_state_dict({name: saved[f"net.{name}"] for name in self.net.state_dict()})
        self.memory.set_state(saved, stages)
