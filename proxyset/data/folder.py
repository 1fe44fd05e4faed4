"""A user's own images: a folder with one sub-folder per class, or train/ and test/ with such."""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from proxyset.data.decode import decode
from proxyset.data.form import Decoding
from proxyset.data.images import ImageSet
from proxyset.data.layout import Layout, files_in, find_layout, folders_in, thumbnails
from proxyset.data.npz import as_targets
from proxyset.data.split import Reading, Split
from proxyset.errors import InputError, one_line

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm"})
TARGETS = "targets.csv"  # beside the training images: a line per file, with a probability for each class


def read_folder(path: Path, form: Decoding) -> Split:
    """Read the images of every class folder, and their soft targets where there is a table of them.

    Raises:
        InputError: no class folders, or an image that does not fit; the message names the file.
    """
    layout = find_layout(path)
    classes = [folder.name for folder in folders_in(layout.train)]
    if not classes:
        raise InputError(f"no class sub-folders in {str(layout.train)!r}")
    if layout.test is not None:
        _check_same_classes(layout, classes, layout.test)
    train = _read_classes(layout.train, classes, form)
    images = train.images
    if (layout.root / TARGETS).is_file():
        images = ImageSet(images.images, images.labels, _read_targets(layout.root / TARGETS, train.files, classes))
    test = None
    if layout.test is not None:
        test = _read_classes(layout.test, classes, replace(form, channels=images.images.shape[1]))
    passed_over = [folder for folder in thumbnails(layout.train) if _images_in(folder)]
    notes = tuple(f"{folder.name}/ passed over as thumbnails" for folder in passed_over)
    reading = Reading(notes=layout.notes + notes) + train.reading
    if test is not None:
        reading += test.reading
    return Split(images, test.images if test else None, tuple(classes), layout.whole, reading)


def _check_same_classes(layout: Layout, classes: list[str], test: Path) -> None:
    """
    Raises:
        InputError: a class that only one of the splits has.
    """
    tested = {folder.name for folder in folders_in(test)}
    for name in sorted(tested - set(classes)):
        raise InputError(f"class {name!r} is in {str(test)!r} but not in {str(layout.train)!r}")
    for name in classes:
        if name not in tested:
            raise InputError(f"class {name!r} is in {str(layout.train)!r} but not in {str(test)!r}")


@dataclass(frozen=True)
class _Classes:
    """The images of a split, the file of each, and what was done to them."""

    images: ImageSet
    files: list[Path]
    reading: Reading


def _images_in(folder: Path) -> list[Path]:
    return [file for file in files_in(folder) if file.suffix.lower() in IMAGE_SUFFIXES]


def _read_classes(root: Path, names: Sequence[str], form: Decoding) -> _Classes:
    files: list[Path] = []
    labels: list[int] = []
    others = folders = 0
    for label, name in enumerate(names):
        inside, images = files_in(root / name), _images_in(root / name)
        if not images:
            raise InputError(
                f"class {name!r} has no images in {str(root / name)!r} ({' '.join(sorted(IMAGE_SUFFIXES))})"
            )
        files += images
        labels += [label] * len(images)
        others += len(inside) - len(images)
        folders += len(folders_in(root / name))
    decoded = decode(((str(file), file) for file in files), len(files), form)
    kept = decoded.kept
    loose = len(_images_in(root))
    done = decoded.done + Counter(
        {
            "of other kinds passed over": others,
            "folders inside of classes passed over": folders,
            "images beside the classes passed over": loose,
        }
    )
    return _Classes(
        ImageSet(decoded.images, torch.tensor(labels)[kept]),
        [files[position] for position in kept],
        Reading(done, tuple(decoded.left_out)),
    )


def _read_targets(table: Path, files: Sequence[Path], classes: Sequence[str]) -> Tensor | None:
    """The targets of `files` in their order, from a table with the columns file (relative to it) and the classes."""
    try:
        with open(table, newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
        if not rows or rows[0][1:] != list(classes):
            raise InputError(f"the first line of {str(table)!r} must be: file, {', '.join(classes)}")
        by_file = {row[0]: [float(value) for value in row[1:]] for row in rows[1:] if row}
        values = [by_file[file.relative_to(table.parent).as_posix()] for file in files]
        return as_targets(np.array(values), repr(str(table)))
    except KeyError as error:
        raise InputError(f"{str(table)!r} has no line for {error.args[0]!r}") from None
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"cannot read {str(table)!r}: {one_line(error)}") from None
