"""A user's own images: a folder with one sub-folder per class, or train/ and test/ with such."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from proxyset.data.decode import decode
from proxyset.data.images import ImageSet
from proxyset.data.npz import as_targets
from proxyset.data.split import Split
from proxyset.errors import InputError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm"})
TARGETS = "targets.csv"  # beside the training images: a line per file, with a probability for each class


def read_folder(path: Path, size: int | None, channels: int | None) -> Split:
    """Read the images of every class folder, and their soft targets where there is a table of them.

    Raises:
        InputError: no class folders, or an image that does not fit; the message names the file.
    """
    whole = not (path / "train").is_dir()
    root = path if whole else path / "train"
    classes = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not classes:
        raise InputError(f"no class sub-folders in {str(root)!r}")
    train, files = _read_classes(root, classes, size, channels)
    if (path / TARGETS).is_file():
        train = ImageSet(train.images, train.labels, _read_targets(path / TARGETS, files, classes))
    test_root = path / "test"
    test = None
    if not whole and test_root.is_dir():
        extra = {entry.name for entry in test_root.iterdir() if entry.is_dir()} - set(classes)
        if extra:
            raise InputError(f"class {sorted(extra)[0]!r} is in {str(test_root)!r} but not in {str(root)!r}")
        present = [name for name in classes if (test_root / name).is_dir()]
        test, _ = _read_classes(test_root, present, train.images.shape[-1], train.images.shape[1], classes)
    return Split(train, test, tuple(classes), whole)


def _read_classes(
    root: Path,
    names: Sequence[str],
    size: int | None,
    channels: int | None,
    labels_of: Sequence[str] | None = None,
) -> tuple[ImageSet, list[Path]]:
    labels_of = labels_of or names
    files: list[Path] = []
    labels: list[int] = []
    for name in names:
        images = sorted(file for file in (root / name).iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
        if not images:
            raise InputError(f"class {name!r} has no images in {str(root / name)!r}")
        files += images
        labels += [labels_of.index(name)] * len(images)
    pixels = decode(((str(file), file) for file in files), size, channels)
    return ImageSet(pixels, torch.tensor(labels)), files


def _read_targets(table: Path, files: Sequence[Path], classes: Sequence[str]) -> Tensor | None:
    """The targets of `files` in their order, from a table with the columns file (relative to it) and the classes."""
    try:
        with open(table, newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
        if not rows or rows[0][1:] != list(classes):
            raise InputError(f"the first line of {str(table)!r} must be: file, {', '.join(classes)}")
        by_file = {row[0]: [float(value) for value in row[1:]] for row in rows[1:]}
        values = [by_file[file.relative_to(table.parent).as_posix()] for file in files]
        return as_targets(np.array(values), repr(str(table)))
    except KeyError as error:
        raise InputError(f"{str(table)!r} has no line for {error.args[0]!r}") from None
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"cannot read {str(table)!r}: {error}") from None
