"""Datasets by name, by path, or from memory."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from proxyset.data.digits import read_digits
from proxyset.data.folder import read_folder
from proxyset.data.images import ImageSet, stratified_split
from proxyset.data.memory import is_in_memory, read_memory
from proxyset.data.npz import read_npz
from proxyset.data.parquet import parquet_files, read_parquet
from proxyset.data.spec import Dataset, DatasetSpec, convert, measure
from proxyset.data.split import Split
from proxyset.data.vision import NAMES as VISION_NAMES
from proxyset.data.vision import NO_FLIP, NORMALISATION, read_vision
from proxyset.errors import InputError, nearest
from proxyset.seeds import make_generator

NAMES = ("digits", *VISION_NAMES)
SIZES = range(8, 65)  # pixels


def load(
    source: str | Path | torch.utils.data.Dataset[Any] | tuple[Any, ...],
    *,
    data_root: str | Path = "data",
    size: int | None = None,
    channels: int | None = None,
    flip: bool | None = None,
    test_fraction: float = 0.2,
    name: str | None = None,
) -> Dataset:
    """Load a dataset.

    Args:
        source: a name in `NAMES` (`digits`, `mnist`, ...); the path of a folder, an .npz or a .parquet; a torch
            `Dataset` of images and integer labels; or arrays (images, labels) or (x_train, y_train, x_test, y_test).
            Known names are tried first; any other text is a path.
        data_root: where torchvision's datasets lie, or are downloaded to.
        size: resize to size×size pixels. None keeps the size, which must then be the same for all images.
        channels: 1 or 3; None keeps what is there.
        flip: whether a horizontal flip keeps the label; None: yes, except for the known digit sets.
        test_fraction: share of every class that becomes the test split of a source that names no splits. The split
            is fixed: it does not depend on a run's seed.
        name: what the dataset is called in file names (None: by its source).

    Raises:
        InputError: unknown name, unreadable data, or data that no method can work with.
    """
    if channels not in (None, 1, 3):
        raise InputError(f"`channels` must be 1 or 3, got {channels}")
    if size is not None and size not in SIZES:
        raise InputError(f"`size` must be {SIZES[0]} to {SIZES[-1]} pixels, got {size}")
    if not 0 < test_fraction < 1:
        raise InputError(f"`test_fraction` must be between 0 and 1, got {test_fraction}")
    origin = _locate(source)
    label = name or origin.label
    split = _read(origin, Path(data_root).expanduser(), size, channels)
    _check_labels(split, label)
    train, test = _divide(split, test_fraction)
    form = tuple(train.images.shape[1:])
    size, channels = size or form[-1], channels or form[0]
    _check_shapes(train, test, size, label)
    train, test = (replace(part, images=convert(part.images, size=size, channels=channels)) for part in (train, test))
    named = (channels, size) == (form[0], form[-1]) and origin.kind == "vision"
    mean, std = (NORMALISATION.get(origin.label) if named else None) or measure(train.images)
    keeps_label = origin.label not in NO_FLIP | {"digits"} if flip is None else flip
    spec = DatasetSpec(label, channels, size, split.class_names, mean, std, keeps_label)
    arguments = {"size": size, "channels": channels, "flip": keeps_label, "test_fraction": test_fraction}
    return Dataset(train, test, spec, origin.source() | arguments)


@dataclass(frozen=True)
class Origin:
    """Where images come from: `kind` is digits, vision, path or memory."""

    kind: str
    label: str
    place: Any

    def source(self) -> dict[str, str]:
        """What loads it again from any folder; nothing for images from memory."""
        return {} if self.kind == "memory" else {"source": str(self.place)}


def _locate(source: Any) -> Origin:
    """
    Raises:
        InputError: neither a name nor a path that exists.
    """
    if is_in_memory(source):
        return Origin("memory", "data", source)
    name = str(source)
    if name in NAMES:
        return Origin("digits" if name == "digits" else "vision", name, name)
    path = Path(name).expanduser()
    if path.exists():
        path = path.resolve()
        return Origin("path", path.name if path.is_dir() else path.stem, path)
    if path.suffix or len(path.parts) > 1:
        raise InputError(f"no dataset at {name!r}: no such folder or file")
    raise InputError(f"unknown dataset {name!r}: {nearest(name, NAMES)} (or the path of a folder, .npz or .parquet)")


def _read(origin: Origin, data_root: Path, size: int | None, channels: int | None) -> Split:
    if origin.kind == "memory":
        return read_memory(origin.place)
    if origin.kind == "digits":
        return Split(read_digits(), None, tuple("0123456789"), whole=True)
    if origin.kind == "vision":
        return Split(*read_vision(origin.label, data_root))
    path: Path = origin.place
    if path.is_dir():
        return read_parquet(path, size, channels) if parquet_files(path) else read_folder(path, size, channels)
    if path.suffix == ".npz":
        return read_npz(path)
    if path.suffix == ".parquet":
        return read_parquet(path, size, channels)
    raise InputError(f"{str(path)!r} is neither a folder, an .npz nor a .parquet file")


def _divide(split: Split, test_fraction: float) -> tuple[ImageSet, ImageSet]:
    """Training and test images; a fixed share is held out where the source names no splits."""
    if split.whole:
        generator = make_generator(0, "split")
        return stratified_split(split.train, len(split.class_names), test_fraction, generator)
    return split.train, split.test if split.test is not None else split.train[torch.arange(0)]


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
        raise InputError(f"{name}: images are {width}×{height}, not square; `size=N` brings them to N×N")
    if train.images.shape[1:] != test.images.shape[1:]:
        found = f"{tuple(train.images.shape[1:])} and {tuple(test.images.shape[1:])}"
        raise InputError(f"{name}: training and test images differ in shape, {found}")
    if size not in SIZES:
        raise InputError(
            f"{name}: images are {size}×{size}, outside {SIZES[0]} to {SIZES[-1]} pixels; `size=N` brings them to N×N"
        )
