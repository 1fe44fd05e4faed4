"""KIP, Kernel Inducing Points (Nguyen et al., ICLR 2021): settings and cost.

`inducing_points.py` holds the algorithm. This file can be read without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from proxyset.methods.base import Context, Problem
from proxyset.methods.synthesis import Augmented, check_classes

if TYPE_CHECKING:
    from proxyset.methods.inducing_points import InducingPoints


class KIP(Augmented):
    """Kernel inducing points: a ridge regression on the set, with the kernel of an infinitely wide network, predicts
    the real images.

    A set of the default kernel suits fully connected networks better than a ConvNet.
    """

    name: ClassVar[str] = "kip"

    targets: Literal["hard", "teacher", "learned"] = Field(  # type: ignore[assignment]
        "hard",
        description="what students learn: labels, the answers of a network trained on the whole set, or targets that "
        "are learned with the images",
    )
    iterations: int = Field(1000, ge=1, le=10_000_000, description="steps")
    batch_real: int = Field(5000, ge=1, description="real images per step, of all classes, without replacement")
    lr_img: float = Field(0.04, gt=0, description="learning rate of images and targets (Adam)")
    ridge: float = Field(1e-6, gt=0, description="λ of the regression, as a share of the kernel's mean diagonal")
    kernel: Literal["dense", "convolutional"] = Field(
        "dense",
        description="of a fully connected network, or of one with 3×3 convolutions and no pooling, whose time and "
        "memory grow with the pixels",
    )
    hidden: int = Field(1, ge=1, le=100, description="hidden layers of the network")

    def advice(self) -> str:
        return "lower `lr_img`, or raise `ridge`"

    def learns_targets(self) -> bool:
        return self.targets == "learned"

    def check(self, problem: Problem) -> None:
        super().check(problem)
        check_classes(self, problem)

    def total_steps(self, problem: Problem) -> int:
        return self.iterations

    def start(self, problem: Problem, context: Context) -> InducingPoints:
        from proxyset.methods.inducing_points import InducingPoints

        return InducingPoints(self, problem, context)
