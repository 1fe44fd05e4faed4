"""The remedy for a missing test split is one that works."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from proxyset.data.advice import no_test_images
from proxyset.data.load import load
from tests.proxyset.data.made import pixels
from tests.proxyset.data.test_folder import write_folder
from tests.proxyset.data.test_parquet import write_parquet


def advice(path: Path) -> str:
    data = load(path)
    assert not len(data.test)
    return str(no_test_images(data.spec.name, data.source))


def test_of_a_folder(tmp_path: Path) -> None:
    write_folder(tmp_path / "mine" / "Train", ("ant", "bee"), 5)
    words = advice(tmp_path / "mine")
    assert "put a folder test/ beside Train/" in words
    assert str(tmp_path / "mine" / "Train") in words
    assert len(load(tmp_path / "mine" / "Train").test) == 2
    shutil.copytree(tmp_path / "mine" / "Train", tmp_path / "mine" / "test")
    assert len(load(tmp_path / "mine").test) == 10


def test_of_an_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x_train=pixels(8, 8, 8), y_train=np.arange(8) % 2)
    assert "x_test and y_test" in advice(tmp_path / "a.npz")


def test_of_parquet(tmp_path: Path) -> None:
    write_parquet(tmp_path / "set" / "train.parquet", pixels(8, 8, 8), [0, 1] * 4)
    assert "add a file test.parquet" in advice(tmp_path / "set")
    assert len(load(tmp_path / "set" / "train.parquet").test) == 2


@pytest.mark.parametrize("source", [{}, None, {"source": "/nowhere"}, {"source": "digits"}])
def test_of_anything_else(source: dict[str, str] | None) -> None:
    words = str(no_test_images("mine", source, "or leave out `nets`"))
    assert words == "mine has no test images to evaluate on: give it a test split, or leave out `nets`"
