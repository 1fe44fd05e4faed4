"""Distances between the features of real and of synthetic images: pure functions.

Synthetic features come class after class, equally many of each, so that they are G·n×F for G classes.
"""

import functools
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from proxyset.compute.features import Head

EPSILON = 1e-12  # under the root, whose slope at 0 is infinite


def mean_distance(features: Tensor, means: Tensor) -> Tensor:
    """Σ_c ‖mean φ(synthetic_c) − mean φ(real_c)‖² (DM, equation 6; each attention map of DataDAM likewise).

    Args:
        means: of the real features of each class, G×F.
    """
    return (features.unflatten(0, (len(means), -1)).mean(1) - means).square().sum()


def characteristic_function(features: Tensor, frequencies: Tensor) -> Tensor:
    """E[exp(i⟨t, φ⟩)] of unit-length features at frequencies t: its real and its imaginary part, 2×K.

    Args:
        features: N×F of one class.
        frequencies: F×K.
    """
    angles = F.normalize(features, dim=1) @ frequencies
    return torch.stack([angles.cos().mean(0), angles.sin().mean(0)])


def characteristic_distance(features: Tensor, real: Tensor, frequencies: Tensor) -> Tensor:
    """Σ_c mean_t √(½·amplitude + ½·phase) of characteristic functions Φ (NCFM, Wang et al., CVPR 2025, equation 6).

    The authors multiply it by 300, which is left to `lr_img`. With their angles a, amplitude is (|Φ_r| − |Φ_s|)² and
    phase 2|Φ_r||Φ_s|(1 − cos(a_r − a_s)), which add up to |Φ_r − Φ_s|².

    Args:
        real: `characteristic_function` of each class, G×2×K.
    """
    groups = features.unflatten(0, (len(real), -1)).unbind(0)
    synthetic = torch.stack([characteristic_function(group, frequencies) for group in groups])
    return (0.5 * (synthetic - real).square().sum(1) + EPSILON).sqrt().mean(1).sum()


def class_loss(features: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, share: Tensor) -> Tensor:
    """The cross-entropies of synthetic images by a network, weighted (IDM, Zhao et al., CVPR 2023, section 3.3).

    Args:
        features: whose last columns the classifier sees.
        weight, bias: the classifier's.
        labels: G·n.
        share: a scalar, the weight of an image.
    """
    seen = features[:, -weight.shape[1] :]
    return (F.cross_entropy(F.linear(seen, weight, bias), labels, reduction="none") * share).sum()


DISTANCES: dict[str, tuple[Head, int]] = {"mean": (mean_distance, 1), "characteristic": (characteristic_distance, 2)}
"""Each with the number of tensors that it takes after the features."""


@functools.cache  # a function of its own is compiled once
def head(distance: str, with_classes: bool) -> Head:
    """A distance, plus `class_loss` if `with_classes`: of the features, and then of what each of the two takes."""
    function, count = DISTANCES[distance]
    if not with_classes:
        return function

    def both(features: Tensor, *more: Tensor) -> Tensor:
        return function(features, *more[:count]) + class_loss(features, *more[count:])

    return both


def real_side(features: Sequence[Tensor], frequencies: Tensor | None) -> tuple[Tensor, ...]:
    """What a distance takes of the real images: that of means without frequencies, that of functions with them.

    Args:
        features: of each class, N×F.
        frequencies: F×K, for characteristic functions.
    """
    if frequencies is None:
        return (torch.stack([part.mean(0) for part in features]),)
    return torch.stack([characteristic_function(part, frequencies) for part in features]), frequencies
