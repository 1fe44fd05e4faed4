"""Datasets by name, by path, or from memory."""

import logging
import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

import torch

from proxyset.data.choice import SIZES, DataChoice, Form, Resize
from proxyset.data.convert import convert
from proxyset.data.decode import check_size
from proxyset.data.deep import DEEP
from proxyset.data.digits import read_digits
from proxyset.data.folder import read_folder
from proxyset.data.form import SQUARED, Decoding
from proxyset.data.hub import is_hub_name, label_of, read_hub
from proxyset.data.images import ImageSet, stratified_split
from proxyset.data.memory import is_in_memory, read_memory
from proxyset.data.npz import read_npz
from proxyset.data.parquet import parquet_files, read_parquet
from proxyset.data.spec import NO_FLIP, Dataset, DatasetSpec, measure
from proxyset.data.split import FLIP, Reading, Split
from proxyset.data.tiles import FORMATION, refuse_tiles
from proxyset.data.validation import with_validation
from proxyset.data.vision import NAMES as VISION_NAMES
from proxyset.data.vision import NORMALISATION, read_vision
from proxyset.errors import InputError, nearest
from proxyset.folders import read_marker
from proxyset.progress import Progress
from proxyset.seeds import make_generator

NAMES = ("digits", *VISION_NAMES)
LOG = logging.getLogger("proxyset")
DARK = 64  # of 255: images of 16 bits that are nowhere lighter hold numbers of 14 bits or fewer


@dataclass(frozen=True)
class Origin:
    """Where images come from: `kind` is digits, vision, hub, path or memory."""

    kind: str
    label: str
    place: Any

    def source(self) -> dict[str, str]:
        """What loads it again from any folder; nothing for images from memory."""
        return {} if self.kind == "memory" else {"source": str(self.place)}


def load(
    source: str | Path | torch.utils.data.Dataset[Any] | tuple[Any, ...],
    *,
    data_root: str | Path = "data",
    name: str | None = None,
    progress: Progress | bool | None = None,
    **form: Unpack[Form],
) -> Dataset:
    """Load a dataset.

    Args:
        source: a name in `NAMES` (`digits`, `mnist`, ...); `hf:NAME` of a hub; the path of a folder, an .npz or a
            .parquet; a torch `Dataset` of images and integer labels; or arrays (images, labels) or (x_train, y_train,
            x_test, y_test). Known names are tried first; any other text is a path.
        data_root: where torchvision's datasets lie, or are downloaded to.
        name: what the dataset is called in file names (None: by its source).
        progress: see `proxyset.progress.shown`; a line is shown only while decoding takes over a second.
        size: resize to size×size pixels, 8 to 256. None keeps the size, which must then be the same for all images.
        channels: 1 or 3; None keeps what is there.
        resize: how images that are not square reach the size: `crop` (default) takes the centre square, `fit` pads the
            whole image with the background, `stretch` stretches it.
        background: `white` (default) or `black`, what shows through transparent pixels.
        on_error: `stop` (default) at an image that cannot be read, or `skip` it; `Dataset.left_out` lists these.
        flip: whether a horizontal flip keeps the label; None: yes, except for the known digit sets.
        test_fraction: share of every class that becomes the test split of a source that names no splits (default 0.2).
            The split is fixed: it does not depend on a run's seed.
        validation: share of every class that is kept out of the training split, as `Dataset.validation` (default 0:
            none). This split is fixed, too.

    Raises:
        InputError: unknown name, unreadable data, or data that no method can work with.
    """
    choice = DataChoice(**form)
    _check(choice)
    origin = _locate(source)
    label = name or origin.label
    decoding = Decoding(
        choice.size, choice.channels, choice.resize, choice.background, choice.on_error, progress, f"reading {label}"
    )
    split = _read(origin, Path(data_root).expanduser(), decoding)
    for line in split.reading.left_out:
        LOG.warning("left out: %s", line)
    return _finish(split, choice, origin, decoding, label)


