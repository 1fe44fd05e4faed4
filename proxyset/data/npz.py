"""A user's own arrays: an .npz file."""

import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from proxyset.data.images import ImageSet
from proxyset.data.split import Split, numbered
from proxyset.errors import InputError, one_line

TARGETS = "targets"  # soft targets of the training images, N×classes
_KEYS = (  # (images, labels) of the training and of the test split: Keras and our own export, MedMNIST, unsplit
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("images", "labels", "", ""),
)
_UNUSED = ("normalised", "mean", "std")  # of our own export


def read_npz(path: Path) -> Split:
    """Read training and test images from named arrays.

    Raises:
        InputError: unreadable, or no arrays that fit.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files if key not in _UNUSED}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise InputError(f"cannot read {str(path)!r}: {one_line(error)}") from None
    for x_train, y_train, x_test, y_test in _KEYS:
        if x_train in arrays and y_train in arrays:
            train = arrays_to_set(arrays[x_train], arrays[y_train], f"{path}: {x_train}", arrays.get(TARGETS))
            test = None
            if x_test in arrays and y_test in arrays:
                test = arrays_to_set(arrays[x_test], arrays[y_test], f"{path}: {x_test}")
            names = (
                arrays["class_names"].astype(str).tolist()
                if "class_names" in arrays
                else numbered(train, repr(str(path)))
            )
            return Split(train, test, tuple(names), whole=x_train == "images")
    raise InputError(
        f"{str(path)!r} needs arrays x_train and y_train (or train_images and train_labels, or images and labels), "
        f"found {', '.join(sorted(arrays)) or 'none'}"
    )


def arrays_to_set(images: np.ndarray, labels: np.ndarray, where: str, targets: np.ndarray | None = None) -> ImageSet:
    """Arrays to a set: images N×H×W, N×H×W×C or N×C×H×W (0..255, or real numbers in 0..1), integer labels N or N×1.

    Args:
        where: what the arrays are, for messages.
        targets: N×classes probabilities, if any.

    Raises:
        InputError: shapes, types or values that do not fit.
    """
    labels = labels.squeeze(-1) if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or len(labels) != len(images):
        raise InputError(f"{where}: needs one integer label per image, found {labels.dtype} {labels.shape}")
    if images.ndim == 3:
        images = images[:, None]
    elif images.ndim == 4 and images.shape[-1] in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise InputError(f"{where}: images must be N×H×W, N×H×W×C or N×C×H×W with C 1 or 3, found {images.shape}")
    if images.dtype.kind == "f":
        if not np.isfinite(images).all():
            raise InputError(f"{where}: images hold NaN or infinite values")
        if images.size and (images.min() < 0 or images.max() > 1):
            raise InputError(f"{where}: images of real numbers must lie in 0..1, found {images.min()}..{images.max()}")
        images = np.round(images * 255)
    elif images.dtype.kind not in "iu" or (images.size and (images.min() < 0 or images.max() > 255)):
        raise InputError(f"{where}: images must hold 0..255, found {images.dtype} {images.min()}..{images.max()}")
    pixels = torch.from_numpy(np.ascontiguousarray(images.astype(np.uint8)))
    return ImageSet(pixels, torch.from_numpy(labels.astype(np.int64)), as_targets(targets, where))


def as_targets(targets: np.ndarray | None, where: str) -> Tensor | None:
    """Soft targets as `ImageSet` has them.

    Raises:
        InputError: they are not numbers.
    """
    if targets is None:
        return None
    if targets.dtype.kind != "f":
        raise InputError(f"{where}: targets must be real numbers, found {targets.dtype}")
    return torch.from_numpy(np.ascontiguousarray(targets.astype(np.float32)))
