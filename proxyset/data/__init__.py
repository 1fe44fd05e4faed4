"""Datasets by name or path."""

from pathlib import Path

import torch

from proxyset.data.digits import read_digits
from proxyset.data.files import Split, read_path
from proxyset.data.images import (
    Dataset,
    DatasetSpec,
    ImageSet,
    convert,
    measure,
    normalise,
    stratified_split,
    to_pixels,
)
from proxyset.data.vision import NAMES as VISION_NAMES
from proxyset.data.vision import NO_FLIP, NORMALISATION, read_vision
from proxyset.seeds import make_generator
from proxyset.settings import InputError, nearest

__all__ = [
    "NAMES",
    "Dataset",
    "DatasetSpec",
    "ImageSet",
    "load",
    "normalise",
    "stratified_split",
    "to_pixels",
]

NAMES = ("digits", *VISION_NAMES)


def load(
    source: str | Path,
    *,
    data_root: str | Path = "data",
    size: int | None = None,
    channels: int | None = None,
    flip: bool | None = None,
    test_fraction: float = 0.2,
) -> Dataset:
    """Load a dataset by name (`digits`, `mnist`, ...) or by path (folder, .npz, .parquet).

    Args:
        source: a name in `NAMES`, or a path. A path that exists wins over nothing: names are looked up first.
        data_root: where torchvision's datasets lie, or are downloaded to.
        size: resize to size×size pixels. None keeps the size, which must then be the same for all images.
        channels: 1 or 3; None keeps what is there.
        flip: whether a horizontal flip keeps the label; None: yes, except for the known digit sets.
        test_fraction: share of every class that becomes the test split of a source that names no splits. The split
            is fixed: it does not depend on a run's seed.

    Raises:
        InputError: unknown name, unreadable data, or data that no method can work with.
    """
    if channels not in (None, 1, 3):
        raise InputError(f"channels must be 1 or 3, got {channels}")
    if size is not None and not 8 <= size <= 64:
        raise InputError(f"size must be 8 to 64 pixels, got {size}")
    if not 0 < test_fraction < 1:
        raise InputError(f"test-fraction must be between 0 and 1, got {test_fraction}")
    name = str(source)
    split = _read(name, Path(data_root).expanduser(), size, channels)
    path = Path(name).expanduser().resolve()
    label = name if name in NAMES else path.name if path.is_dir() else path.stem
    _check_labels(split, label)
    if split.whole:
        generator = make_generator(0, "split")
        train, test = stratified_split(split.train, len(split.class_names), test_fraction, generator)
    else:
        train = split.train
        test = split.test if split.test is not None else train[torch.arange(0)]
    source_channels, source_size = train.images.shape[1], train.images.shape[-1]
    size, channels = size or source_size, channels or source_channels
    _check_shapes(train, test, size, label)
    train, test = (ImageSet(convert(s.images, size=size, channels=channels), s.labels) for s in (train, test))
    unchanged = (size, channels) == (source_size, source_channels)
    mean, std = NORMALISATION[name] if name in NORMALISATION and unchanged else measure(train.images)
    keeps_label = (name not in NO_FLIP | {"digits"}) if flip is None else flip
    spec = DatasetSpec(label, channels, size, split.class_names, mean, std, keeps_label)
    arguments = {"size": size, "channels": channels, "flip": keeps_label, "test_fraction": test_fraction}
    return Dataset(train, test, spec, {"source": name if name in NAMES else str(Path(name).expanduser()), **arguments})


def _read(name: str, data_root: Path, size: int | None, channels: int | None) -> Split:
    if name == "digits":
        return Split(read_digits(), None, tuple("0123456789"), whole=True)
    if name in VISION_NAMES:
        return Split(*read_vision(name, data_root))
    path = Path(name).expanduser()
    if path.exists():
        return read_path(path, size, channels)
    if path.suffix or len(path.parts) > 1:
        raise InputError(f"no dataset at {name!r}: no such folder or file")
    raise InputError(f"unknown dataset {name!r}: {nearest(name, NAMES)} (or the path of a folder, .npz or .parquet)")


def _check_labels(split: Split, name: str) -> None:
    """At least two classes, every label in range, every class with a training image."""
    classes = len(split.class_names)
    if classes < 2:
        raise InputError(f"{name} has {classes} class(es); at least two are needed")
    for part, data in (("training", split.train), ("test", split.test)):
        if data is not None and len(data) and not 0 <= int(data.labels.min()) <= int(data.labels.max()) < classes:
            found = f"{int(data.labels.min())}..{int(data.labels.max())}"
            raise InputError(f"{name}: {part} labels are out of range, found {found} with {classes} classes")
    empty = (split.train.labels.bincount(minlength=classes) == 0).nonzero().flatten().tolist()
    if empty:
        raise InputError(f"{name}: class {split.class_names[empty[0]]!r} has no images")


def _check_shapes(train: ImageSet, test: ImageSet, size: int, name: str) -> None:
    height, width = train.images.shape[-2:]
    if height != width and (height, width) != (size, size):
        raise InputError(f"{name}: images are {width}×{height}, not square; --size N brings them to N×N")
    if train.images.shape[1:] != test.images.shape[1:]:
        found = f"{tuple(train.images.shape[1:])} and {tuple(test.images.shape[1:])}"
        raise InputError(f"{name}: training and test images differ in shape, {found}")
    if not 8 <= size <= 64:
        raise InputError(f"{name}: images are {size}×{size}, outside 8 to 64 pixels; --size N brings them to N×N")
