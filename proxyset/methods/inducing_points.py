"""Kernel inducing points, step by step (KIP, Nguyen et al., ICLR 2021, Algorithm 1). `kip.py` holds the settings.

Where the paper leaves something open, this follows its authors' notebook.
"""

import torch
from torch import Tensor

from proxyset.checkpoint import State
from proxyset.data import augment
from proxyset.data.formation import unfold
from proxyset.data.images import ImageSet, one_hot
from proxyset.data.spec import DatasetSpec, normalise
from proxyset.methods.base import Context, Problem
from proxyset.methods.initial import draw
from proxyset.methods.kip import KIP
from proxyset.methods.learned_set import LearnedSet
from proxyset.methods.moments import adam
from proxyset.methods.regression import centred, half_squared_error, predict_by_kernel
from proxyset.methods.tangent_kernel import tangent_kernel

TESTED = 500  # images that are classified at a time


class InducingPoints:
    """The state of one condensation: synthetic images and targets, and their moments."""

    def __init__(self, method: KIP, problem: Problem, context: Context) -> None:
        self.method, self.problem, self.spec = method, problem, problem.spec
        self.generator, self.device = context.generator, context.engine.device
        self.real = context.engine.place(problem.real)
        self.operations = augment.operations(method.augment, self.spec.flip)
        self.set = LearnedSet(method, problem, self.generator, self.device)

    def step(self, number: int) -> float:
        """One step of Adam on the images, and on the targets where they are learned.

        Returns:
            ½ mean over the real batch of the squared error. Images and targets stay as they were, and it is NaN, where
            the step is not finite.
        """
        index = draw(torch.arange(len(self.real)), self.method.batch_real, self.generator)
        loss, *gradients = self.match(index)
        if not (loss.isfinite() and self.set.step(adam, gradients, number, self.method.lr_img)):
            return float("nan")
        return loss.item()

    def match(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The loss on a real batch, and its gradients with respect to the stored images and the targets."""
        index = index.to(self.real.images.device)
        labels = self.real.labels[index].to(self.device)
        shared = augment.draw(self.operations, self.generator)  # ω ~ Ω, one for both
        real = augment.apply(shared, normalise(self.real.images[index].to(self.device), self.spec))
        leaf, targets = self.set.images.clone().requires_grad_(), self.set.targets.clone().requires_grad_()
        support = augment.apply(shared, unfold(leaf, self.method.formation))
        prediction = predicted(self.method, support, targets, real)
        error = half_squared_error(prediction, centred(one_hot(labels, self.spec.classes)))
        gradient, of_targets = torch.autograd.grad(error, (leaf, targets))
        return error.detach(), gradient, of_targets

    def result(self) -> ImageSet:
        return self.set.result()

    def state(self) -> State:
        return self.set.state() | {"generator": self.generator.get_state()}

    def set_state(self, saved: State) -> None:
        self.set.set_state(saved)
        self.generator.set_state(saved["generator"])


def predicted(method: KIP, support: Tensor, targets: Tensor, images: Tensor) -> Tensor:
    """What the regression on a set answers for images: K_ts (K_ss + λI)⁻¹ Y_s, N×classes float64."""
    kernel, across = (
        tangent_kernel(each, support, method.hidden, method.kernel == "convolutional") for each in (support, images)
    )
    return predict_by_kernel(kernel, targets, across, method.ridge)


@torch.no_grad()
def kernel_accuracy(method: KIP, data: ImageSet, test: ImageSet, spec: DatasetSpec) -> float:
    """The share (0..1) of test images that the regression on a set classifies correctly: no network is trained."""
    learned, right = data.unfold(), 0
    answers = one_hot(learned.labels, spec.classes) if learned.targets is None else learned.targets
    for index in torch.arange(len(test)).split(TESTED):
        found = predicted(method, learned.images, centred(answers), normalise(test.images[index], spec))
        right += int((found.argmax(1) == test.labels[index]).sum())
    return right / len(test)
