"""DER and DER++ (Buzzega et al., "Dark experience for general continual learning", NeurIPS 2020) with any memory."""

from typing import ClassVar

import torch
from torch import Tensor

from continual.losses import replay_answers, replayed
from continual.memory import rehearsed
from continual.schemes.base import STAGE, Scheme
from continual.schemes.eeil import half_and_half
from continual.settings import NONE, Learning
from continual.stream import Stream
from continual.trainer import Phase
from proxyset.data.images import join
from proxyset.errors import InputError
from proxyset.nets.classifier import Classifier
from proxyset.train.recipe import Recipe


class Der(Scheme):
    """The new task and the memory, half of each minibatch from each; the memory's images should be answered as before.

    The authors keep answers as images pass by, and draw the memory by reservoir sampling (`memory=reservoir`). Here
    answers are kept once a task is learned, so that a memory may be of any kind.
    """

    keeps_answers = True
    own = STAGE | {"current_data", "der_weight"}
    without_kd = "the answers that der keeps are what it distils: leave out `kd`"
    labels: ClassVar[bool] = False
    """Whether the memory's labels are learned too."""

    @classmethod
    def check(cls, learning: Learning, stream: Stream, memory: str) -> None:
        super().check(learning, stream, memory)
        if memory == NONE:
            raise InputError(
                f"without a memory there are no answers to keep: `scheme={learning.scheme}` needs a `memory`"
            )
        if learning.loss != "cross-entropy":
            raise InputError(f"`scheme={learning.scheme}` learns labels by their cross-entropy: leave out `loss`")
        if learning.current_data == "memory":
            raise InputError(f"`scheme={learning.scheme}` learns each task from all of its data: `current_data=full`")

    @classmethod
    def describe(cls, learning: Learning, memory: str) -> str:
        labels = f", labels {learning.der_labels:g}" if cls.labels else ""
        return f"{learning.scheme}: half of each minibatch from the memory, answers {learning.der_weight:g}{labels}"

    @classmethod
    def ranks_by_learner(cls, learning: Learning) -> bool:
        return True

    def learn(self, stage: int) -> None:
        self.trainer.grow(self.net, stage)
        task, seen = self.stream.tasks[stage], self.stream.seen(stage)
        new = rehearsed(task, task.data.train, seen)
        data, phase = new, Phase(stage, "new", self.learning.stage_recipe())
        if stage > 0:
            old = self.memory.rehearsal(seen, until=stage)
            data = join([new, old], seen)
            answers = replay_answers(data.labels, len(new), self.memory.rehearsed_answers(seen))
            order = half_and_half(len(new), len(old), self.learning.batch_size)
            phase = Phase(stage, "new", self.learning.stage_recipe(), order=order, loss=self._loss, answers=answers)
        self.trainer.train(self.net, data, phase)
        self.memory.add(stage, self.net)
        self.memory.keep_answers(self._answers(self.memory.rehearsal(seen, since=stage).images))

    def _loss(self, images: Tensor, logits: Tensor, answers: Tensor) -> Tensor:
        beta = self.learning.der_labels if self.labels else 0.0
        return replayed(logits.float(), answers, self.learning.der_weight, beta)

    @torch.no_grad()
    def _answers(self, images: Tensor) -> Tensor:
        """The network's logits for some normalised images, on the CPU."""
        device, size = self.trainer.session.device, self.trainer.test_batch(self.net)
        self.net.eval()
        return torch.cat([self.net(part.to(device)).float().cpu() for part in images.split(size)])

    def trainings(self, stage: int) -> list[tuple[Recipe, int]]:
        new = len(self.stream.tasks[stage].data.train)
        return [(self.learning.stage_recipe(), 2 * new if stage > 0 else new)]  # half of each minibatch is memory

    def rebuild(self, stages: int) -> Classifier:
        return self.trainer.grown(stages)


class DerPlusPlus(Der):
    """DER, and the labels of the memory beside its answers."""

    labels = True
    own = Der.own | {"der_labels"}
