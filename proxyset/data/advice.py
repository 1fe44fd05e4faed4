"""What to do where a dataset lacks a test split."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from proxyset.errors import InputError


def no_test_images(name: str, source: Mapping[str, Any] | None = None, more: str = "") -> InputError:
    """The error of whoever needs test images of the dataset `name`, with the remedy that fits where it comes from.

    Args:
        source: `Dataset.source`, where it is known.
        more: another way out, such as "or leave out `nets`".
    """
    remedy = _remedy(str((source or {}).get("source", "")))
    return InputError(f"{name} has no test images to evaluate on: {remedy}{', ' * bool(more)}{more}")


def _remedy(source: str) -> str:
    place = Path(source)
    if source.endswith(".npz"):
        return (
            "add the arrays x_test and y_test, or call the others images and labels, of which `test_fraction` is held "
            "out"
        )
    if source and place.is_dir():
        from proxyset.data.layout import find_layout  # here, where it is certain to be a folder
        from proxyset.data.parquet import parquet_files

        files = parquet_files(place)
        if files:
            return (
                f"add a file test.parquet, or let `dataset` be {str(files[0])!r}, of which `test_fraction` is held out"
            )
        train = find_layout(place).train
        return (
            f"put a folder test/ beside {train.name}/, or let `dataset` be {str(train)!r}, of which `test_fraction` is "
            "held out"
        )
    return "give it a test split"
