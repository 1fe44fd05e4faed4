"""Datasets by name or path: what is refused, and what loads a dataset again."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from proxyset.data.choice import DataChoice, Form
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
        ("owner/flowers", {}, "hf:owner/flowers would"),
        ("flowers", {}, "hf:NAME"),
        ([pixels(4, 8, 8), [0, 1, 0, 1]], {}, "got list"),
        (pixels(4, 8, 8), {}, "got ndarray"),
        ((pixels(6, 8, 8), np.arange(6) % 3 + 1), {}, "class '0' has no images; labels begin with 0"),
        ("some/where", {}, "no such folder or file"),
        ("~nobody-of-this-name/images", {}, "no such folder or file"),
        ("images/\0", {}, "no such folder or file"),
        ("images/" + "x" * 5000, {}, "no such folder or file"),
        ("digits", {"channels": 2}, "`channels` must be 1 or 3"),
        ("digits", {"size": 7}, "`size` must be 8 to 256"),
        ("digits", {"size": 257}, "`size` must be 8 to 256"),
        ("digits", {"resize": "zoom"}, "`resize`: .*'crop', 'fit' or 'stretch', got 'zoom'"),
        ("digits", {"background": "grey"}, "`background`: "),
        ("digits", {"on_error": "ignore"}, "`on_error`: "),
        ("digits", {"sise": 8}, "unknown setting 'sise' .*did you mean 'size'"),
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
    with pytest.raises(InputError, match="outside 8 to 256 pixels; `size=N`"):
        load("small.npz")
    assert load("small.npz", size=8).train.images.shape[-1] == 8


def test_the_form_of_a_dataset_is_what_a_choice_holds() -> None:
    assert set(Form.__annotations__) == set(DataChoice.model_fields) - {"dataset"}
    choice = DataChoice(dataset="digits", size=12, test_fraction=0.3)
    data = load(choice.dataset, **choice.form())
    assert (data.spec.size, data.source["test_fraction"]) == (12, 0.3)
    assert set(data.source) == {"source", *Form.__annotations__}


def test_what_earlier_versions_recorded_still_loads() -> None:
    source: dict[str, Any] = {"source": "digits", "size": 12, "channels": 1, "flip": False, "test_fraction": 0.2}
    data = load(**source)
    assert data.train.sha256() == load("digits", size=12).train.sha256()


def test_large_images_are_taken(folder: Path) -> None:
    assert load("mine.npz", size=256).spec.size == 256
    np.savez(folder / "large.npz", images=pixels(8, 257, 257), labels=np.arange(8) % 2)
    with pytest.raises(InputError, match="257×257, outside 8 to 256"):
        load("large.npz")


def test_arrays_that_are_not_square_are_resized_as_asked(folder: Path) -> None:
    images = pixels(8, 12, 20)
    np.savez(folder / "wide.npz", images=images, labels=np.arange(8) % 2)
    np.savez(folder / "square.npz", images=images[:, :, 4:16], labels=np.arange(8) % 2)
    data = load("wide.npz", size=12)
    assert data.train.sha256() == load("square.npz").train.sha256()
    assert data.notes == ("8 cropped to squares", "8 resized to 12×12")
    assert data.reading == "wide: 8 images, 8 cropped to squares, 8 resized to 12×12"
    assert load("square.npz").reading == ""


def test_a_class_with_a_single_image_is_named(folder: Path) -> None:
    np.savez(folder / "one.npz", images=pixels(3, 8, 8), labels=[0, 1, 1], class_names=["crane", "heron"])
    with pytest.raises(InputError, match="class 'crane' has a single image"):
        load("one.npz")


def test_a_class_without_test_images_is_refused(folder: Path) -> None:
    arrays: dict[str, Any] = {
        "x_train": pixels(4, 8, 8),
        "y_train": [0, 1, 0, 1],
        "x_test": pixels(2, 8, 8),
        "y_test": [1, 1],
    }
    np.savez(folder / "lacking.npz", class_names=["crane", "heron"], **arrays)
    with pytest.raises(InputError, match="class 'crane' has no test images"):
        load("lacking.npz")


def test_names() -> None:
    assert set(NAMES) == {"digits", "mnist", "fashion-mnist", "svhn", "cifar10", "cifar100", "usps"}
