"""Datasets by name or path: what is refused, and what loads a dataset again."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from proxyset.data.load import NAMES, load
from proxyset.errors import InputError
from tests.proxyset.data.made import pixels


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a small dataset in it."""
    np.savez(tmp_path / "mine.npz", images=pixels(20, 8, 8), labels=np.arange(20) % 2)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_relative_path_is_remembered_as_an_absolute_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what was made from it can be scored from any folder."""
    data = load("mine.npz", test_fraction=0.3)
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    again = load(**data.source)
    assert (again.train.sha256(), again.test.sha256()) == (data.train.sha256(), data.test.sha256())
    assert Path(data.source["source"]).is_absolute()


def test_the_source_of_a_named_set_is_its_name() -> None:
    data = load("digits", size=12, flip=True)
    assert data.source["source"] == "digits"
    again = load(**data.source)
    assert again.spec == data.spec
    assert again.train.sha256() == data.train.sha256()


def test_known_names_are_tried_before_paths(folder: Path) -> None:
    (folder / "digits").mkdir()
    assert len(load("digits").train) > 1000
    with pytest.raises(InputError, match="no class sub-folders"):
        load("./digits")


def test_a_set_can_be_given_a_name(folder: Path) -> None:
    assert load("mine.npz").spec.name == "mine"
    assert load("mine.npz", name="other").spec.name == "other"


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        ("digit", {}, "unknown dataset 'digit': did you mean 'digits'"),
        ("nothing.npz", {}, "no such folder or file"),
        ("some/where", {}, "no such folder or file"),
        ("digits", {"channels": 2}, "`channels` must be 1 or 3"),
        ("digits", {"size": 7}, "`size` must be 8 to 64"),
        ("digits", {"size": 65}, "`size` must be 8 to 64"),
        ("digits", {"test_fraction": 1.0}, "`test_fraction` must be between 0 and 1"),
    ],
)
def test_what_cannot_be_is_refused(source: str, options: dict[str, Any], words: str, folder: Path) -> None:
    with pytest.raises(InputError, match=words):
        load(source, **options)


def test_a_file_of_another_kind_is_refused(folder: Path) -> None:
    (folder / "notes.txt").write_text("some words")
    with pytest.raises(InputError, match=r"neither a folder, an \.npz nor a \.parquet"):
        load("notes.txt")


def test_small_sets_are_brought_to_a_size_that_networks_take(folder: Path) -> None:
    np.savez(folder / "small.npz", images=pixels(20, 5, 5), labels=np.arange(20) % 2)
    with pytest.raises(InputError, match="outside 8 to 64 pixels; `size=N`"):
        load("small.npz")
    assert load("small.npz", size=8).train.images.shape[-1] == 8


def test_names() -> None:
    assert set(NAMES) == {"digits", "mnist", "fashion-mnist", "svhn", "cifar10", "cifar100", "usps"}
