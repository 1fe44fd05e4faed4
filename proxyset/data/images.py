"""Labelled images in memory."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from proxyset.data.formation import unfold
from proxyset.errors import InputError

SUM_TOLERANCE = 1e-3  # by which the soft targets of one image may miss a sum of 1


@dataclass(frozen=True)
class ImageSet:
    """Images with labels, and optionally soft targets.

    Attributes:
        images: N×C×H×W, uint8 (pixels, 0 to 255) or float32 (in normalised space).
        labels: N int64, the class that each image stands for.
        targets: N×classes float32, what a network should answer, as probabilities (rows sum to 1); None: the labels.
        formation: f: every image holds f×f tiles, each of which stands for an image of its own (`unfold` makes those);
            targets are then N×f²×classes.

    Raises:
        InputError: shapes or types that do not fit, values that are no numbers, targets that are no probabilities.
    """

    images: Tensor
    labels: Tensor
    targets: Tensor | None = None
    formation: int = 1

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
        if self.targets is not None:
            _check_targets(self.targets, self.labels, self.formation)

    @property
    def trained_on(self) -> int:
        """How many images a network sees in an epoch: f² for every one that is held."""
        return len(self) * self.formation**2

    def unfold(self) -> "ImageSet":
        """The images that networks are trained on: those of every tile, at full size, one after another."""
        if self.formation == 1:
            return self
        targets = None if self.targets is None else self.targets.flatten(0, 1)
        return ImageSet(unfold(self.images, self.formation), self.labels.repeat_interleave(self.formation**2), targets)

    @property
    def answers(self) -> Tensor:
        """What a loss compares logits with: the soft targets (N×classes) where there are any, otherwise the labels."""
        return self.labels if self.targets is None else self.targets

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Tensor | slice) -> "ImageSet":
        targets = None if self.targets is None else self.targets[index]
        return ImageSet(self.images[index], self.labels[index], targets, self.formation)

    def to(self, device: torch.device | str) -> "ImageSet":
        targets = None if self.targets is None else self.targets.to(device)
        return ImageSet(self.images.to(device), self.labels.to(device), targets, self.formation)

    def indices_by_class(self, classes: int) -> list[Tensor]:
        """For each class the positions of its images, in order."""
        order = self.labels.argsort(stable=True)
        return list(order.split(self.labels.bincount(minlength=classes).tolist()))

    def sha256(self) -> str:
        """Hash of shapes, types and every byte of images, labels and, where there are any, targets."""
        digest = hashlib.sha256()
        for tensor in (self.images, self.labels, self.targets):
            if tensor is not None:
                digest.update(f"{tensor.dtype} {tuple(tensor.shape)};".encode())
                digest.update(np.ascontiguousarray(tensor.cpu().numpy()).data)
        if self.formation > 1:
            digest.update(f"formation {self.formation}".encode())
        return digest.hexdigest()


def _check_targets(targets: Tensor, labels: Tensor, formation: int) -> None:
    count = (len(labels),) if formation == 1 else (len(labels), formation**2)
    if targets.ndim != len(count) + 1 or targets.shape[:-1] != count or targets.dtype != torch.float32:
        raise InputError(
            f"targets must be float32, {'×'.join(map(str, count))}×classes, got {targets.dtype} {tuple(targets.shape)}"
        )
    if not len(targets):
        return
    if not targets.isfinite().all() or targets.min() < 0 or (targets.sum(-1) - 1).abs().max() > SUM_TOLERANCE:
        raise InputError("targets must be probabilities: each row at least 0 and of sum 1")
    if int(labels.max()) >= targets.shape[-1]:
        raise InputError(f"targets have {targets.shape[-1]} classes, but there is a label {int(labels.max())}")


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Labels (N int64) as targets, N×classes float32."""
    return F.one_hot(labels, classes).float()


def join(parts: Sequence[ImageSet], classes: int) -> ImageSet:
    """Sets one after another, unfolded. Where any has soft targets, the labels of the others become one-hot targets.

    Args:
        classes: how many there are in all; targets must have as many columns.
    """
    parts = [part.unfold() for part in parts]
    images, labels = (torch.cat([getattr(part, name) for part in parts]) for name in ("images", "labels"))
    if all(part.targets is None for part in parts):
        return ImageSet(images, labels)
    targets = [one_hot(part.labels, classes) if part.targets is None else part.targets for part in parts]
    return ImageSet(images, labels, torch.cat(targets))


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


HELD_OUT = 0.1  # of the images of every class


def hold_out(data: ImageSet, classes: int, most: int, generator: torch.Generator) -> tuple[ImageSet, ImageSet]:
    """Split off a tenth of every class, at least one image of each and about `most` in all, for choices that the test
    split must not make.
    """
    return stratified_split(data, classes, min(HELD_OUT, most / len(data)), generator)
