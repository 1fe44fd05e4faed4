"""Label distillation, step by step (Bohdal et al., 2020, Algorithms 1 and 2). `ld.py` holds the hyper-parameters."""

import torch
from torch import Tensor

from proxyset.checkpoint import State
from proxyset.data.formation import unfold
from proxyset.data.images import ImageSet, one_hot
from proxyset.data.spec import normalise
from proxyset.methods.base import Context, Problem
from proxyset.methods.initial import draw, initial_images, stored
from proxyset.methods.ld import LD
from proxyset.methods.moments import Moments, adam
from proxyset.methods.regression import SMALLEST, centred, half_squared_error, predict
from proxyset.methods.unrolled import Student, back, train
from proxyset.nets.build import build_net


class LabelDistillation:
    """The state of one condensation: targets, their moments, and the network that is trained on them."""

    def __init__(self, method: LD, problem: Problem, context: Context) -> None:
        self.method, self.problem, self.spec = method, problem, problem.spec
        self.generator, self.device = context.generator, context.engine.device
        self.real = context.engine.place(problem.real)
        self.images = initial_images(problem, method.init, method.formation, self.generator).to(self.device)
        labels = problem.labels.repeat_interleave(method.tiles())
        self.targets = one_hot(labels, self.spec.classes).to(self.device)
        if problem.start is not None and problem.start.targets is not None:
            self.targets = problem.start.targets.reshape(-1, self.spec.classes).to(self.device)
        self.moments = Moments.zeros(self.targets)
        self.features = context.features(method.net, self.spec, condensing=False)
        self.gradients = context.gradients(method.net, self.spec)
        self.student = self.fresh()
        self.weights = self.student.weights()

    def fresh(self) -> Student:
        return Student(build_net(self.method.net, **self.spec.shape, generator=self.generator, device=self.device))

    def step(self, number: int) -> float:
        """One step of Adam on the targets; the network goes on with what it was trained to in that step.

        Returns:
            The loss on real images. Nothing has changed, and it is NaN, where the step is not finite.
        """
        index = draw(torch.arange(len(self.real)), self.method.batch_real, self.generator)
        solve = self.by_ridge if self.method.solver == "ridge" else self.by_gradient
        loss, gradient, trained = solve(index.to(self.real.images.device))
        targets, moments = adam(self.targets, gradient, self.moments, number, self.method.lr_targets)
        if not (loss.isfinite() and targets.isfinite().all() and trained.isfinite().all()):
            return float("nan")
        self.targets, self.moments, self.weights = probabilities(targets), moments, trained
        if (number + 1) % self.method.reset == 0:
            self.student = self.fresh()
            self.weights = self.student.weights()
        return loss.item()

    def by_gradient(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The loss on real images after a few steps on the set, its gradient with respect to the targets, and the
        weights after these steps.
        """
        leaf = self.targets.clone().requires_grad_()
        rates = torch.full((self.method.unroll,), self.method.lr_net, device=self.device)
        images = self.support()

        def minibatch(number: int) -> tuple[Tensor, Tensor]:
            return images, leaf

        trajectory = train(self.student, self.weights, minibatch, rates, len(rates))
        loss, gradient = self.student.tested(trajectory[-1], *self.batch(index), self.gradients)
        found = back(self.student, trajectory, minibatch, rates, [leaf], gradient)
        return loss, found.leaves[0], trajectory[-1]

    def by_ridge(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Likewise with a ridge regression from the features of the set to its targets; the loss is ½ mean squared."""
        images, (real, labels) = self.support(), self.batch(index)
        net = self.student.load(self.weights)
        leaf = self.targets.clone().requires_grad_()
        support, features = self.features.of(net, images), self.features.of(net, real)
        prediction = predict(support, centred(leaf), features, self.method.ridge)
        loss = half_squared_error(prediction, centred(one_hot(labels, self.spec.classes)))
        (gradient,) = torch.autograd.grad(loss, leaf)
        rate = torch.tensor([self.method.lr_net], device=self.device)
        trained = train(self.student, self.weights, lambda _: (images, self.targets), rate, 0)
        return loss.detach(), gradient, trained[-1]

    def support(self) -> Tensor:
        """The set's images as they are trained on."""
        return unfold(self.images, self.method.formation)

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Real images and their labels."""
        images = normalise(self.real.images[index].to(self.device), self.spec)
        return images, self.real.labels[index].to(self.device)

    def result(self) -> ImageSet:
        formation, targets = self.method.formation, self.targets.cpu().clone()
        if formation > 1:
            targets = targets.unflatten(0, (-1, formation**2))
        return stored(self.problem, self.images.clone(), formation, targets)

    def state(self) -> State:
        moments = {"targets.first": self.moments.first, "targets.second": self.moments.second}
        learned = {"images": self.images, "targets": self.targets, "weights": self.weights}
        return learned | moments | {"generator": self.generator.get_state()}

    def set_state(self, saved: State) -> None:
        self.images, self.targets = saved["images"].to(self.device), saved["targets"].to(self.device)
        self.weights = saved["weights"].to(self.device)
        self.moments = Moments(*(saved[f"targets.{order}"].to(self.device) for order in ("first", "second")))
        self.generator.set_state(saved["generator"])


def probabilities(targets: Tensor) -> Tensor:
    """Targets N×C after a step, as probabilities again: clamped at 0 and normalised."""
    positive = targets.clamp(min=SMALLEST)
    return positive / positive.sum(1, keepdim=True)