def _finish(split: Split, choice: DataChoice, origin: Origin, decoding: Decoding, label: str) -> Dataset:
    """A dataset of what was read: checked, divided, and in the form that is asked for."""
    _check_labels(split, label)
    train, test = _divide(split, choice.test_fraction)
    shape = tuple(train.images.shape[1:])
    size, channels = choice.size or shape[-1], choice.channels or shape[0]
    _check_shapes(train, test, choice.size, choice.channels, label)
    reading = split.reading + Reading(_changes(shape, size, channels, choice.resize, len(train) + len(test)))
    train, test = (replace(part, images=convert(part.images, size, channels, decoding)) for part in (train, test))
    _say_if_dark(split, label)
    named = (channels, size) == (shape[0], shape[-1]) and origin.kind == "vision"
    mean, std = (NORMALISATION.get(origin.label) if named else None) or measure(train.images)
    usual = origin.label not in NO_FLIP if split.flip is None else split.flip
    keeps_label = usual if choice.flip is None else choice.flip
    spec = DatasetSpec(label, channels, size, split.class_names, mean, std, keeps_label)
    arguments = choice.form() | {"size": size, "channels": channels, "flip": keeps_label, "validation": 0.0}
    whole = Dataset(train, test, spec, origin.source() | arguments, reading.phrases(), split.reading.left_out)
    return with_validation(whole, choice.validation)


def _say_if_dark(split: Split, label: str) -> None:
    """Say where 16 bits hold small numbers, as medical images do: of their values hardly any are left in 8 bits."""
    if split.reading.done[DEEP] and (top := int(split.train.images.max())) < DARK:
        LOG.warning(
            "%s: no value of 16 bits is above %d of 65535, which leaves %d grey levels: stretch the values first",
            *(label, top * 257 + 128, top + 1),
        )


def _check(choice: DataChoice) -> None:
    if choice.channels not in (None, 1, 3):
        raise InputError(f"`channels` must be 1 or 3, got {choice.channels}")
    if choice.size is not None and choice.size not in SIZES:
        raise InputError(f"`size` must be {SIZES[0]} to {SIZES[-1]} pixels, got {choice.size}")
    if not 0 < choice.test_fraction < 1:
        raise InputError(f"`test_fraction` must be between 0 and 1, got {choice.test_fraction}")


def _locate(source: Any) -> Origin:
    """
    Raises:
        InputError: neither a name nor a path that exists.
    """
    if is_in_memory(source):
        return Origin("memory", "data", source)
    if not isinstance(source, str | os.PathLike):
        raise InputError(
            f"a dataset is a name, a path, a tuple (images, labels) or a torch Dataset, got {type(source).__name__}"
        )
    name = str(source)
    if name in NAMES:
        return Origin("digits" if name == "digits" else "vision", name, name)
    if is_hub_name(name):
        return Origin("hub", label_of(name), name)
    path = Path(name)
    try:
        path = path.expanduser()
        exists = path.exists()
    except (OSError, ValueError, RuntimeError):  # too long, a NUL in it, the home of nobody
        exists = False
    if exists:
        path = path.resolve()
        return Origin("path", path.name if path.is_dir() else path.stem, path)
    if path.suffix or "/" in name:
        hub = f" (hf:{name} would be one of the Hugging Face hub)" if name.count("/") == 1 and not path.suffix else ""
        raise InputError(f"no dataset at {name!r}: no such folder or file{hub}")
    others = "hf:NAME of the Hugging Face hub, or the path of a folder, .npz or .parquet"
    raise InputError(f"unknown dataset {name!r}: {nearest(name, NAMES)} (or {others})")


