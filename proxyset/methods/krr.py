"""Kernel ridge regression on features (FRePo, Zhou et al., NeurIPS 2022): settings and cost.

`kernel_ridge.py` holds the algorithm. This file can be read without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from proxyset.methods.base import DEFAULT_NET, Context, Problem
from proxyset.methods.synthesis import Augmented, check_classes

if TYPE_CHECKING:
    from proxyset.compute.plan import Work
    from proxyset.compute.session import Session
    from proxyset.methods.kernel_ridge import KernelRidge

AUTHORS_LR, AUTHORS_ITERATIONS = 3e-4, 500_000
MOST_LR = 0.03


class KRR(Augmented):
    """Kernel ridge regression on features (FRePo): a regression on the synthetic set predicts the real images.

    Images and targets are learned; a pool of networks that train on them gives the features. The paper also whitens the
    images and regresses on mirrored ones, which is left out here: students see ordinary images, for which both taught
    less in 100 steps on CIFAR-10, and mirrored ones nearly double the time.
    """

    name: ClassVar[str] = "krr"
    quick_net: ClassVar[str | None] = "convnet-w32"

    targets: Literal["hard", "teacher", "learned"] = Field(  # type: ignore[assignment]
        "learned",
        description="what students learn: labels, the answers of a network trained on the whole set, or targets that "
        "are learned with the images",
    )
    net: str = Field(
        DEFAULT_NET, description="network whose features are used, or package.module:function, whose code is run"
    )
    iterations: int = Field(10_000, ge=1, le=10_000_000, description="steps (the authors' code: 500,000)")
    batch_real: int = Field(1024, ge=1, description="real images per step, of all classes, without replacement")
    lr_img: float | None = Field(
        None,
        gt=0,
        description="learning rate of images and targets (LAMB, cosine to 0, the authors' to a tenth; default: 3e-4 at "
        "the authors' 500,000 iterations, and as the inverse root of the iterations where there are fewer)",
    )
    ridge: float = Field(1e-6, gt=0, description="λ of the regression, as a share of the kernel's mean diagonal")
    pool: int = Field(10, ge=1, le=1000, description="networks to draw from")
    pool_steps: int = Field(100, ge=1, le=1_000_000, description="steps after which a network is replaced")
    lr_net: float = Field(3e-4, gt=0, description="learning rate of the networks (Adam)")
    batch_net: int = Field(1000, ge=1, description="synthetic images in a step of a network, all where there are fewer")

    def advice(self) -> str:
        return "lower `lr_img` or `lr_net`, or raise `ridge`"

    def image_lr(self) -> float:
        """Learning rate of images and targets at the start: as given, or so that fewer iterations lead about as far.

        Steps that point anywhere add up to lr·√iterations. On CIFAR-10 (10 per class), 100 iterations learned best at
        0.01 to 0.03 and next to nothing at the authors' 0.0003; 400 iterations as well at 0.005 as at 0.02.
        """
        return self.lr_img or min(AUTHORS_LR * (AUTHORS_ITERATIONS / self.iterations) ** 0.5, MOST_LR)

    def learns_targets(self) -> bool:
        return self.targets == "learned"

    def check(self, problem: Problem) -> None:
        from proxyset.methods.views import check_view
        from proxyset.nets.build import outline

        super().check(problem)
        check_classes(self, problem)
        net = outline(self.net, **problem.spec.shape, condensing=True)
        check_view("last", self.net, net, with_classes=False)

    def resolved(self, problem: Problem) -> dict[str, Any]:
        return super().resolved(problem) | {"lr_img": self.image_lr()}

    def total_steps(self, problem: Problem) -> int:
        return self.iterations

    def start(self, problem: Problem, context: Context) -> KernelRidge:
        from proxyset.methods.kernel_ridge import KernelRidge

        return KernelRidge(self, problem, context)

    def work(self, problem: Problem, session: Session) -> Work:
        from proxyset.compute.plan import Work
        from proxyset.nets.build import outline
        from proxyset.nets.classifier import has_batch_norm

        spec = problem.spec
        net = outline(self.net, **spec.shape, condensing=True)
        real = min(self.batch_real, len(problem.real))
        synthetic = spec.classes * problem.ipc * self.tiles()
        # Real images pass forward, synthetic ones twice, and back to the images; a gradient of the weights is three
        # passes, and a network trains on synthetic images.
        images = self.iterations * ((real + 3 * synthetic) / 3 + min(self.batch_net, synthetic))
        cost = session.footprint(net, spec.channels, spec.size)
        return Work(cost, images, self.iterations * 4, has_batch_norm(net))
