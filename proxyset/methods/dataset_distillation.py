"""Dataset distillation, step by step (Wang et al., 2018, Algorithm 1). `dd.py` holds the hyper-parameters."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from proxyset.checkpoint import State
from proxyset.data.formation import unfold
from proxyset.data.images import ImageSet, one_hot
from proxyset.data.spec import normalise
from proxyset.methods.base import Context, Problem
from proxyset.methods.dd import Unrolling
from proxyset.methods.initial import draw, initial_images, stored
from proxyset.methods.moments import Moments, adam
from proxyset.methods.unrolled import Minibatch, Student, back, train
from proxyset.nets.build import build_net

HALVINGS = 10  # of Adam's learning rate in all (the authors' code: every 40 of 400 epochs)


class DatasetDistillation:
    """The state of one condensation: what is learned, the last of which are the learning rates, and its moments.

    The other learned tensors are the images themselves; `GenerativeTeaching` makes images from others.
    """

    beta1: ClassVar[float] = 0.5
    """Of Adam, as in the authors' code."""

    def __init__(self, method: Unrolling, problem: Problem, context: Context) -> None:
        self.method, self.problem, self.spec = method, problem, problem.spec
        self.generator, self.device = context.generator, context.engine.device
        self.facts = context.facts
        self.real = context.engine.place(problem.real)
        self.gradients = context.gradients(method.net, self.spec)
        rates = torch.full((method.steps(problem.ipc),), method.lr_net)
        raw = rates.expm1().log()  # the rate is softplus of it, so that it stays above 0
        self.learned = [tensor.to(self.device) for tensor in (*self.first(), raw)]
        self.moments = [Moments.zeros(tensor) for tensor in self.learned]
        self.parts = _parts(problem.ipc, method.minibatches(problem.ipc), self.spec.classes)

    def first(self) -> list[Tensor]:
        """What is learned beside the rates, as it is at the start."""
        return [initial_images(self.problem, self.method.init, self.method.formation, self.generator)]

    def images(self, leaves: list[Tensor], rows: Tensor) -> Tensor:
        """The stored images of some rows, made from what is learned."""
        return leaves[0][rows]

    def network(self) -> nn.Module:
        """A fresh one."""
        return build_net(self.method.net, **self.spec.shape, generator=self.generator, device=self.device)

    def rates(self) -> Tensor:
        """The learning rate of every step of a network's training."""
        return F.softplus(self.learned[-1])

    def step(self, number: int) -> float:
        """One step of Adam on all that is learned.

        Returns:
            The loss on real images after the training. Nothing changes, and it is NaN, where the step is not finite.
        """
        loss, gradients = self.through_a_training()
        lr = self.method.lr_img * 0.5 ** (HALVINGS * number // self.method.iterations)
        updates = zip(self.learned, gradients, self.moments, strict=True)
        stepped = [adam(*update, number, lr, beta1=self.beta1) for update in updates]
        if not (loss.isfinite() and all(value.isfinite().all() for value, _ in stepped)):
            return float("nan")
        self.learned, self.moments = [value for value, _ in stepped], [moments for _, moments in stepped]
        return loss.item()

    def through_a_training(self) -> tuple[Tensor, list[Tensor]]:
        """The loss of a fresh network that is trained on the set, and its gradients with respect to what is learned."""
        student, rates = Student(self.network()), self.rates()
        leaves = [tensor.clone().requires_grad_() for tensor in self.learned[:-1]]
        minibatch = self.minibatch(leaves)
        trajectory = train(student, student.weights(), minibatch, rates, self.method.gone_back(self.problem.ipc))
        index = draw(torch.arange(len(self.real)), self.method.batch_real, self.generator)
        index = index.to(self.real.images.device)
        real = normalise(self.real.images[index].to(self.device), self.spec)
        labels = self.real.labels[index].to(self.device)
        loss, gradient = student.tested(trajectory[-1], real, labels, self.gradients)
        found = back(student, trajectory, minibatch, rates, leaves, gradient)
        return loss, [*found.leaves, found.rates * torch.sigmoid(self.learned[-1])]

    def minibatch(self, leaves: list[Tensor]) -> Minibatch:
        """The minibatches of the set, in turn."""
        tiles = self.method.tiles()
        targets = one_hot(self.problem.labels, self.spec.classes).to(self.device)

        def of_step(number: int) -> tuple[Tensor, Tensor]:
            rows = self.parts[number % len(self.parts)].to(self.device)
            images = unfold(self.images(leaves, rows), self.method.formation)
            return images, targets[rows].repeat_interleave(tiles, 0)

        return of_step

    def result(self) -> ImageSet:
        self.facts["learning_rates"] = [round(rate, 6) for rate in self.rates().tolist()]
        with torch.no_grad():
            images = self.images(self.learned[:-1], torch.arange(len(self.problem.labels), device=self.device))
        return stored(self.problem, images, self.method.formation)

    def state(self) -> State:
        named: State = {"generator": self.generator.get_state()}
        for place, (value, moments) in enumerate(zip(self.learned, self.moments, strict=True)):
            named |= {f"{place}.value": value, f"{place}.first": moments.first, f"{place}.second": moments.second}
        return named

    def set_state(self, saved: State) -> None:
        for place in range(len(self.learned)):
            value, first, second = (saved[f"{place}.{name}"].to(self.device) for name in ("value", "first", "second"))
            self.learned[place], self.moments[place] = value, Moments(first, second)
        self.generator.set_state(saved["generator"])


def _parts(ipc: int, count: int, classes: int) -> list[Tensor]:
    """The rows of each minibatch: some of every class, every row once."""
    starts = torch.arange(classes)[:, None] * ipc
    return [(starts + places).flatten() for places in torch.arange(ipc).tensor_split(count)]
