"""Where the splits and the classes of a folder are, under the names that people give them."""

from pathlib import Path

import pytest

from proxyset.data.layout import find_layout
from proxyset.data.load import load
from proxyset.errors import InputError
from tests.proxyset.data.test_folder import write_folder


def write_split(root: Path, *names: str) -> None:
    for count, name in enumerate(names, 2):
        write_folder(root / name, ("ant", "bee"), count)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train", "test"),
        ("training", "testing"),
        ("Train", "Test"),
        ("TRAIN", "val"),
        ("train", "valid"),
        ("training", "Validation"),
    ],
)
@pytest.mark.parametrize("place", ["", "data", "Data", "my images"])
def test_splits_have_the_usual_names_and_may_lie_one_level_down(
    place: str, train: str, test: str, tmp_path: Path
) -> None:
    write_split(tmp_path / "set" / place, train, test)
    data = load(tmp_path / "set")
    assert (len(data.train), len(data.test)) == (4, 6)
    assert data.spec.name == "set"
    is_validation = test.lower().startswith("val")
    assert data.notes == ((f"{test}/ is the test split",) if is_validation else ())


def test_where_there_are_both_test_is_the_test_split_and_val_is_left_out(tmp_path: Path) -> None:
    write_split(tmp_path, "train", "val", "test")
    (tmp_path / "labels").mkdir()
    data = load(tmp_path)
    assert len(data.test) == 8
    assert data.notes == ("labels/ left out", "val/ left out")


def test_a_data_folder_with_splits_wins_over_what_lies_beside_it(tmp_path: Path) -> None:
    write_split(tmp_path / "data", "train", "test")
    write_folder(tmp_path, ("docs",), 1)
    assert find_layout(tmp_path).train == tmp_path / "data" / "train"


def test_classes_may_lie_in_a_single_folder(tmp_path: Path) -> None:
    write_folder(tmp_path / "set" / "inner", ("ant", "bee"), 3)
    assert load(tmp_path / "set").spec.class_names == ("ant", "bee")
    write_folder(tmp_path / "one", ("ant",), 3)
    with pytest.raises(InputError, match="1 class"):
        load(tmp_path / "one")


def test_data_is_a_class_where_it_holds_images(tmp_path: Path) -> None:
    write_folder(tmp_path, ("ant", "data"), 3)
    assert load(tmp_path).spec.class_names == ("ant", "data")


def test_what_no_person_made_is_passed_over(tmp_path: Path) -> None:
    write_split(tmp_path / "set", "train", "test")
    for name in ("__MACOSX/train/ant", ".git", "@eaDir"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("train/thumbnails", "train/.cache", "test/__MACOSX"):
        (tmp_path / "set" / name).mkdir(parents=True)
    for name in (".DS_Store", "train/ant/Thumbs.db", "train/ant/._000.png", "train/Thumbs.db", "train/bee/desktop.ini"):
        (tmp_path / "set" / name).write_text("not an image")
    data = load(tmp_path)
    assert data.spec.class_names == ("ant", "bee")
    assert (len(data.train), len(data.test), data.notes) == (4, 6, ())
    (tmp_path / "set" / "train" / "ant" / "notes.txt").write_text("not an image")
    assert load(tmp_path).notes == ("1 of other kinds passed over",)


def test_two_names_for_one_split_are_refused(tmp_path: Path) -> None:
    write_split(tmp_path, "train", "training")
    with pytest.raises(InputError, match="has train/ and training/; leave one"):
        load(tmp_path)


def test_a_class_without_images_is_named_with_what_counts_as_one(tmp_path: Path) -> None:
    write_folder(tmp_path, ("ant", "bee"), 2)
    (tmp_path / "crow").mkdir()
    (tmp_path / "crow" / "a.heic").write_bytes(b"")
    with pytest.raises(InputError, match=r"class 'crow' has no images in .*crow' \(.*\.jpg .*\.png"):
        load(tmp_path)
