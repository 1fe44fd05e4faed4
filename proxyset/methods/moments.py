"""Adam for images and targets, and LAMB (You et al., ICLR 2020, Algorithm 2): Adam with steps as long as the learning
rate's share of the tensor.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

BETA1, BETA2, EPSILON, ADAM_EPSILON = 0.9, 0.999, 1e-6, 1e-8


@dataclass(frozen=True)
class Moments:
    """Running means of a tensor's gradient and of its square."""

    first: Tensor
    second: Tensor

    @classmethod
    def zeros(cls, like: Tensor) -> "Moments":
        return cls(torch.zeros_like(like), torch.zeros_like(like))


def adam(
    value: Tensor, gradient: Tensor, moments: Moments, number: int, lr: float, *, beta1: float = BETA1
) -> tuple[Tensor, Moments]:
    """One step of Adam (Kingma & Ba, ICLR 2015): x ← x − lr·m̂ / (√v̂ + ε).

    Args:
        value: x, of any shape; not changed.
        number: steps done before this one.
        beta1: how much of the mean of earlier gradients stays with a step.

    Returns:
        The new x and moments.
    """
    step, moments = _direction(gradient, moments, number, ADAM_EPSILON, beta1)
    return value - lr * step, moments


def lamb(value: Tensor, gradient: Tensor, moments: Moments, number: int, lr: float) -> tuple[Tensor, Moments]:
    """One step: x ← x − lr·‖x‖·r / ‖r‖ with r = m̂ / (√v̂ + ε), x the whole tensor. No weight decay.

    Where x or r is zero, the step is lr·r, as in optax, which FRePo's authors use. Arguments and result as of `adam`.
    """
    step, moments = _direction(gradient, moments, number, EPSILON, BETA1)
    lengths = value.norm(), step.norm()
    trust = torch.where((lengths[0] > 0) & (lengths[1] > 0), lengths[0] / lengths[1], 1.0)
    return value - lr * trust * step, moments


def _direction(gradient: Tensor, moments: Moments, number: int, epsilon: float, beta1: float) -> tuple[Tensor, Moments]:
    """m̂ / (√v̂ + ε) after one more gradient."""
    first = beta1 * moments.first + (1 - beta1) * gradient
    second = BETA2 * moments.second + (1 - BETA2) * gradient.square()
    step = first / (1 - beta1 ** (number + 1)) / ((second / (1 - BETA2 ** (number + 1))).sqrt() + epsilon)
    return step, Moments(first, second)
