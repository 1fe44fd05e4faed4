"""Dataset Distillation (Wang et al., 2018): settings and cost.

`dataset_distillation.py` holds the algorithm. This file can be read without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from proxyset.methods.base import DEFAULT_NET, Context, Problem
from proxyset.methods.synthesis import INIT, LearnedMethod, check_classes

if TYPE_CHECKING:
    from proxyset.methods.dataset_distillation import DatasetDistillation


class Unrolling(LearnedMethod):
    """Base of the methods that go back through a whole training on the set, from its loss on real images."""

    net: str = Field(
        DEFAULT_NET, description="network that is trained on the set, or package.module:function, whose code is run"
    )
    iterations: int = Field(1000, ge=1, le=10_000_000, description="steps")
    batch_real: int = Field(1024, ge=1, description="real images per step, of all classes, without replacement")
    unroll: int = Field(
        10,
        ge=1,
        le=10_000,
        description="minibatches that the set is divided into, at most one for each image of a class",
    )
    epochs: int = Field(3, ge=1, le=10_000, description="times that the network is trained on all of them in turn")
    backprop_last: int | None = Field(
        None, ge=1, description="steps of that training to go back through (default: all of them)"
    )
    lr_net: float = Field(0.02, gt=0, description="learning rate of the network at the start; each step learns its own")
    lr_img: float = Field(0.01, gt=0, description="learning rate of images and of these rates (Adam, β₁ 0.5)")

    def advice(self) -> str:
        return "lower `lr_img` or `lr_net`, or go back through fewer steps (`backprop_last`)"

    def minibatches(self, ipc: int) -> int:
        """How many the set is divided into."""
        return min(self.unroll, ipc)

    def steps(self, ipc: int) -> int:
        """Of a network's training on the set."""
        return self.minibatches(ipc) * self.epochs

    def total_steps(self, problem: Problem) -> int:
        return self.iterations

    def check(self, problem: Problem) -> None:
        from proxyset.nets.build import check_net

        super().check(problem)
        check_classes(self, problem)
        check_net(self.net, **problem.spec.shape)

    def gone_back(self, ipc: int) -> int:
        """Steps of that training to go back through."""
        return min(self.backprop_last or self.steps(ipc), self.steps(ipc))

    def resolved(self, problem: Problem) -> dict[str, Any]:
        used = {"unroll": self.minibatches(problem.ipc), "backprop_last": self.gone_back(problem.ipc)}
        return super().resolved(problem) | used

    def start(self, problem: Problem, context: Context) -> DatasetDistillation:
        raise NotImplementedError


class DD(Unrolling):
    """Dataset distillation: a network that a few steps on the set have trained does well on real images.

    Every step trains a fresh network on the set by SGD, and goes back through that training. Each of its steps has a
    learning rate of its own, which is learned with the images and kept in the provenance.
    """

    name: ClassVar[str] = "dd"

    init: str = Field("noise", description=INIT)

    def start(self, problem: Problem, context: Context) -> DatasetDistillation:
        from proxyset.methods.dataset_distillation import DatasetDistillation

        return DatasetDistillation(self, problem, context)
