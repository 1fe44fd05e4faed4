"""Images that are already in memory: a torch `Dataset`, or lists of arrays."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image

from proxyset.data.decode import decode
from proxyset.data.form import Decoding
from proxyset.data.images import ImageSet
from proxyset.data.npz import arrays_to_set
from proxyset.data.split import Reading, Split, numbered
from proxyset.errors import InputError


def is_in_memory(source: object) -> bool:
    """Whether `read_memory` takes it."""
    return isinstance(source, torch.utils.data.Dataset) or (isinstance(source, tuple) and len(source) in (2, 4))


def read_memory(source: Any, form: Decoding) -> Split:
    """Read a torch `Dataset` of (image, integer label), or one to train on and one to test on, or (images, labels), or
    (x_train, y_train, x_test, y_test).

    Images are arrays or tensors of one size, 0..255 or real numbers in 0..1, or PIL images, which are decoded as those
    of a folder are. A `Dataset` may name its classes in an attribute `classes`, as torchvision's do.

    Raises:
        InputError: images or labels that cannot be read.
    """
    if isinstance(source, torch.utils.data.Dataset):
        return _read_datasets([source], form)
    if all(isinstance(one, torch.utils.data.Dataset) for one in source):
        return _read_datasets(source, form)
    train, reading = _read_images(source[0], source[1], "the training images", form)
    test = None
    if len(source) == 4:
        alike = replace(form, channels=train.images.shape[1])
        test, of_test = _read_images(source[2], source[3], "the test images", alike)
        reading += of_test
    return Split(train, test, numbered(train, "the training images"), whole=test is None, reading=reading)


def _read_datasets(datasets: Sequence[Any], form: Decoding) -> Split:
    """One torch `Dataset`, which is split later, or one to train on and one to test on."""
    train, reading = _read_pairs(datasets[0], form)
    names = getattr(datasets[0], "classes", None)
    named = tuple(map(str, names)) if names else numbered(train, "the torch Dataset")
    if len(datasets) == 1:
        return Split(train, None, named, whole=True, reading=reading)
    if len(datasets) > 2:
        raise InputError(f"torch Datasets are one, or one to train on and one to test on, got {len(datasets)}")
    others = getattr(datasets[1], "classes", None)
    if names and others and list(names) != list(others):
        raise InputError("the two torch Datasets number other classes: their `classes` must be the same, in one order")
    test, of_test = _read_pairs(datasets[1], replace(form, channels=train.images.shape[1]))
    return Split(train, test, named, reading=reading + of_test)


def _read_pairs(source: Any, form: Decoding) -> tuple[ImageSet, Reading]:
    """The images of a torch `Dataset`; PIL images are decoded one after another as it gives them."""
    labels: list[Any] = []

    def images() -> Iterator[Any]:
        for position in range(len(source)):
            pair = source[position]
            if not isinstance(pair, tuple | list) or len(pair) < 2:
                raise InputError("the torch Dataset must give (image, label) pairs")
            labels.append(pair[1])
            yield pair[0]

    try:
        count = len(source)
    except TypeError:
        raise InputError("a torch Dataset must have a length: one that can only be iterated has none") from None
    if not count:
        raise InputError("the torch Dataset must give (image, label) pairs, and is empty")
    return _read_images(images(), labels, "the torch Dataset", form, count)


def _read_images(
    images: Any, labels: Any, where: str, form: Decoding, count: int | None = None
) -> tuple[ImageSet, Reading]:
    """
    Args:
        count: how many images an iterator gives; its labels are read after it.
    """
    if isinstance(images, np.ndarray | torch.Tensor):
        return arrays_to_set(_array(images), _integers(labels), where), Reading()
    count = len(images) if count is None else count
    several = iter(images)
    first = list(itertools.islice(several, 1))
    images = itertools.chain(first, several)
    if not first or not isinstance(first[0], Image.Image):
        stacked = _stack(images)
        return arrays_to_set(stacked, _integers(labels), where), Reading()
    decoded = decode(((f"{number} of {where}", image) for number, image in enumerate(images)), count, form)
    answers = _integers(labels)
    if len(answers) != count:
        raise InputError(f"{where}: needs one integer label per image, found {len(answers)} for {count}")
    data = ImageSet(decoded.images, torch.from_numpy(answers)[decoded.kept])
    return data, Reading(decoded.done, tuple(decoded.left_out))


def _array(image: Any) -> np.ndarray:
    """An image, or several, wherever they lie."""
    if isinstance(image, torch.Tensor):
        image = image.detach().cpu()
        image = image.float() if image.dtype == torch.bfloat16 else image  # which numpy does not have
    return np.asarray(image)


def _stack(images: Iterable[Any]) -> np.ndarray:
    """Images as one array N×H×W(×C) or N×C×H×W."""
    arrays = [_array(image) for image in images]
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) != 1:
        raise InputError(f"all images must be of one shape, found {', '.join(map(str, shapes[:4])) or 'none'}")
    return np.stack(arrays)


def _integers(labels: Sequence[Any] | Any) -> np.ndarray:
    try:
        integers = [int(label) for label in labels]
        if any(integer != label for integer, label in zip(integers, labels, strict=True)):
            raise ValueError
        return np.asarray(integers, dtype=np.int64)
    except (TypeError, ValueError, OverflowError):
        raise InputError("labels must be integers, one for each image") from None
