"""The neural tangent kernel of infinitely wide ReLU networks, in closed form (Jacot et al., 2018; Novak et al., 2019).

In the parameterisation of KIP's authors: every layer is σ_w·W x / √n + σ_b·b with standard normal W and b, and n inputs
for each output.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from proxyset.methods.regression import double

WEIGHT, BIAS = 2.0, 0.01  # σ_w² and σ_b² (KIP's notebook: √2 and 0.1)
INSIDE = 1 - 1e-12  # the largest cosine, because the angle's derivative is infinite at 1


def tangent_kernel(one: Tensor, other: Tensor, hidden: int, convolutional: bool = False) -> Tensor:
    """Θ of every pair of images, n×N float64.

    Without pooling, places of an image meet only in the last layer. So the kernel of a convolutional network needs, for
    every pair, the covariance at each of the H·W places and not of every two of them.

    Args:
        one, other: images, n×C×H×W and N×C×H×W.
        hidden: layers with ReLU; one more, which is fully connected, gives the answer.
        convolutional: hidden layers see 3×3 places; otherwise the whole image.
    """
    one, other = double(one), double(other)
    if not convolutional:  # one place, of which the whole image is the channels
        one, other = (each.flatten(1)[:, :, None, None] for each in (one, other))
    mix = _patches if convolutional else _same
    variance, variances = (_affine(mix(each.square().mean(1))) for each in (one, other))
    covariance = _affine(mix(torch.einsum("nchw,mchw->nmhw", one, other) / one.shape[1]))
    tangent = covariance
    for layer in range(1, hidden + 1):
        mix = _whole if layer == hidden or not convolutional else _patches
        scale = (variance[:, None] * variances[None]).sqrt()
        cosine = (covariance / scale).clamp(-INSIDE, INSIDE)
        angle = cosine.arccos()
        # E[relu(u) relu(v)] and E[relu'(u) relu'(v)] of Gaussians with this covariance (Cho & Saul, 2009)
        both = scale * ((1 - cosine.square()).sqrt() + (math.pi - angle) * cosine) / (2 * math.pi)
        slopes = (math.pi - angle) / (2 * math.pi)
        covariance = _affine(mix(both))
        tangent = covariance + WEIGHT * mix(tangent * slopes)
        variance, variances = (_affine(mix(each / 2)) for each in (variance, variances))
    return tangent[..., 0, 0]


def _affine(moment: Tensor) -> Tensor:
    """Of what a layer sees, the moments of what it gives."""
    return WEIGHT * moment + BIAS


def _same(moments: Tensor) -> Tensor:
    return moments


def _patches(moments: Tensor) -> Tensor:
    """The mean over the 3×3 places around each, zeros beyond the border: …×H×W."""
    flat = moments.flatten(0, -3)[:, None]
    return F.avg_pool2d(flat, 3, stride=1, padding=1).reshape(moments.shape)


def _whole(moments: Tensor) -> Tensor:
    """The mean over all places, …×1×1: what a fully connected layer sees."""
    return moments.mean((-2, -1), keepdim=True)
