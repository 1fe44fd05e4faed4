"""Formations: a stored image of f×f tiles stands for f² training images (IDC, Kim et al. 2022, section 4.1).

Each tile is an image shrunk by f. To train on it, it is enlarged to full size again. Both ways are plain functions of
tensors, and `unfold` is differentiable, so that whatever learns images can learn them through it.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from proxyset.errors import InputError

SMALLEST_TILE = 4  # pixels; below that nothing is left of an image


def check_formation(formation: int, size: int) -> None:
    """Raise `InputError` where the tiles of images of `size` pixels would be too small."""
    if size // formation < SMALLEST_TILE and formation > 1:
        raise InputError(
            f"`formation={formation}` leaves tiles of {size // formation} of {size} pixels: at least {SMALLEST_TILE} "
            f"are needed, so `formation` can be at most {max(1, size // SMALLEST_TILE)}"
        )


def unfold(images: Tensor, formation: int) -> Tensor:
    """What is trained on: every tile enlarged to full size, bilinearly.

    Where f does not divide the size, tiles differ by a pixel.

    Args:
        images: N×C×S×S, float, or uint8 (rounded again after enlarging).

    Returns:
        N·f²×C×S×S: the tiles of the first image row by row, then those of the second.
    """
    if formation == 1:
        return images
    size = images.shape[-1]
    pixels = images.float() if images.dtype == torch.uint8 else images
    tiles = [tile for row in pixels.tensor_split(formation, 2) for tile in row.tensor_split(formation, 3)]
    full = torch.stack([F.interpolate(tile, (size, size), mode="bilinear", align_corners=False) for tile in tiles], 1)
    full = full.flatten(0, 1)
    return full.round().clamp(0, 255).byte() if images.dtype == torch.uint8 else full


def fold(images: Tensor, formation: int) -> Tensor:
    """What is stored: f² images after another shrunk into the tiles of one, with antialiasing.

    Args:
        images: N·f²×C×S×S, float, in the order that `unfold` gives.

    Returns:
        N×C×S×S.
    """
    if formation == 1:
        return images
    size = images.shape[-1]
    sides = [len(part) for part in torch.arange(size).tensor_split(formation)]
    groups = images.unflatten(0, (-1, formation**2)).unbind(1)
    tiles = [
        F.interpolate(group, (sides[place // formation], sides[place % formation]), mode="bilinear", antialias=True)
        for place, group in enumerate(groups)
    ]
    rows = [torch.cat(tiles[start : start + formation], 3) for start in range(0, len(tiles), formation)]
    return torch.cat(rows, 2)
