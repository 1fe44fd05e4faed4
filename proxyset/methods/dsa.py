"""DC (Zhao et al., ICLR 2021) and DSA (Zhao & Bilen, ICML 2021): settings, schedule and cost.

`gradient_matching.py` holds the algorithm. This file can be read without torch.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from proxyset.methods.base import Context, Problem
from proxyset.methods.synthesis import INIT, Augmented, check_classes
from proxyset.train.recipe import ALL

if TYPE_CHECKING:
    from proxyset.compute.plan import Engine, Estimate, Work
    from proxyset.compute.session import Session
    from proxyset.methods.gradient_matching import GradientMatching

Mode = Literal["none", "independent", "siamese"]

MOST_STEPS = 1_000_000  # within one iteration; more cannot be meant

# Inner steps T and network epochs per inner step (ς_θ) for each ipc, as the authors chose them.
SCHEDULE = {1: (1, 1), 10: (10, 50), 20: (20, 25), 30: (30, 20), 40: (40, 15), 50: (50, 10), 100: (100, 2)}


class DC(Augmented):
    """Dataset condensation with gradient matching. Symbols are those of the DSA paper's Algorithm 1."""

    name: ClassVar[str] = "dc"

    net: str = Field(
        "convnet", description="network whose gradients are matched, or package.module:function, whose code is run"
    )
    iterations: int = Field(1000, ge=1, le=10_000_000, description="outer iterations K, each with a fresh network")
    inner_steps: int | None = Field(
        None, ge=1, le=MOST_STEPS, description="inner steps T (default: by ipc, as in the authors' code)"
    )
    net_epochs: int | None = Field(
        None,
        ge=0,
        le=MOST_STEPS,
        description="network epochs per inner step (default: by ipc, as in the authors' code)",
    )
    batch_real: int = Field(256, ge=1, description="real images per class and step, without replacement")
    batch_synthetic: int = Field(
        256, ge=1, description="synthetic images per class and step, all where there are fewer"
    )
    batch_net: int = Field(256, ge=1, description="minibatch when training the network on the synthetic set")
    lr_img: float | None = Field(None, gt=0, description="learning rate of the images (default: 0.1, or 0.01 with mlp)")
    momentum_img: float = Field(0.5, ge=0, lt=1, description="momentum of the images")
    lr_net: float = Field(0.01, gt=0, description="learning rate of the network")
    init: str = Field("noise", description=INIT)
    distance: Literal["layerwise", "cosine", "mse"] = Field(
        "layerwise", description="gradient distance: cosines per output unit, one cosine, or squared error"
    )
    augment: str = Field(
        "none", description="augmentation, such as color_crop or none, or package.module:NAME, whose code is run"
    )
    augment_real: Mode = Field("siamese", description="how real batches are augmented")
    augment_synthetic: Mode = Field("siamese", description="how synthetic batches are augmented")
    augment_net: bool = Field(True, description="augment when training the network (every image by its own draw)")

    def schedule(self, ipc: int) -> tuple[int, int]:
        """Inner steps T and network epochs for an ipc: the authors' where they give them, otherwise T = ipc (at most
        100) and as many epochs as make about 500 in all, as theirs do.
        """
        steps, epochs = SCHEDULE.get(ipc) or (min(ipc, 100), round(500 / min(ipc, 100)))
        return self.inner_steps or steps, epochs if self.net_epochs is None else self.net_epochs

    def image_lr(self) -> float:
        """Learning rate of the images: as given, or the authors' choice for the network."""
        return self.lr_img or (0.01 if self.net == "mlp" else 0.1)

    def advice(self) -> str:
        return "lower `lr_img` or `lr_net`"

    def check(self, problem: Problem) -> None:
        from proxyset.nets.build import check_net

        super().check(problem)
        check_classes(self, problem)
        check_net(self.net, **problem.spec.shape)

    def resolved(self, problem: Problem) -> dict[str, Any]:
        steps, epochs = self.schedule(problem.ipc)
        chosen = {"inner_steps": steps, "net_epochs": epochs, "lr_img": self.image_lr()}
        return super().resolved(problem) | chosen

    def steps_per_iteration(self, problem: Problem) -> int:
        return self.schedule(problem.ipc)[0]

    def total_steps(self, problem: Problem) -> int:
        return self.iterations * self.schedule(problem.ipc)[0]

    def start(self, problem: Problem, context: Context) -> GradientMatching:
        from proxyset.methods.gradient_matching import GradientMatching

        return GradientMatching(self, problem, context)

    def work(self, problem: Problem, session: Session) -> Work:
        from proxyset.compute.plan import Work
        from proxyset.nets.build import outline
        from proxyset.nets.classifier import has_batch_norm

        spec, ipc = problem.spec, problem.ipc
        steps, epochs = self.schedule(ipc)
        net = outline(self.net, **spec.shape, condensing=True)
        drawn = sum(min(count, self.batch_real) for count in problem.counts)
        seen = self.tiles()
        # a gradient of a gradient is three passes
        matched = drawn + 3 * seen * spec.classes * min(self.batch_synthetic, ipc)
        images = self.iterations * (steps * matched + (steps - 1) * epochs * spec.classes * ipc * seen)
        minibatches = self.iterations * (4 * steps * spec.classes + (steps - 1) * epochs)
        return Work(session.footprint(net, spec.channels, spec.size), images, minibatches, has_batch_norm(net))

    def estimate(self, problem: Problem, session: Session, engine: Engine) -> Estimate:
        import torch

        from proxyset.compute.clock import timed

        steps, epochs = self.schedule(problem.ipc)
        trial = self.start(problem, Context(torch.Generator(), session, engine.eager()))
        trial.new_network()
        one_after_another = math.ceil(problem.spec.classes / len(session.devices))
        drawn = [min(count, self.batch_real) for count in problem.counts]
        usual = min(range(len(drawn)), key=lambda label: abs(drawn[label] - sum(drawn) / len(drawn)))
        match = timed(lambda: trial.match_class(trial.draw_class(usual)), engine.device) * one_after_another
        train = timed(lambda: trial.update_network(1), engine.device) * epochs if steps > 1 and epochs else 0.0
        return engine.estimate(self.iterations * (steps * match + (steps - 1) * train))


class DSA(DC):
    """DC with differentiable Siamese augmentation and images that start as real ones."""

    name: ClassVar[str] = "dsa"

    init: str = Field("real", description=INIT)
    augment: str = Field(ALL, description="augmentation; flip is left out where it changes the label")
