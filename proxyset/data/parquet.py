"""Parquet files with an image column, as Hugging Face datasets lays them out."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from proxyset.data.decode import decode
from proxyset.data.images import ImageSet
from proxyset.data.npz import as_targets
from proxyset.data.split import Split, numbered
from proxyset.errors import InputError, one_line

TARGET = "target"  # column of soft targets: a list of as many numbers as there are classes


def read_parquet(path: Path, size: int | None, channels: int | None) -> Split:
    """Read one file, or a folder of files: training and test split by names that start with `train` and `test`.

    Raises:
        InputError: unreadable files, or columns that do not fit.
    """
    tables = [path] if path.is_file() else parquet_files(path)
    train = [table for table in tables if table.name.startswith("train") and path.is_dir()]
    test = [table for table in tables if table.name.startswith("test")] if train else []
    first, names = _read_tables(train or tables, size, channels)
    second = None
    if test:
        second, _ = _read_tables(test, first.images.shape[-1], first.images.shape[1])
    return Split(first, second, names or numbered(first, repr(str(tables[0]))), whole=not train)


def parquet_files(folder: Path) -> list[Path]:
    """The parquet files of a folder, or of its sub-folder `data`."""
    return sorted(folder.glob("*.parquet")) or sorted(folder.glob("data/*.parquet"))


def _read_tables(files: list[Path], size: int | None, channels: int | None) -> tuple[ImageSet, tuple[str, ...]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names: tuple[str, ...] = ()
    cells: list[tuple[str, bytes]] = []
    labels: list[int] = []
    targets: list[list[float]] = []
    for file in files:
        try:
            schema = pq.read_schema(file)
            image, label = _image_and_label(schema, file)
            soft = [TARGET] if TARGET in schema.names else []
            table = pq.read_table(file, columns=[image, label, *soft])
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"cannot read {str(file)!r}: {one_line(error)}") from None
        if table[label].null_count:
            raise InputError(f"column {label!r} of {str(file)!r} has missing labels")
        names = names or _feature_names(schema, label)
        labels += table[label].to_pylist()
        targets += table[TARGET].to_pylist() if soft else []
        for row, cell in enumerate(table[image].to_pylist()):
            cells.append((f"{file}, row {row}", (cell or {}).get("bytes") or b""))
    images = decode(((name, io.BytesIO(data)) for name, data in cells), size, channels)
    return ImageSet(images, torch.tensor(labels, dtype=torch.int64), _targets(targets, files[0])), names


def _targets(rows: list[list[float]], file: Path) -> Tensor | None:
    try:
        return as_targets(np.array(rows, dtype=float), repr(str(file))) if rows else None
    except (ValueError, TypeError):
        raise InputError(f"column {TARGET!r} of {str(file)!r} must hold lists of one length") from None


def _image_and_label(schema: Any, file: Path) -> tuple[str, str]:
    """The names of the image column (a struct with bytes) and of the label column."""
    import pyarrow.types as kind

    images = [f.name for f in schema if kind.is_struct(f.type) and f.type.get_field_index("bytes") >= 0]
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


def _feature_names(schema: Any, label: str) -> tuple[str, ...]:
    """Class names from the metadata that Hugging Face datasets writes, where they are there."""
    try:
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        return tuple(features[label]["names"])
    except (KeyError, TypeError, ValueError):
        return ()