def _read(origin: Origin, data_root: Path, form: Decoding) -> Split:
    if origin.kind == "memory":
        return read_memory(origin.place, form)
    if origin.kind == "digits":
        return Split(read_digits(), None, tuple("0123456789"), whole=True)
    if origin.kind == "vision":
        return Split(*read_vision(origin.label, data_root))
    if origin.kind == "hub":
        return read_hub(origin.place, form)
    path: Path = origin.place
    if path.is_dir():
        marker = read_marker(path)
        refuse_tiles(marker.get(FORMATION), str(path))
        split = read_parquet(path, form) if parquet_files(path) else read_folder(path, form)
        flip = marker.get(FLIP)
        return replace(split, flip=flip) if isinstance(flip, bool) else split
    if path.suffix not in (".npz", ".parquet") or not path.is_file():  # a pipe would keep its reader waiting
        raise InputError(f"{str(path)!r} is neither a folder, an .npz nor a .parquet file")
    return read_npz(path) if path.suffix == ".npz" else read_parquet(path, form)


def _divide(split: Split, test_fraction: float) -> tuple[ImageSet, ImageSet]:
    """Training and test images; a fixed share is held out where the source names no splits."""
    if split.whole:
        counts = split.train.labels.bincount().tolist()
        if 1 in counts:
            raise InputError(
                f"class {split.class_names[counts.index(1)]!r} has a single image, which cannot be split into train "
                "and test: it needs another"
            )
        generator = make_generator(0, "split")
        return stratified_split(split.train, len(split.class_names), test_fraction, generator)
    return split.train, split.test if split.test is not None else split.train[torch.arange(0)]


def _check_labels(split: Split, name: str) -> None:
    """At least two classes, every label in range, every class with an image in each split that there is."""
    classes = len(split.class_names)
    if classes < 2:
        raise InputError(f"{name} has {classes} class(es); at least two are needed")
    for part, data in (("training", split.train), ("test", split.test)):
        if data is None or (part == "test" and not len(data)):
            continue
        if len(data) and not 0 <= int(data.labels.min()) <= int(data.labels.max()) < classes:
            found = f"{int(data.labels.min())}..{int(data.labels.max())}"
            raise InputError(f"{name}: {part} labels are out of range, found {found} with {classes} classes")
        if data.targets is not None and data.targets.shape[1] != classes:
            raise InputError(f"{name}: {part} targets are of {data.targets.shape[1]} classes, found {classes} classes")
        empty = (data.labels.bincount(minlength=classes) == 0).nonzero().flatten().tolist()
        if empty:
            kind = "test images" if part == "test" else "images"
            first = part == "training" and empty[0] == 0 and split.class_names[0] == "0"
            hint = "; labels begin with 0" if first else ""
            raise InputError(f"{name}: class {split.class_names[empty[0]]!r} has no {kind}{hint}")


def _check_shapes(train: ImageSet, test: ImageSet, size: int | None, channels: int | None, name: str) -> None:
    height, width = train.images.shape[-2:]
    if height != width and size is None:
        raise InputError(
            f"{name}: images are {width}×{height}, not square; `size=N` brings them to N×N, `resize` says how"
        )
    (channels_of_train, *sides), (channels_of_test, *others) = train.images.shape[1:], test.images.shape[1:]
    if (size is None and sides != others) or (channels is None and channels_of_train != channels_of_test):
        found = f"{tuple(train.images.shape[1:])} and {tuple(test.images.shape[1:])}"
        raise InputError(
            f"{name}: training and test images differ in shape, {found}; `size=N` brings all to N×N, "
            "`channels=1` or `channels=3` to grey or colour"
        )
    check_size(size or width, f"{name}: images are")


def _changes(shape: tuple[int, ...], size: int, channels: int, resize: Resize, count: int) -> Counter[str]:
    """What `convert` does to `count` images C×H×W that came as arrays; those of files are already as asked."""
    done: Counter[str] = Counter()
    if shape[0] != channels:
        done["made grey" if channels == 1 else "made colour"] = count
    if shape[1:] != (size, size):
        if shape[1] != shape[2]:
            done[SQUARED[resize]] = count
        done[f"resized to {size}×{size}"] = count
    return done
