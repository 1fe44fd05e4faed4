"""Matching Training Trajectories (Cazenavette et al., CVPR 2022): settings and cost.

`trajectory_matching.py` holds the algorithm. This file can be read without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from proxyset.errors import InputError
from proxyset.methods.base import DEFAULT_NET, Context, Problem
from proxyset.methods.synthesis import Augmented, check_classes
from proxyset.train.recipe import MOST_EPOCHS

if TYPE_CHECKING:
    from proxyset.compute.plan import Engine, Estimate
    from proxyset.compute.session import Session
    from proxyset.methods.snapshots import Course
    from proxyset.methods.trajectory_matching import TrajectoryMatching


class MTT(Augmented):
    """Matching training trajectories: some steps of training on the set lead to where epochs on the real images lead.

    Experts are networks trained on the whole set. They are made once and kept for other builds. The authors'
    whitening, and their testing at the learned rate, are left out.
    """

    name: ClassVar[str] = "mtt"

    net: str = Field(DEFAULT_NET, description="network that is trained, or package.module:function, whose code is run")
    iterations: int = Field(5000, ge=1, le=10_000_000, description="steps")
    experts: int = Field(10, ge=1, le=1000, description="networks trained on the whole set (paper: 100)")
    expert_epochs: int = Field(10, ge=1, le=MOST_EPOCHS, description="of their trainings (paper: 50)")
    latest_start: int = Field(
        2, ge=1, description="the student starts where an expert was after fewer epochs than this, drawn each time"
    )
    span: int = Field(2, ge=1, description="epochs of the expert that the student's steps are to make up for")
    unroll: int = Field(50, ge=1, le=10_000, description="steps of the student")
    batch_synthetic: int = Field(256, ge=1, description="synthetic images per step, all where there are fewer")
    lr_net: float = Field(0.01, gt=0, description="learning rate of the student at the start; it is learned")
    lr_img: float = Field(1000.0, gt=0, description="learning rate of the images (SGD)")
    momentum_img: float = Field(0.5, ge=0, lt=1, description="momentum of the images")
    lr_rate: float = Field(
        0.02,
        gt=0,
        description="learning rate of the logarithm of the student's learning rate (Adam; the authors' is for the rate "
        "itself, by SGD, and has to be found for every dataset)",
    )
    augment: str = Field(
        "color_crop_cutout_flip_scale_rotate",
        description="augmentation of experts and students; flip is left out where it changes the label",
    )

    def advice(self) -> str:
        return "lower `lr_img` or `lr_rate`"

    def total_steps(self, problem: Problem) -> int:
        return self.iterations

    def check(self, problem: Problem) -> None:
        from proxyset.nets.build import check_net

        super().check(problem)
        check_classes(self, problem)
        if self.latest_start - 1 + self.span > self.expert_epochs:
            raise InputError(
                f"`latest_start={self.latest_start}` and `span={self.span}` need `expert_epochs` of at least "
                f"{self.latest_start - 1 + self.span}, got {self.expert_epochs}"
            )
        check_net(self.net, **problem.spec.shape)

    def courses(self, problem: Problem) -> list[Course]:
        """The experts' trainings."""
        from proxyset.methods.snapshots import course_of

        which: dict[str, Any] = {"whole": True, "momentum": 0.0, "weight_decay": 0.0}
        return [
            course_of(problem, self.net, self.expert_epochs, self.augment, number=number, **which)
            for number in range(self.experts)
        ]

    def start(self, problem: Problem, context: Context) -> TrajectoryMatching:
        from proxyset.methods.snapshots import take
        from proxyset.methods.trajectory_matching import TrajectoryMatching, trajectory

        courses = self.courses(problem)
        experts = [trajectory(course, take(course, problem, context), problem.spec) for course in courses]
        return TrajectoryMatching(self, problem, context, experts)

    def estimate(self, problem: Problem, session: Session, engine: Engine) -> Estimate:
        import torch

        from proxyset.compute.clock import timed
        from proxyset.methods.trajectory_matching import TrajectoryMatching, untrained

        made_up = untrained(self.courses(problem)[0], problem.spec, self.expert_epochs + 1)
        context = Context(torch.Generator(), session, engine.eager())
        trial = TrajectoryMatching(self, problem, context, [made_up])
        return engine.estimate(self.iterations * timed(lambda: trial.step(0), engine.device))
