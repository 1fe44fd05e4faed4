"""Parquet files with an image column, as Hugging Face datasets lays them out."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from proxyset.data.archive import check_expansion
from proxyset.data.decode import decode
from proxyset.data.form import Decoding
from proxyset.data.images import ImageSet
from proxyset.data.layout import TEST, TRAIN, VALIDATION
from proxyset.data.npz import EXPORT, as_targets
from proxyset.data.split import FLIP, Reading, Split, numbered
from proxyset.data.tiles import FORMATION, refuse_tiles
from proxyset.errors import InputError, one_line
from proxyset.parsing import parse_json

TARGET = "target"  # column of soft targets: a list of as many numbers as there are classes
ROWS = 32  # read at once
MAX_EXPANDED = 2**40  # bytes; rows are decoded as they are read, so that only a file that cannot be meant has more


def read_parquet(path: Path, form: Decoding) -> Split:
    """Read one file, or a folder of files: the splits by words in their names, as `find_layout` has them.

    Raises:
        InputError: unreadable files, columns that do not fit, or a test split without one for training.
    """
    files = [path] if path.is_file() else parquet_files(path)
    train = [] if path.is_file() else _named(files, TRAIN)
    held_out = [] if path.is_file() else _named(files, TEST) or _named(files, VALIDATION)
    if held_out and not train and len(files) > 1:
        raise InputError(f"{str(path)!r} has {held_out[0].name!r}, but no file whose name says train")
    test = held_out if train else []
    first, names, reading = _read_tables(train or files, form)
    unused = [file for file in files if file not in train + test] if train else []
    notes = tuple(f"{file.name} left out" for file in unused)
    if not train and len(files) > 1:
        notes = (f"{len(files)} files are one set",)
    if test and not _named(test, TEST):
        notes = (f"{test[0].name} is the test split", *notes)
    second = None
    if test:
        second, _, of_test = _read_tables(test, replace(form, channels=first.images.shape[1]))
        reading += of_test
    names = names or numbered(first, repr(str(files[0])))
    return Split(first, second, names, not train, Reading(notes=notes) + reading, _flip((train or files)[0]))


def parquet_files(folder: Path) -> list[Path]:
    """The parquet files of a folder, or of its sub-folder `data`."""
    for pattern in ("*.parquet", "data/*.parquet"):
        files = sorted(file for file in folder.glob(pattern) if file.is_file() and not file.name.startswith("."))
        if files:
            return files
    return []


def _named(files: Sequence[Path], names: tuple[str, ...]) -> list[Path]:
    return [file for file in files if _split_of(file) == names]


def _split_of(file: Path) -> tuple[str, ...] | None:
    """The words for the split that a file is of: of the one that its name begins with, or else names first."""
    name, splits = file.stem.lower(), (TRAIN, TEST, VALIDATION)
    begins = (split for split in splits if name.startswith(split))
    names = (split for word in re.split(r"[^a-z]+", name) for split in splits if word in split)
    return next(begins, next(names, None))


@dataclass(frozen=True)
class _Table:
    """A file that is open, its number of rows, and its columns."""

    path: Path
    file: Any
    rows: int
    image: str
    label: str
    soft: bool

    def batches(self) -> Iterator[Any]:
        columns = [self.image, self.label, *([TARGET] if self.soft else [])]
        with _readable(self.path):
            yield from self.file.iter_batches(ROWS, columns=columns)


def _read_tables(files: list[Path], form: Decoding) -> tuple[ImageSet, tuple[str, ...], Reading]:
    tables = [_open(file) for file in files]
    labels: list[np.ndarray] = []
    targets: list[list[float]] = []

    def cells() -> Iterator[tuple[str, bytes]]:
        """The images by file and row; what else the rows hold is put aside."""
        for table in tables:
            row = 0
            for batch in table.batches():
                labels.append(_integers(batch.column(table.label), table))
                targets.extend(batch.column(TARGET).to_pylist() if table.soft else [])
                for cell in _bytes_of(batch.column(table.image)):
                    yield f"{table.path}, row {row}", cell
                    row += 1

    decoded = decode(cells(), sum(table.rows for table in tables), form)
    kept = decoded.kept
    soft = _targets(targets, files[0])
    data = ImageSet(
        decoded.images,
        torch.from_numpy(np.concatenate([*labels, np.empty(0, np.int64)]))[kept],
        None if soft is None else soft[kept],
    )
    names = next((names for table in tables if (names := _feature_names(table))), ())
    return data, names, Reading(decoded.done, tuple(decoded.left_out))


def _open(path: Path) -> _Table:
    """
    Raises:
        InputError: no parquet file, columns that do not fit, or content of an impossible size.
    """
    import pyarrow.parquet as pq

    with _readable(path):
        file = pq.ParquetFile(path)
        refuse_tiles((file.schema_arrow.metadata or {}).get(f"{EXPORT}.{FORMATION}".encode()), str(path))
        image, label = _image_and_label(file.schema_arrow, path)
        # Of the row groups as a whole: asking for a damaged column of one ends the process, no exception.
        expanded = sum(
            file.metadata.row_group(number).total_byte_size for number in range(file.metadata.num_row_groups)
        )
        check_expansion(path, path.stat().st_size, expanded, MAX_EXPANDED)
        return _Table(path, file, file.metadata.num_rows, image, label, _has_targets(file.schema_arrow))


def _flip(path: Path) -> bool | None:
    """What an export of a proxy set says of mirrored images; None where it says nothing."""
    import pyarrow.parquet as pq

    with _readable(path):
        word = (pq.read_schema(path).metadata or {}).get(f"{EXPORT}.{FLIP}".encode())
    return None if word is None else word == b"True"


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: names that are no UTF-8
        raise InputError(f"cannot read {str(path)!r}: {one_line(error)}") from None


def _bytes_of(column: Any) -> list[bytes]:
    """The field `bytes` of a column of images; empty where it is missing."""
    field = column.flatten()[column.type.get_field_index("bytes")]  # flattened, a missing image has missing bytes
    return [cell or b"" for cell in field.to_pylist()]


def _integers(column: Any, table: _Table) -> np.ndarray:
    if column.null_count:
        raise InputError(f"column {table.label!r} of {str(table.path)!r} has missing labels")
    try:
        return np.array(column.to_pylist(), dtype=np.int64)
    except OverflowError:
        raise InputError(f"{str(table.path)!r}: labels are out of range") from None


def _targets(rows: list[list[float]], file: Path) -> Tensor | None:
    try:
        return as_targets(np.array(rows, dtype=float), repr(str(file))) if rows else None
    except (ValueError, TypeError):
        raise InputError(f"column {TARGET!r} of {str(file)!r} must hold lists of one length") from None


def _image_and_label(schema: Any, file: Path) -> tuple[str, str]:
    """The names of the image column (a struct with bytes) and of the label column."""
    import pyarrow.types as kind

    def holds_bytes(form: Any) -> bool:
        """A struct with a field `bytes` of bytes; text in it would be taken for the name of a file."""
        place = form.get_field_index("bytes") if kind.is_struct(form) else -1
        return place >= 0 and (kind.is_binary(form.field(place).type) or kind.is_large_binary(form.field(place).type))

    images = [f.name for f in schema if holds_bytes(f.type)]
    labels = [f.name for f in schema if kind.is_integer(f.type)]
    for name in ("label", "labels", "fine_label"):
        if name in labels:
            labels = [name]
    if len(images) != 1 or len(labels) != 1:
        raise InputError(
            f"{str(file)!r} needs one image column (a struct with 'bytes') and an integer column 'label', "
            f"found {', '.join(f'{f.name}: {f.type}' for f in schema)}"
        )
    return images[0], labels[0]


def _has_targets(schema: Any) -> bool:
    """Whether there is a column of soft targets; a number or a word called so is something else."""
    import pyarrow.types as kind

    if TARGET not in schema.names:
        return False
    form = schema.field(TARGET).type
    lists = kind.is_list(form) or kind.is_large_list(form) or kind.is_fixed_size_list(form)
    return lists and kind.is_floating(form.value_type)


def _feature_names(table: _Table) -> tuple[str, ...]:
    """Class names from the metadata that Hugging Face datasets writes, where they are there."""
    text = (table.file.schema_arrow.metadata or {}).get(b"huggingface")
    value = None if text is None else parse_json(text, f"{str(table.path)!r}, metadata huggingface")
    for key in ("info", "features", table.label, "names"):
        value = value.get(key) if isinstance(value, dict) else None
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise InputError(f"{str(table.path)!r}: the names of column {table.label!r} must be a list of words")
    return tuple(value)
