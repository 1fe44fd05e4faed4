"""Distances between the gradients of one network on real and on synthetic images: pure functions."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

EPSILON = 1e-6  # added to the denominator of every cosine


def layerwise_cosine(real: Sequence[Tensor], synthetic: Sequence[Tensor]) -> Tensor:
    """Σ over layers and output units of 1 − cos(real, synthetic): DC, equation 9, the `D` of DSA's equation 3.

    Args:
        real, synthetic: one gradient per parameter, alike in shape. 4-D (convolution) is seen as O×(I·h·w), 3-D
            (layer norm) as C×(h·w), 2-D (linear) as it is; 1-D (biases, norm affines) counts nothing.

    Returns:
        A scalar: 0 where every unit's gradients are parallel, 2 per unit where they are opposed.
    """
    return sum(
        ((1 - _cosine(r.flatten(1), s.flatten(1))).sum() for r, s in zip(real, synthetic, strict=True) if r.ndim > 1),
        start=real[0].new_zeros(()),
    )


def cosine(real: Sequence[Tensor], synthetic: Sequence[Tensor]) -> Tensor:
    """1 − cos of all gradients, every parameter flattened into one vector (DC's appendix)."""
    return 1 - _cosine(_flat(real), _flat(synthetic))


def squared_error(real: Sequence[Tensor], synthetic: Sequence[Tensor]) -> Tensor:
    """‖real − synthetic‖² of all gradients, every parameter flattened into one vector (DC's appendix)."""
    return (_flat(real) - _flat(synthetic)).square().sum()


DISTANCES: dict[str, Callable[[Sequence[Tensor], Sequence[Tensor]], Tensor]] = {
    "layerwise": layerwise_cosine,
    "cosine": cosine,
    "mse": squared_error,
}


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1) + EPSILON)


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])
