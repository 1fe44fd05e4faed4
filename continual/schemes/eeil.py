"""EEIL (Castro et al., "End-to-end incremental learning", ECCV 2018) with any memory."""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from continual.memory import rehearsed
from continual.schemes.base import STAGE, Scheme
from continual.settings import NONE, RESERVOIR, Learning
from continual.stream import Stream
from continual.trainer import Phase
from proxyset.data.images import join
from proxyset.errors import InputError
from proxyset.nets.classifier import Classifier
from proxyset.train.fit import Order
from proxyset.train.recipe import Recipe


class Eeil(Scheme):
    """Stage 1: the new task and the memory. Stage 2: balanced fine-tuning on the memory. Both may distil.

    Balance counts the images that the network sees. The memory stores as many of every class, all of one formation, so
    that every class has as many tiles too.
    """

    distils = True
    own = STAGE | {"current_data", "batches", "balance", "balance_epochs", "balance_lr"}

    @classmethod
    def check(cls, learning: Learning, stream: Stream, memory: str) -> None:
        super().check(learning, stream, memory)
        if memory == NONE and learning.current_data == "memory":
            raise InputError("without a memory there is nothing to learn from: give a `memory`, or `current_data=full`")
        if learning.kd and learning.kd_softmax == "steps" and 1 in stream.new_classes():
            raise InputError(
                "a softmax over a step of one class distils nothing: give `kd_softmax=joint`, or fewer `steps`"
            )

    @classmethod
    def describe(cls, learning: Learning, memory: str) -> str:
        data = "all current data" if learning.current_data == "full" else "current data only through the memory"
        if memory == NONE:
            return f"eeil: {data}, no memory"
        batches = "concatenated with the memory" if learning.batches == "concatenate" else "half new, half memory"
        how = "fine-tuning on the memory" if memory == RESERVOIR else "balanced fine-tuning"
        tuned = f"then {how}" if learning.balance else "no balanced fine-tuning"
        return f"eeil: {data}, batches {batches}, {tuned}"

    @classmethod
    def ranks_by_learner(cls, learning: Learning) -> bool:
        return learning.current_data == "full"

    def learn(self, stage: int) -> None:
        teacher = self._snapshot() if self.learning.kd and stage > 0 else None
        self.trainer.grow(self.net, stage)
        self._learn_new(stage, teacher)
        if self._fine_tunes(stage) and self.memory.kept:
            teacher = self._snapshot() if self.learning.kd else None  # its newest part holds on to the new classes
            data = self.memory.rehearsal(self.stream.seen(stage))
            phase = Phase(stage, "balanced", self.learning.balanced_recipe(), teacher, lr_setting="balance_lr")
            self.trainer.train(self.net, data, phase)

    def trainings(self, stage: int) -> list[tuple[Recipe, int]]:
        kept, task = self.memory.trained_on(stage), self.stream.tasks[stage]
        if self.learning.current_data == "full":
            new, old = len(task.data.train), self.memory.trained_on(stage - 1)
        else:
            new = kept * len(task.classes) // self.stream.slots(stage)
            old = kept - new
        if self.learning.batches == "balance" and old:
            old = new  # half of each minibatch, until every new image has come
        tuning = [(self.learning.balanced_recipe(), kept)] if self._fine_tunes(stage) and kept else []
        return [(self.learning.stage_recipe(), new + old), *tuning]

    def rebuild(self, stages: int) -> Classifier:
        return self.trainer.grown(stages)

    def _fine_tunes(self, stage: int) -> bool:
        return self.learning.balance and stage > 0

    def _learn_new(self, stage: int, teacher: nn.Module | None) -> None:
        """Stage 1: the new task's data and the memory of the earlier tasks."""
        learning, task, seen = self.learning, self.stream.tasks[stage], self.stream.seen(stage)
        if learning.current_data == "memory":
            self.memory.add(stage)
            new = self.memory.rehearsal(seen, since=stage)
        else:
            new = rehearsed(task, task.data.train, seen)
        data, order = new, None
        if self.memory.kept and stage > 0:
            old = self.memory.rehearsal(seen, until=stage)
            data = join([new, old], seen)
            if learning.batches == "balance":
                order = half_and_half(len(new), len(old), learning.batch_size)
        self.trainer.train(self.net, data, Phase(stage, "new", learning.stage_recipe(), teacher, order))
        if learning.current_data == "full":
            self.memory.add(stage, self.net)

    def _snapshot(self) -> nn.Module:
        """The network as it is now, to learn from."""
        return copy.deepcopy(self.net).eval().requires_grad_(False)


def half_and_half(new: int, old: int, batch_size: int) -> Order:
    """Minibatches of equally many new images (positions 0 to new − 1) and old ones (the `old` after them), tiles
    counted one by one.

    Every new image comes once in an epoch; the old ones come round as often as it takes.
    """

    def order(generator: torch.Generator) -> Iterator[Tensor]:
        fresh = torch.randperm(new, generator=generator)
        rounds = -(-new // old)
        known = new + torch.cat([torch.randperm(old, generator=generator) for _ in range(rounds)])[:new]
        for one, two in zip(fresh.split(batch_size // 2), known.split(batch_size // 2), strict=True):
            yield torch.cat([one, two])

    return order
