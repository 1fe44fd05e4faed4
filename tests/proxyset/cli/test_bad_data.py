"""One clear line for data that no method can work with."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.proxyset.cli.made import Cli, assert_refused, save_folder, save_npz, snapshot

Maker = Callable[[Path], object]


def _npz(**arrays: Any) -> Maker:
    return lambda path: save_npz(path.with_suffix(".npz"), **arrays)


def _folder(change: Callable[[Path], object], classes: int = 2) -> Maker:
    def make(path: Path) -> None:
        save_folder(path, classes)
        change(path)

    return make


def _parquet(text: bytes) -> Maker:
    return lambda path: path.with_suffix(".parquet").write_bytes(text)


FLOATS = np.linspace(0, 1, 30 * 64).reshape(30, 8, 8)


def truncate(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def _save_splits(path: Path) -> None:
    save_folder(path / "train", classes=2)
    save_folder(path / "Test", classes=1)


def leave_one(folder: Path) -> None:
    for path in sorted(folder.iterdir())[1:]:
        path.unlink()


BAD_DATA: dict[str, tuple[Maker, list[str]]] = {
    "one class only": (_npz(labels=np.zeros(30, int)), ["1 class", "at least two"]),
    "one class folder": (_folder(lambda path: None, classes=1), ["1 class", "at least two"]),
    "a class with no images": (_npz(labels=np.arange(30) % 2 * 2), ["class '1' has no images"]),
    "an empty class folder": (_folder(lambda path: (path / "empty").mkdir()), ["class 'empty' has no images"]),
    "negative labels": (_npz(labels=np.arange(30) % 3 - 1), ["labels are out of range", "-1"]),
    "labels beyond the class names": (_npz(class_names=np.array(["a", "b"])), ["out of range", "0..2", "2 classes"]),
    "huge labels": (_npz(labels=np.arange(30) % 2 * 10**12), ["out of range"]),
    "labels that are no integers": (_npz(labels=np.linspace(0, 2, 30)), ["integer label"]),
    "fewer labels than images": (_npz(labels=np.arange(29) % 3), ["integer label per image"]),
    "NaN": (_npz(images=np.where(FLOATS > 0.9, np.nan, FLOATS)), ["NaN"]),
    "floats beyond 0..1": (_npz(images=FLOATS * 255), ["0..1"]),
    "integers beyond 0..255": (_npz(images=np.full((30, 8, 8), 256)), ["0..255"]),
    "four channels": (_npz(images=np.zeros((30, 8, 8, 4), np.uint8)), ["C 1 or 3", "(30, 8, 8, 4)"]),
    "images that are not square": (_npz(images=np.zeros((30, 8, 9), np.uint8)), ["9×8", "not square", "--size"]),
    "images that are too small": (_npz(images=np.zeros((30, 4, 4), np.uint8)), ["4×4", "--size"]),
    "other arrays": (lambda path: np.savez(path.with_suffix(".npz"), a=np.zeros(3)), ["x_train", "found a"]),
    "pickled objects": (_npz(labels=np.array([object()] * 30)), ["cannot read"]),
    "no npz": (lambda path: path.with_suffix(".npz").write_text("text"), ["cannot read"]),
    "no parquet": (_parquet(b"text"), ["cannot read"]),
    "an empty folder": (lambda path: path.mkdir(), ["no class sub-folders"]),
    "an unreadable image": (
        _folder(lambda path: (path / "class1" / "1.png").write_bytes(b"no image")),
        ["cannot read image", "class1/1.png"],
    ),
    "a truncated image": (
        _folder(lambda path: truncate(path / "class0" / "2.png")),
        ["cannot read image", "class0/2.png"],
    ),
    "a pipe": (
        _folder(lambda path: os.mkfifo(path / "class1" / "3.png")),
        ["cannot read image", "class1/3.png", "not a regular file", "--on-error skip"],
    ),
    "a class missing from the test split": (
        lambda path: _save_splits(path),
        ["class 'class1' is in", "but not in", "Test'"],
    ),
    "a wrong-sized image": (
        _folder(lambda path: Image.new("L", (9, 9)).save(path / "class1" / "2.png")),
        ["class1/2.png", "9×9", "8×8", "--size"],
    ),
    "a class with a single image": (
        _folder(lambda path: leave_one(path / "class1")),
        ["class 'class1' has a single image"],
    ),
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data_is_one_line_and_nothing_is_written(case: str, cli: Cli, tmp_path: Path) -> None:
    make, words = BAD_DATA[case]
    make(tmp_path / "data")
    (source,) = tmp_path.glob("data*")
    before = snapshot(tmp_path)
    assert_refused(cli("build", "--dataset", source.name, "--method", "random"), *words)
    assert snapshot(tmp_path) == before
