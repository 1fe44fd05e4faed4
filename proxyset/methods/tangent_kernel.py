"""The neural tangent kernel of an infinitely wide fully connected ReLU network, in closed form (Jacot et al., 2018).

In the parameterisation of KIP's authors: every layer is σ_w·W x / √n + σ_b·b with standard normal W and b.
"""

import math

from torch import Tensor

WEIGHT, BIAS = 2.0, 0.01  # σ_w² and σ_b² (KIP's notebook: √2 and 0.1)
INSIDE = 1 - 1e-12  # the largest cosine, because the angle's derivative is infinite at 1


def tangent_kernel(one: Tensor, other: Tensor, hidden: int) -> Tensor:
    """Θ of every pair of images, n×N float64.

    Args:
        one, other: images, n×C×H×W and N×C×H×W.
        hidden: layers with ReLU; one more gives the answer.
    """
    one, other = one.double().flatten(1), other.double().flatten(1)
    size = one.shape[1]
    variance, variances = (_affine(each.square().sum(1) / size) for each in (one, other))
    covariance = _affine(one @ other.T / size)
    tangent = covariance
    for _ in range(hidden):
        scale = (variance[:, None] * variances[None]).sqrt()
        cosine = (covariance / scale).clamp(-INSIDE, INSIDE)
        angle = cosine.arccos()
        # E[relu(u) relu(v)] and E[relu'(u) relu'(v)] of Gaussians with this covariance (Cho & Saul, 2009)
        both = scale * ((1 - cosine.square()).sqrt() + (math.pi - angle) * cosine) / (2 * math.pi)
        slopes = (math.pi - angle) / (2 * math.pi)
        covariance = _affine(both)
        tangent = covariance + WEIGHT * tangent * slopes
        variance, variances = _affine(variance / 2), _affine(variances / 2)
    return tangent


def _affine(moment: Tensor) -> Tensor:
    """Of a layer's input moments, those of its output."""
    return WEIGHT * moment + BIAS
