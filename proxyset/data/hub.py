"""Datasets of the Hugging Face hub, read by its own library `datasets`: `hf:NAME` or `hf:NAME@REVISION`."""

import tempfile
from pathlib import Path
from typing import Any

from proxyset.data.form import Decoding
from proxyset.data.parquet import read_parquet
from proxyset.data.split import Split
from proxyset.errors import InputError, one_line
from proxyset.files import FULL, write_error
from proxyset.registry import library

PREFIX = "hf:"


def is_hub_name(source: str) -> bool:
    """Whether a dataset is one of a hub."""
    return source.startswith(PREFIX)


def label_of(source: str) -> str:
    """What such a dataset is called in file names: the last part of its name."""
    return source.removeprefix(PREFIX).partition("@")[0].rstrip("/").rpartition("/")[2] or "hub"


def read_hub(source: str, form: Decoding) -> Split:
    """Its splits, through the parquet files that `datasets` writes of them, which lie in a temporary folder meanwhile.

    Raises:
        InputError: `datasets` is not installed; it has no such dataset, or none that can be reached; its columns do not
            fit.
    """
    datasets = library("datasets", "hub")
    name, _, revision = source.removeprefix(PREFIX).partition("@")
    try:
        found = datasets.load_dataset(name, revision=revision or None)
    except Exception as error:  # of the network, of the hub, of a builder
        raise InputError(f"cannot load {source!r}: {one_line(error)}") from None
    with tempfile.TemporaryDirectory(prefix="proxyset-hub-") as folder:
        for split, rows in _splits(found, source).items():
            try:
                rows.to_parquet(str(Path(folder, f"{split}.parquet")))
            except Exception as error:  # a column that parquet cannot hold, an image that is not there
                if isinstance(error, OSError) and error.errno in FULL:
                    raise write_error(Path(folder), error) from None
                raise InputError(f"cannot read {source!r}: {one_line(error)}") from None
        try:
            return read_parquet(Path(folder), form)
        except InputError as error:
            raise InputError(str(error).replace(folder, source)) from None


def _splits(found: Any, source: str) -> dict[str, Any]:
    """What trains, and what tests where there is such a split."""
    if "train" not in found:
        raise InputError(f"{source!r} has no split 'train', but {', '.join(map(str, found))}")
    return {name: found[name] for name in ("train", "test", "validation") if name in found}
