"""What is known about a set of images, and the way between pixels and the space that networks see."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypedDict

import torch
from torch import Tensor

from proxyset.data.images import ImageSet
from proxyset.data.picture import as_html, sheet


class Shape(TypedDict):
    """What goes into a network and how many logits come out."""

    channels: int
    size: int
    classes: int


NO_FLIP = frozenset({"digits", "mnist", "svhn", "usps"})  # by name: a mirrored digit is another sign


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

    Attributes:
        source: the arguments that load it again (see `load`); empty for one made in Python. The provenance of a proxy
            set records them.
        notes: what was done to how many images when they were read, such as "640 cropped to squares".
        left_out: each image that could not be read, and why (`on_error="skip"`).
        validation: images held out of the training split (None: none were; see `with_validation`).
    """

    train: ImageSet
    test: ImageSet
    spec: DatasetSpec
    source: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    validation: ImageSet | None = None

    @property
    def reading(self) -> str:
        """What was done to its images when they were read, in a line; empty where nothing was."""
        if not self.notes:
            return ""
        count = len(self.train) + len(self.test) + len(self.validation or ())
        return f"{self.spec.name}: {count} images, {', '.join(self.notes)}"

    @property
    def judge(self) -> ImageSet:
        """The images that rank: those that are held out, or the test split where none are."""
        return self.test if self.validation is None else self.validation

    @cached_property
    def sha256(self) -> str:
        """Content hash of the training split, computed once."""
        return self.train.sha256()

    @cached_property
    def test_sha256(self) -> str:
        """Content hash of the test split, computed once."""
        return self.test.sha256()

    def __repr__(self) -> str:
        spec = self.spec
        shape = f"{spec.channels}×{spec.size}×{spec.size}"
        return f"Dataset({spec.name}: {len(self.train)} + {len(self.test)} images {shape}, {spec.classes} classes)"

    def _repr_html_(self) -> str:
        """Its description and the first images of each class, for notebooks."""
        few = [index[:10] for index in self.train.indices_by_class(self.spec.classes)[:20]]
        pixels = to_pixels(self.train.images[torch.cat(few)], self.spec)
        return as_html(repr(self), sheet(pixels.split([len(index) for index in few])))


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
