"""Images and targets that are learned together, with the running means of their gradients."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from proxyset.checkpoint import State
from proxyset.data.formation import unfold
from proxyset.data.images import ImageSet
from proxyset.methods.base import Problem
from proxyset.methods.initial import initial_images, stored
from proxyset.methods.kip import KIP
from proxyset.methods.krr import KRR
from proxyset.methods.moments import Moments
from proxyset.methods.regression import first_targets, stored_targets

Rule = Callable[[Tensor, Tensor, Moments, int, float], tuple[Tensor, Moments]]
"""A step of an optimiser: value, gradient, moments, number of the step, learning rate → value and moments."""


class LearnedSet:
    """Synthetic images, and centred targets that are learned where the method says so."""

    def __init__(
        self, method: KIP | KRR, problem: Problem, generator: torch.Generator, device: torch.device, factor: float = 1.0
    ) -> None:
        """
        Args:
            factor: by which targets are divided (`first_targets`).
        """
        self.method, self.problem, self.factor = method, problem, factor
        self.images = initial_images(problem, method.init, method.formation, generator).to(device)
        self.targets = first_targets(problem, method.tiles(), method.learns_targets(), factor).to(device)
        self.moments = Moments.zeros(self.images), Moments.zeros(self.targets)

    def full(self) -> Tensor:
        """The images as they are trained on."""
        return unfold(self.images, self.method.formation)

    def step(self, rule: Rule, gradients: Sequence[Tensor], number: int, lr: float) -> bool:
        """One step along the gradients of images and targets. False, and nothing changes, where it is not finite."""
        of_images, of_targets = gradients
        images, first = rule(self.images, of_images, self.moments[0], number, lr)
        targets, second = self.targets, self.moments[1]
        if self.method.learns_targets():
            targets, second = rule(targets, of_targets, second, number, lr)
        if not (images.isfinite().all() and targets.isfinite().all()):
            return False
        self.images, self.targets, self.moments = images, targets, (first, second)
        return True

    def result(self) -> ImageSet:
        formation, targets = self.method.formation, None
        if self.method.learns_targets():
            targets = stored_targets(self.targets, formation, self.factor)
        return stored(self.problem, self.images, formation, targets)

    def state(self) -> State:
        moments = {
            f"{name}.{order}": getattr(each, order)
            for name, each in zip(("images", "targets"), self.moments, strict=True)
            for order in ("first", "second")
        }
        return {"images": self.images, "targets": self.targets} | moments

    def set_state(self, saved: State) -> None:
        device = self.images.device
        self.images, self.targets = saved["images"].to(device), saved["targets"].to(device)
        images, targets = (
            Moments(*(saved[f"{name}.{order}"].to(device) for order in ("first", "second")))
            for name in ("images", "targets")
        )
        self.moments = images, targets
