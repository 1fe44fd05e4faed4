"""CutMix: images that are patched together from two of a minibatch, with answers in the same shares."""

import torch
from torch import Tensor

from proxyset.data.images import one_hot


def cutmix(
    images: Tensor, answers: Tensor, classes: int, probability: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """CutMix with λ ~ Beta(1, 1) (Yun et al. 2019, Algorithm A1).

    With the given probability a box is filled, in every image, with what another image of the minibatch has there:
    x ← M⊙x + (1−M)⊙x', y ← λy + (1−λ)y'. The box has the sides H√(1−λ) and W√(1−λ) around a uniform centre, and is
    cut at the border; λ is then the share of the image that is left. Box and λ are one draw for the minibatch.

    Args:
        images: N×C×H×W.
        answers: labels (N int64), or probabilities (N×classes float32).
        probability: 0 to 1, of mixing this minibatch.
        generator: on the CPU; draws all of it.

    Returns:
        New images, and answers as probabilities (also where nothing was mixed, so that a loss is compiled once).
    """
    targets = answers if answers.is_floating_point() else one_hot(answers, classes)
    draws = torch.rand(4, generator=generator).tolist()  # always as many, whatever comes of them
    other = torch.randperm(len(images), generator=generator).to(images.device)
    if draws[0] >= probability:
        return images, targets
    top, bottom = _side(images.shape[2], draws[1], draws[2])
    left, right = _side(images.shape[3], draws[1], draws[3])
    images = images.clone()
    images[:, :, top:bottom, left:right] = images[other, :, top:bottom, left:right]
    share = (bottom - top) * (right - left) / (images.shape[2] * images.shape[3])
    return images, (1 - share) * targets + share * targets[other]


def _side(length: int, kept: float, centre: float) -> tuple[int, int]:
    """From where to where the box goes: √(1 − `kept`) of `length` around the pixel at `centre`, within the image."""
    half, middle = int(length * (1 - kept) ** 0.5) // 2, int(length * centre)
    return max(0, middle - half), min(length, middle + half)
