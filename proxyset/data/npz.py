"""A user's own arrays: an .npz file."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from proxyset.data.archive import array_names, read_arrays
from proxyset.data.images import ImageSet
from proxyset.data.split import FLIP, Split, numbered
from proxyset.data.tiles import FORMATION, refuse_tiles
from proxyset.errors import InputError

TARGETS = "targets"  # soft targets of the training images, N×classes
NAMES = "class_names"
EXPORT = "proxyset"  # in our own export; says which version made it
PART = 4096  # images that are converted at once
CLOSE = 1e-4  # how far real numbers may lie beyond 0..1, by rounding
_KEYS = (  # (images, labels) of the training and of the test split: Keras and our own export, MedMNIST, unsplit
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("images", "labels", "", ""),
)


def read_npz(path: Path) -> Split:
    """Read training and test images from named arrays.

    Raises:
        InputError: unreadable, or no arrays that fit.
    """
    present = array_names(path)
    refuse_tiles(FORMATION if {FORMATION, EXPORT} <= present else None, str(path))
    layout = next((keys for keys in _KEYS if {*keys[:2]} <= present), None)
    if layout is None:
        raise InputError(
            f"{str(path)!r} needs arrays x_train and y_train (or train_images and train_labels, or images and labels), "
            f"found {', '.join(sorted(present)) or 'none'}"
        )
    arrays = read_arrays(path, sorted(present & {*layout, TARGETS, NAMES, *([FLIP] if EXPORT in present else [])}))
    x_train, y_train, x_test, y_test = layout
    train = arrays_to_set(arrays[x_train], arrays[y_train], f"{path}: {x_train}", arrays.get(TARGETS))
    test = None
    if x_test in arrays and y_test in arrays:
        test = arrays_to_set(arrays[x_test], arrays[y_test], f"{path}: {x_test}")
    flip = bool(arrays[FLIP].all()) if FLIP in arrays else None
    if NAMES not in arrays:
        return Split(train, test, numbered(train, repr(str(path))), whole=x_train == "images", flip=flip)
    if arrays[NAMES].ndim != 1:
        raise InputError(f"{path}: {NAMES} must be a list, found {arrays[NAMES].shape}")
    return Split(train, test, _words(arrays[NAMES], f"{path}: {NAMES}"), whole=x_train == "images", flip=flip)


def _words(names: np.ndarray, where: str) -> tuple[str, ...]:
    try:
        return tuple(name.decode() if isinstance(name, bytes) else str(name) for name in names.tolist())
    except UnicodeDecodeError:
        raise InputError(f"{where} must be UTF-8 text") from None


def arrays_to_set(images: np.ndarray, labels: np.ndarray, where: str, targets: np.ndarray | None = None) -> ImageSet:
    """Arrays to a set: images N×H×W, N×H×W×C or N×C×H×W (0..255, or real numbers in 0..1), integer labels N or N×1.

    Args:
        where: what the arrays are, for messages.
        targets: N×classes probabilities, if any.

    Raises:
        InputError: shapes, types or values that do not fit.
    """
    labels = labels.squeeze(-1) if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or len(labels) != (len(images) if images.ndim else -1):
        raise InputError(f"{where}: needs one integer label per image, found {labels.dtype} {labels.shape}")
    if images.ndim == 3:
        images = images[:, None]
    elif images.ndim == 4 and images.shape[-1] in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise InputError(f"{where}: images must be N×H×W, N×H×W×C or N×C×H×W with C 1 or 3, found {images.shape}")
    _check_values(images, where)
    pixels = torch.empty(images.shape, dtype=torch.uint8)
    for start in range(0, len(images), PART):  # in parts: real numbers take eight times the room of bytes
        part = images[start : start + PART]
        part = np.round(part.clip(0, 1) * 255) if part.dtype.kind == "f" else part
        pixels[start : start + PART] = torch.from_numpy(np.ascontiguousarray(part.astype(np.uint8)))
    return ImageSet(pixels, torch.from_numpy(labels.astype(np.int64)), as_targets(targets, where))


def _check_values(images: np.ndarray, where: str) -> None:
    """
    Raises:
        InputError: values that are no pixels.
    """
    if images.dtype.kind not in "iuf":
        raise InputError(f"{where}: images must hold 0..255, found {images.dtype}")
    if not images.size:
        return
    low, high = images.min(), images.max()
    if images.dtype.kind == "f":
        if not np.isfinite([low, high]).all():
            raise InputError(f"{where}: images hold NaN or infinite values")
        if low < -CLOSE or high > 1 + CLOSE:
            scale = (
                "(x + 1) / 2" if low >= -1 and high <= 1 else "x / 255" if low >= 0 and high <= 255 else "(x - a) / b"
            )
            raise InputError(
                f"{where}: images of real numbers must lie in 0..1, found {low:g}..{high:g}: {scale} brings them there"
            )
    elif low < 0 or high > 255:
        raise InputError(f"{where}: images must hold 0..255, found {images.dtype} {low}..{high}")


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
