"""DM (Zhao & Bilen, WACV 2023) and what later papers made of it: settings and cost.

`distribution_matching.py` holds the algorithm. This file can be read without torch.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from proxyset.methods.base import DEFAULT_NET, Context, Problem
from proxyset.methods.synthesis import Augmented
from proxyset.train.recipe import ALL

if TYPE_CHECKING:
    from proxyset.checkpoint import State
    from proxyset.compute.plan import Engine, Estimate, Work
    from proxyset.compute.session import Session
    from proxyset.methods.distribution_matching import DistributionMatching
    from proxyset.methods.snapshots import Course

MANY = 100  # images per class from which on the authors use a higher learning rate


class DM(Augmented):
    """Dataset condensation with distribution matching: class means of features, real and synthetic, brought together.

    The defaults are DM's. The choices follow DataDAM, NCFM, DREAM and IDM.
    """

    name: ClassVar[str] = "dm"
    quick_net: ClassVar[str | None] = "convnet-w32"

    net: str = Field(
        DEFAULT_NET, description="network whose features are matched, or package.module:function, whose code is run"
    )
    iterations: int = Field(20_000, ge=1, le=10_000_000, description="steps, each with another network")
    batch_real: int = Field(256, ge=1, description="real images per class and step, without replacement")
    lr_img: float | None = Field(
        None, gt=0, description="learning rate of the images (default: 1, or 10 from 100 images per class on)"
    )
    momentum_img: float = Field(0.5, ge=0, lt=1, description="momentum of the images")
    schedule_img: Literal["constant", "cosine"] = Field(
        "constant", description="of the learning rate of the images; cosine ends at 0 with the last step"
    )
    augment: str = Field(
        ALL, description="Siamese augmentation, such as color_crop or none, or package.module:NAME, whose code is run"
    )
    networks: Literal["random", "trained", "between"] = Field(
        "random",
        description="fresh ones, snapshots of trainings on the whole set, or weights between one of each (NCFM: "
        "between the two ends of one training)",
    )
    trainings: int = Field(2, ge=1, le=1000, description="of networks on the whole set, where `networks` needs some")
    features: Literal["last", "layers"] = Field(
        "last", description="what the classifier sees, or also the attention maps of every block (DataDAM)"
    )
    distance: Literal["mean", "characteristic"] = Field(
        "mean", description="of class means, or of characteristic functions (NCFM)"
    )
    frequencies: int = Field(1024, ge=1, le=2**20, description="at which characteristic functions are compared")
    real_batches: Literal["random", "k-means"] = Field(
        "random", description="how real images are drawn; k-means: those nearest to the centres of a class (DREAM)"
    )
    refresh: int = Field(200, ge=1, description="steps between two searches for those centres")
    weight_classes: float = Field(
        0.0,
        ge=0,
        description="weight of the synthetic images' cross-entropy, times the network's accuracy (0 to 1) on the real "
        "images of the step (IDM: 0.5, or 0.1 at 50 per class, and a running accuracy)",
    )

    def image_lr(self, ipc: int) -> float:
        """Learning rate of the images: as given, or the authors' choice."""
        return self.lr_img or (10.0 if ipc >= MANY else 1.0)

    def advice(self) -> str:
        return "lower `lr_img`"

    def period(self, problem: Problem) -> int:
        return self.refresh if self.real_batches == "k-means" else 1

    def trains(self) -> bool:
        """Whether networks are trained on the whole set."""
        return self.networks != "random"

    def check(self, problem: Problem) -> None:
        from proxyset.methods.snapshots import check_counts
        from proxyset.methods.views import check_view
        from proxyset.nets.build import outline

        super().check(problem)
        net = outline(self.net, **problem.spec.shape, condensing=True)
        check_view(self.features, self.net, net, self.weight_classes > 0)
        if self.trains():
            check_counts(problem)

    def resolved(self, problem: Problem) -> dict[str, Any]:
        chosen = {"lr_img": self.image_lr(problem.ipc)}
        if self.trains():
            chosen["teacher_epochs"] = self.teacher_epochs
        return super().resolved(problem) | chosen

    def total_steps(self, problem: Problem) -> int:
        return self.iterations

    def trained_networks(self, problem: Problem, context: Context) -> list[State]:
        """The weights of networks trained on the whole set, after every epoch of every training; or of the learner."""
        if context.learner is not None:
            return [context.learner]
        from proxyset.methods.snapshots import take

        trained = [take(course, problem, context) for course in self.courses(problem)]
        return [state for training in trained for state in training.states]

    def courses(self, problem: Problem) -> list[Course]:
        """Those trainings: of the networks that condensing uses, which for ResNets are a variant."""
        from proxyset.methods.snapshots import course_of

        numbers = range(self.trainings if self.trains() else 0)
        return [course_of(problem, self.net, self.teacher_epochs, number=number, condensing=True) for number in numbers]

    def start(self, problem: Problem, context: Context) -> DistributionMatching:
        from proxyset.methods.distribution_matching import DistributionMatching

        return DistributionMatching(self, problem, context)

    def work(self, problem: Problem, session: Session) -> Work:
        from proxyset.compute.plan import Work
        from proxyset.nets.build import outline
        from proxyset.nets.classifier import has_batch_norm

        spec = problem.spec
        net = outline(self.net, **spec.shape, condensing=True)
        real = sum(min(count, self.batch_real) for count in problem.counts)
        synthetic = spec.classes * problem.ipc * self.tiles()
        # a gradient of the weights is three passes; real images pass once, synthetic ones forward and back
        images = self.iterations * (real + 2 * synthetic) / 3
        cost = session.footprint(net, spec.channels, spec.size)
        return Work(cost, images, self.iterations * 2 * spec.classes, has_batch_norm(net))

    def estimate(self, problem: Problem, session: Session, engine: Engine) -> Estimate:
        import torch

        from proxyset.compute.clock import timed

        trial = self.model_copy(update={"networks": "random"}).start(
            problem, Context(torch.Generator(), session, engine.eager())
        )
        first = timed(lambda: trial.step(0), engine.device)
        if self.real_batches == "random":
            return engine.estimate(self.iterations * first)
        usual = timed(lambda: trial.step(1), engine.device)  # without a search for centres
        searches = math.ceil(self.iterations / self.refresh)
        return engine.estimate(searches * first + (self.iterations - searches) * usual)
