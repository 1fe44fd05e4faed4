"""Differentiable augmentation in two steps: `draw` a transform from a generator, then `apply` it to any batch.

Siamese augmentation (paper, section 3.2) is one transform drawn with count 1 and applied to the real and to the
synthetic batch. Every transform acts in normalised space and fills with zeros (the paper's public code).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from proxyset.errors import InputError
from proxyset.registry import Registry

SCALE = 1.2  # zoom factors between 1/1.2 and 1.2
ROTATE = 15.0  # degrees to either side
CROP = 0.125  # largest shift, as a share of the size
CUTOUT = 0.5  # side of the erased square, as a share of the size
FLIP = 0.5  # probability
BRIGHTNESS, SATURATION, CONTRAST = 1.0, 2.0, 0.5


@dataclass(frozen=True)
class Transform:
    """One operation and its uniform draws `r` in [0, 1): count×k, count 1 (shared by every image) or one per image."""

    operation: str
    r: Tensor


@dataclass(frozen=True)
class Operation:
    """An augmentation.

    Attributes:
        function: of images N×C×H×W (normalised) and uniform draws r in [0, 1), 1×draws or N×draws; differentiable in
            the images.
        draws: how many numbers one application takes.
        keeps_label: whether it is harmless everywhere; `flip` is not, and is left out where it changes the label.
    """

    function: Callable[[Tensor, Tensor], Tensor]
    draws: int
    keeps_label: bool = True


def operations(strategy: str, flip: bool) -> tuple[str, ...]:
    """The operations of a strategy such as `crop_scale`; `none` has none.

    Names are joined by `_`, or by `+` where one has a `_` in it, as `crop+my_package.shear:SHEAR` has.

    Args:
        flip: whether flipping keeps the labels; if not, `flip` is left out of the strategy.

    Raises:
        InputError: an unknown operation, or a strategy that flip alone makes up where it changes the labels.
    """
    if strategy == "none":
        return ()
    names = tuple(strategy.split("+" if "+" in strategy or ":" in strategy or strategy in OPERATIONS else "_"))
    kept = tuple(name for name in names if OPERATIONS[name].keeps_label or flip)
    if not kept:
        raise InputError("a flip changes the labels of this dataset, so it cannot be the only augmentation")
    return kept


def strategy(names: tuple[str, ...]) -> str:
    """The strategy of which `operations` makes these names."""
    return ("+" if any("_" in name or ":" in name for name in names) else "_").join(names) or "none"


def draw(names: tuple[str, ...], generator: torch.Generator, count: int = 1) -> Transform | None:
    """Draw one of the operations and its parameters for `count` images; None where there is nothing to draw from."""
    if not names:
        return None
    name = names[int(torch.randint(len(names), (), generator=generator))]
    return Transform(name, torch.rand(count, OPERATIONS[name].draws, generator=generator))


def apply(transform: Transform | None, images: Tensor) -> Tensor:
    """Apply a transform to normalised images N×C×H×W (square); differentiable in the images.

    Raises:
        ValueError: the transform was drawn for another number of images.
    """
    if transform is None:
        return images
    if len(transform.r) not in (1, len(images)):
        raise ValueError(f"the transform has parameters for {len(transform.r)} images, got {len(images)}")
    return OPERATIONS[transform.operation].function(images, transform.r.to(images))


def color(images: Tensor, r: Tensor) -> Tensor:
    """Brightness x + (r₀ − ½), then saturation (x − m)·2r₁ + m about the mean m over channels of each pixel,
    then contrast (x − m)·(r₂ + ½) + m about the mean m of each image. r: count×3.
    """
    brightness, saturation, contrast = r.view(-1, 3, 1, 1, 1).unbind(1)
    images = images + (brightness - 0.5) * BRIGHTNESS
    mean = images.mean(1, keepdim=True)
    images = (images - mean) * (saturation * SATURATION) + mean
    mean = images.mean((1, 2, 3), keepdim=True)
    return (images - mean) * (contrast + CONTRAST) + mean


def crop(images: Tensor, r: Tensor) -> Tensor:
    """Shift by whole pixels, uniform in ±int(0.125·size + 0.5) per axis; zeros come in. r: count×2 (rows, columns)."""
    size = images.shape[-1]
    reach = int(size * CROP + 0.5)
    # 0..2·reach in the padded image; a draw near 1 may round up to 1 in half precision
    shift = (r * (2 * reach + 1)).floor().long().clamp(max=2 * reach)
    rows, columns = (shift[:, axis, None] + torch.arange(size, device=images.device) for axis in (0, 1))
    padded = F.pad(images, (reach,) * 4).permute(0, 2, 3, 1)
    image = torch.arange(len(images), device=images.device)[:, None, None]
    return padded[image, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def cutout(images: Tensor, r: Tensor) -> Tensor:
    """Erase a square of side int(0.5·size + 0.5) whose centre is uniform over the image. r: count×2 (row, column)."""
    size = images.shape[-1]
    side = int(size * CUTOUT + 0.5)
    start = (r * (size + 1 - side % 2)).floor() - side // 2
    place = torch.arange(size, device=images.device)
    rows, columns = ((place >= start[:, axis, None]) & (place < start[:, axis, None] + side) for axis in (0, 1))
    inside = rows[:, None, :, None] & columns[:, None, None, :]
    return images.masked_fill(inside, 0.0)


def flip(images: Tensor, r: Tensor) -> Tensor:
    """Mirror left to right with probability ½. r: count×1."""
    return torch.where(r.view(-1, 1, 1, 1) < FLIP, images.flip(3), images)


def scale(images: Tensor, r: Tensor) -> Tensor:
    """Zoom each axis by its own factor, uniform in 1/1.2..1.2 (over 1 shows more than the image). r: count×2 (x, y)."""
    factor = r * (SCALE - 1 / SCALE) + 1 / SCALE
    return _warp(images, torch.diag_embed(factor))


def rotate(images: Tensor, r: Tensor) -> Tensor:
    """Rotate about the centre by an angle uniform in ±15°. r: count×1."""
    angle = (r[:, 0] - 0.5) * 2 * ROTATE * math.pi / 180
    cos, sin = angle.cos(), angle.sin()
    return _warp(images, torch.stack([cos, -sin, sin, cos], 1).view(-1, 2, 2))


def _warp(images: Tensor, linear: Tensor) -> Tensor:
    """Sample at linear·(x, y), bilinear, zeros outside. linear: count×2×2. align_corners as in torch 1.2."""
    theta = torch.cat([linear, linear.new_zeros(len(linear), 2, 1)], 2).expand(len(images), 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=True)
    return F.grid_sample(images, grid, align_corners=True)


OPERATIONS: Registry[Operation] = Registry(
    "augmentation",
    "proxyset.augmentations",
    {
        "color": Operation(color, 3),
        "crop": Operation(crop, 2),
        "cutout": Operation(cutout, 2),
        "flip": Operation(flip, 1, keeps_label=False),
        "scale": Operation(scale, 2),
        "rotate": Operation(rotate, 1),
    },
)
"""Operations by name. `OPERATIONS.register(name, Operation(...))` adds one of your own."""
