"""Images that are already in memory: a torch `Dataset`, or lists of arrays."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from proxyset.data.npz import arrays_to_set
from proxyset.data.split import Split, numbered
from proxyset.errors import InputError


def is_in_memory(source: object) -> bool:
    """Whether `read_memory` takes it."""
    return isinstance(source, torch.utils.data.Dataset) or (isinstance(source, tuple) and len(source) in (2, 4))


def read_memory(source: Any) -> Split:
    """Read a torch `Dataset` of (image, integer label), or (images, labels), or (x_train, y_train, x_test, y_test).

    Images are arrays, tensors or PIL images of one size: 0..255, or real numbers in 0..1. A `Dataset` may name its
    classes in an attribute `classes`, as torchvision's do.

    Raises:
        InputError: images or labels that cannot be read.
    """
    if isinstance(source, torch.utils.data.Dataset):
        pairs = [source[position] for position in range(len(source))]  # type: ignore[arg-type]
        if not pairs or not all(isinstance(pair, tuple | list) and len(pair) >= 2 for pair in pairs):
            raise InputError("the torch Dataset must give (image, label) pairs")
        images, labels = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        train = arrays_to_set(_stack(images), _integers(labels), "the torch Dataset")
        names = getattr(source, "classes", None)
        return Split(train, None, tuple(map(str, names)) if names else numbered(train, "the torch Dataset"), whole=True)
    train = arrays_to_set(_stack(source[0]), _integers(source[1]), "the training images")
    test = arrays_to_set(_stack(source[2]), _integers(source[3]), "the test images") if len(source) == 4 else None
    return Split(train, test, numbered(train, "the training images"), whole=test is None)


def _stack(images: Any) -> np.ndarray:
    """Images as one array N×H×W(×C) or N×C×H×W."""
    if isinstance(images, np.ndarray | torch.Tensor):
        return np.asarray(images)
    arrays = [np.asarray(image) for image in images]
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) != 1:
        raise InputError(f"all images must be of one shape, found {', '.join(map(str, shapes[:4])) or 'none'}")
    return np.stack(arrays)


def _integers(labels: Sequence[Any] | Any) -> np.ndarray:
    try:
        return np.asarray([int(label) for label in labels], dtype=np.int64)
    except (TypeError, ValueError):
        raise InputError("labels must be integers, one for each image") from None
