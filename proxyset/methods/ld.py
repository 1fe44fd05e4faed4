"""Label Distillation (Bohdal et al., 2020): settings and cost.

`label_distillation.py` holds the algorithm. This file can be read without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from proxyset.methods.base import DEFAULT_NET, Context, Problem
from proxyset.methods.synthesis import LearnedMethod, check_classes

if TYPE_CHECKING:
    from proxyset.methods.label_distillation import LabelDistillation


class LD(LearnedMethod):
    """Label distillation: the images stay what they are, such as real ones, and soft targets for them are learned.

    After Algorithms 1 and 2 of the paper. Targets start at the labels (the authors': all classes alike), several steps
    are gone back through (one), the network is trained by SGD (Adam) and renewed at fixed times (when it stops
    learning). A ridge regression is that of the minibatch alone, with squared error (a running mean, with a calibrated
    cross-entropy). So scores are not those of the paper's method.

    On MNIST the published numbers lie below those of random images and labels (one per class: 60.9 against 64.9 %).
    """

    name: ClassVar[str] = "ld"

    targets: Literal["learned"] = Field(  # type: ignore[assignment]
        "learned", description="what students learn: targets that the method learns"
    )
    solver: Literal["gradient", "ridge"] = Field(
        "gradient",
        description="how targets lead to a classifier: by steps of training the whole network, or by a ridge "
        "regression on its features",
    )
    net: str = Field(
        DEFAULT_NET, description="network that is trained on the set, or package.module:function, whose code is run"
    )
    iterations: int = Field(1000, ge=1, le=10_000_000, description="steps")
    batch_real: int = Field(1024, ge=1, description="real images per step, of all classes, without replacement")
    unroll: int = Field(10, ge=1, le=10_000, description="steps of training to go back through (`solver=gradient`)")
    lr_net: float = Field(0.01, gt=0, description="learning rate of the network (SGD)")
    lr_targets: float = Field(0.001, gt=0, description="learning rate of the targets (Adam)")
    reset: int = Field(100, ge=1, le=1_000_000, description="steps after which a fresh network takes over")
    ridge: float = Field(1e-6, gt=0, description="λ of the regression, as a share of the kernel's mean diagonal")

    def advice(self) -> str:
        return "lower `lr_net` or `lr_targets`, or raise `ridge`"

    def total_steps(self, problem: Problem) -> int:
        return self.iterations

    def check(self, problem: Problem) -> None:
        from proxyset.methods.views import check_view
        from proxyset.nets.build import outline

        super().check(problem)
        check_classes(self, problem)
        net = outline(self.net, **problem.spec.shape)
        if self.solver == "ridge":
            check_view("last", self.net, net, with_classes=False)

    def start(self, problem: Problem, context: Context) -> LabelDistillation:
        from proxyset.methods.label_distillation import LabelDistillation

        return LabelDistillation(self, problem, context)
