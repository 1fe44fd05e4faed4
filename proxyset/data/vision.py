"""The datasets that torchvision reads: downloaded to the data root when absent, used as they are when present."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from proxyset.data.images import ImageSet
from proxyset.errors import InputError, one_line

_SCHEMAS: list[torch.library.Library] = []


def torchvision() -> ModuleType:
    """torchvision with its datasets and utils, also where its compiled operators cannot load.

    Its wheels on the package index are built for CUDA. Under a CPU-only torch their operators are missing and the
    import fails on registering shape functions for two of them. Declaring those two schemas first lets the rest work;
    nothing here calls the operators. Where torchvision loads by itself, this does nothing.
    """
    try:
        import torchvision as module
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        schemas = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            schemas.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _SCHEMAS.append(schemas)  # a library's definitions go when it is collected
        import torchvision as module
    import torchvision.datasets
    import torchvision.utils

    return module


def _mnist_like(cls: str) -> Callable[[Path, bool, bool], Any]:
    return lambda root, train, download: getattr(torchvision().datasets, cls)(root, train=train, download=download)


def _svhn(root: Path, train: bool, download: bool) -> Any:
    return torchvision().datasets.SVHN(root, split="train" if train else "test", download=download)


_OPEN: dict[str, Callable[[Path, bool, bool], Any]] = {
    "mnist": _mnist_like("MNIST"),
    "fashion-mnist": _mnist_like("FashionMNIST"),
    "svhn": _svhn,
    "cifar10": _mnist_like("CIFAR10"),
    "cifar100": _mnist_like("CIFAR100"),
    "usps": _mnist_like("USPS"),
}
NAMES = tuple(_OPEN)
# How torchvision announces a missing or damaged set, and what it runs into while reading one.
_UNUSABLE = (RuntimeError, OSError, EOFError, ValueError, AssertionError)

# Mean and standard deviation as the field uses them; other sets are measured on their training split.
NORMALISATION: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "mnist": ((0.1307,), (0.3081,)),
    "fashion-mnist": ((0.2861,), (0.3530,)),
    "svhn": ((0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "cifar100": ((0.5071, 0.4866, 0.4409), (0.2673, 0.2564, 0.2762)),
}


def read_vision(name: str, root: Path) -> tuple[ImageSet, ImageSet, tuple[str, ...]]:
    """Train split, test split and class names of a torchvision dataset.

    Raises:
        InputError: it is neither under `root` nor can it be downloaded there.
    """
    train, test = (_open(name, root, train) for train in (True, False))
    names = getattr(train, "classes", None) or [str(label) for label in range(10)]
    # torchvision calls MNIST's classes "0 - zero"; the same digits are "0" elsewhere
    return _image_set(train), _image_set(test), tuple(name.split(" - ")[0] for name in names)


def _open(name: str, root: Path, train: bool) -> Any:
    try:
        return _OPEN[name](root, train, False)
    except _UNUSABLE:
        pass
    before = {root, *root.iterdir()} if root.is_dir() else set()
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot create the data root {str(root)!r}: {error.strerror}; choose another `data_root`"
        ) from None
    if not os.access(root, os.W_OK):
        raise InputError(
            f"{name} is not in the data root {str(root)!r}, which cannot be written; choose another `data_root`"
        )
    try:
        return _OPEN[name](root, train, True)
    except _UNUSABLE as error:
        for folder in {root, *root.iterdir()} - before:
            _remove_empty_folders(folder)
        raise InputError(
            f"{name} is not in the data root {str(root)!r} and could not be downloaded ({one_line(error)}); "
            "put its files there or choose another `data_root`"
        ) from None


def _remove_empty_folders(path: Path) -> None:
    """What a failed download leaves behind."""
    for folder in sorted((folder for folder in (path, *path.rglob("*")) if folder.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()


def _image_set(dataset: Any) -> ImageSet:
    images = torch.as_tensor(dataset.data)
    if images.ndim == 3:
        images = images.unsqueeze(1)
    elif images.shape[-1] == 3:  # CIFAR stores N×H×W×C, SVHN N×C×H×W
        images = images.permute(0, 3, 1, 2)
    labels = torch.as_tensor(dataset.targets if hasattr(dataset, "targets") else dataset.labels)
    return ImageSet(images.contiguous(), labels.long())
