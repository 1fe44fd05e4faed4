"""Training by SGD that can be gone through backwards: how its end depends on the images, targets and learning rates.

Going back, every step is computed anew from the weights before it. The memory for N steps is that of N + 1 copies of
the weights and of the graph of one step, whereas the graph of all N would hold the activations of each.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from proxyset.compute.gradients import Gradients
from proxyset.nets.classifier import hold_draws

Minibatch = Callable[[int], tuple[Tensor, Tensor]]
"""Gives the images N×C×H×W and targets N×classes (probabilities) of a step, the same at every call."""


class Flat:
    """A network as a function of one vector of all its weights, P float32."""

    def __init__(self, net: nn.Module) -> None:
        self.net = net.train()
        hold_draws(self.net)  # a step that is computed anew must be the step that was
        self._names, parameters = zip(*net.named_parameters(), strict=True)
        self._shapes = [parameter.shape for parameter in parameters]

    def weights(self) -> Tensor:
        """Those of the network."""
        return torch.cat([parameter.detach().flatten() for parameter in self.net.parameters()])

    def weights_in(self, state: dict[str, Tensor]) -> Tensor:
        """Those of a state of the network (`state_dict`)."""
        return torch.cat([state[name].flatten() for name in self._names])

    def __call__(self, weights: Tensor, inputs: Tensor) -> Tensor:
        """What the network makes of its inputs."""
        parts = weights.split([shape.numel() for shape in self._shapes])
        shaped = (part.view(shape) for part, shape in zip(parts, self._shapes, strict=True))
        return functional_call(self.net, dict(zip(self._names, shaped, strict=True)), inputs)

    def load(self, weights: Tensor) -> nn.Module:
        """The network with these weights."""
        nn.utils.vector_to_parameters(weights.clone(), self.net.parameters())
        return self.net


class Student(Flat):
    """A classifier that is trained."""

    def loss(self, weights: Tensor, images: Tensor, targets: Tensor) -> Tensor:
        """The mean cross-entropy against labels N or probabilities N×classes."""
        return F.cross_entropy(self(weights, images), targets)

    def tested(self, weights: Tensor, images: Tensor, labels: Tensor, gradients: Gradients) -> tuple[Tensor, Tensor]:
        """The loss on real images, and its gradient with respect to the weights, in micro-batches."""
        logits: list[Tensor] = []
        found = gradients.of_weights(self.load(weights), images, labels, logits=logits)
        pairs = zip(found, self.net.parameters(), strict=True)
        gradient = torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for g, p in pairs])
        return F.cross_entropy(torch.cat(logits), labels), gradient


@dataclass(frozen=True)
class Backward:
    """The gradients of some function of the last weights, with respect to what led there.

    Attributes:
        leaves: for each tensor that minibatches are made from.
        rates: for every step's learning rate; 0 for steps before those that were gone through.
        weights: for the weights before those steps.
    """

    leaves: list[Tensor]
    rates: Tensor
    weights: Tensor


def train(student: Student, weights: Tensor, minibatch: Minibatch, rates: Tensor, keep: int) -> list[Tensor]:
    """θ ← θ − η_n ∇L(θ; minibatch n), one step for each rate.

    Args:
        keep: how many of the last steps `back` will go through.

    Returns:
        The weights before each of these, and after the last.
    """
    trajectory = []
    for number, rate in enumerate(rates.detach()):
        if number >= len(rates) - keep:
            trajectory.append(weights)
        with torch.no_grad():
            images, targets = minibatch(number)
        leaf = weights.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(student.loss(leaf, images, targets), leaf)
        weights = weights - rate * gradient
    return [*trajectory, weights]


def back(
    student: Student,
    trajectory: Sequence[Tensor],
    minibatch: Minibatch,
    rates: Tensor,
    leaves: Sequence[Tensor],
    gradient: Tensor,
) -> Backward:
    """Reverse-mode differentiation of `train`, step by step.

    With a the gradient with respect to the weights after a step and g = ∇L(θ) in it, the gradient with respect to the
    rate is −g·a, to the minibatch −η ∂(g·a), and to the weights before the step a − η H a, with H a = ∇_θ(g·a).

    Args:
        trajectory: what `train` gave.
        leaves: what minibatches are made from, with `requires_grad`.
        gradient: of the function, with respect to the last weights.
    """
    rates = rates.detach()
    by_leaves, by_rates = [torch.zeros_like(leaf) for leaf in leaves], torch.zeros_like(rates)
    first = len(rates) - (len(trajectory) - 1)
    for number in reversed(range(first, len(rates))):
        before = trajectory[number - first].clone().requires_grad_()
        loss = student.loss(before, *minibatch(number))
        (of_loss,) = torch.autograd.grad(loss, before, create_graph=True)
        along = of_loss @ gradient
        by_weights, *others = torch.autograd.grad(along, (before, *leaves), allow_unused=True)
        by_rates[number] = -along.detach()
        for total, other in zip(by_leaves, others, strict=True):
            if other is not None:  # this minibatch is not made from it
                total -= rates[number] * other
        gradient = gradient - rates[number] * by_weights
    return Backward(by_leaves, by_rates, gradient)
