"""Labelled images in memory and what is known about the set they come from."""

import hashlib
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from proxyset.settings import InputError


@dataclass(frozen=True)
class ImageSet:
    """Images N×C×H×W, uint8 (pixels, 0 to 255) or float32 (normalised), and their labels, N int64."""

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.labels.shape != self.images.shape[:1]:
            raise InputError(
                f"images must be N×C×H×W with N labels, got {tuple(self.images.shape)} and {tuple(self.labels.shape)}"
            )
        if self.images.dtype not in (torch.uint8, torch.float32) or self.labels.dtype != torch.int64:
            raise InputError(
                f"images must be uint8 or float32 and labels int64, got {self.images.dtype} and {self.labels.dtype}"
            )
        if self.images.is_floating_point() and not self.images.isfinite().all():
            raise InputError("images hold NaN or infinite values")

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Tensor) -> "ImageSet":
        return ImageSet(self.images[index], self.labels[index])

    def to(self, device: torch.device | str) -> "ImageSet":
        return ImageSet(self.images.to(device), self.labels.to(device))

    def indices_by_class(self, classes: int) -> list[Tensor]:
        """For each class the positions of its images, in order."""
        order = self.labels.argsort(stable=True)
        return list(order.split(self.labels.bincount(minlength=classes).tolist()))

    def sha256(self) -> str:
        """Hash of shapes, types and every byte of images and labels."""
        digest = hashlib.sha256()
        for tensor in (self.images, self.labels):
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)};".encode())
            digest.update(np.ascontiguousarray(tensor.cpu().numpy()).data)
        return digest.hexdigest()


class Shape(TypedDict):
    """What goes into a network and how many logits come out."""

    channels: int
    size: int
    classes: int


@dataclass(frozen=True)
class DatasetSpec:
    """What the methods need to know of a dataset.

    Attributes:
        name: short name, used in file names.
        channels: 1 or 3.
        size: height and width in pixels (images are square).
        class_names: one per label, in label order.
        mean, std: per channel, of pixels scaled to 0..1; `normalise` uses them.
        flip: whether a horizontal flip keeps the label (false for digits).
    """

    name: str
    channels: int
    size: int
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    flip: bool = True

    @property
    def classes(self) -> int:
        return len(self.class_names)

    @property
    def shape(self) -> Shape:
        return {"channels": self.channels, "size": self.size, "classes": self.classes}


@dataclass(frozen=True)
class Dataset:
    """A training split, a test split (empty where the source has none) and their description.

    `source` holds the arguments that load it again; the provenance of a proxy set records them.
    """

    train: ImageSet
    test: ImageSet
    spec: DatasetSpec
    source: dict[str, str | int | float | bool | None]


def normalise(images: Tensor, spec: DatasetSpec) -> Tensor:
    """Pixels (uint8) to float32 with the spec's mean and std; images already in normalised space pass unchanged."""
    if images.is_floating_point():
        return images
    mean, std = _per_channel(spec, images.device)
    return images.float().div_(255).sub_(mean).div_(std)


def to_pixels(images: Tensor, spec: DatasetSpec) -> Tensor:
    """Normalised float images back to uint8 pixels, rounded; values outside 0..255 are clipped."""
    if not images.is_floating_point():
        return images
    mean, std = _per_channel(spec, images.device)
    return images.mul(std).add_(mean).mul_(255).round_().clamp_(0, 255).to(torch.uint8)


def _per_channel(spec: DatasetSpec, device: torch.device) -> tuple[Tensor, Tensor]:
    mean, std = torch.tensor([spec.mean, spec.std], device=device).view(2, 1, -1, 1, 1)
    return mean, std


def convert(images: Tensor, *, size: int, channels: int) -> Tensor:
    """uint8 images brought to a size (bilinear, antialiased) and a channel count (ITU-R 601 luma, or repeated grey)."""
    if images.shape[1] == 3 and channels == 1:
        weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
        images = torch.cat([(part * weights).sum(1, keepdim=True).round().byte() for part in images.split(4096)])
    elif images.shape[1] == 1 and channels == 3:
        images = images.expand(-1, 3, -1, -1).contiguous()
    if images.shape[-2:] != (size, size):
        parts = [
            F.interpolate(part.float(), (size, size), mode="bilinear", antialias=True, align_corners=False)
            for part in images.split(4096)
        ]
        images = torch.cat([part.round().clamp(0, 255).byte() for part in parts])
    return images


def measure(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of uint8 images scaled to 0..1 (std of a constant channel: 1)."""
    counts = torch.zeros(images.shape[1], 256, dtype=torch.float64)
    for part in images.split(4096):  # in parts, because bincount widens every byte to eight
        counts += torch.stack([part[:, c].flatten().bincount(minlength=256) for c in range(images.shape[1])])
    values = torch.arange(256, dtype=torch.float64) / 255
    share = counts / counts.sum(1, keepdim=True)
    mean = share @ values
    std = ((share * (values - mean[:, None]) ** 2).sum(1)).sqrt()
    return tuple(mean.tolist()), tuple(value if value > 0 else 1.0 for value in std.tolist())


def stratified_split(
    data: ImageSet, classes: int, fraction: float, generator: torch.Generator
) -> tuple[ImageSet, ImageSet]:
    """Split off `fraction` of every class (at least one image, at most all but one) as the second set."""
    train, test = [], []
    for label, index in enumerate(data.indices_by_class(classes)):
        if len(index) == 1:
            raise InputError(f"class {label} has a single image, which cannot be split into train and test")
        shuffled = index[torch.randperm(len(index), generator=generator)]
        count = min(max(round(len(index) * fraction), 1), len(index) - 1)
        test.append(shuffled[:count])
        train.append(shuffled[count:])
    return data[torch.cat(train).sort().values], data[torch.cat(test).sort().values]
