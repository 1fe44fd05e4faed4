"""Folders of images, with and without splits, and their table of soft targets."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from proxyset.data.load import load
from proxyset.errors import InputError
from tests.proxyset.data.made import check, pixels


def write_folder(root: Path, classes: tuple[str, ...], count: int, shape: tuple[int, ...] = (8, 8)) -> np.ndarray:
    images = pixels(len(classes) * count, *shape, seed=len(str(root)))
    for position, image in enumerate(images):
        folder = root / classes[position // count]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{position % count:03}.png")
    return images


def test_folder_with_its_own_split(tmp_path: Path) -> None:
    train = write_folder(tmp_path / "train", ("ant", "bee", "cat"), 4)
    test = write_folder(tmp_path / "test", ("ant", "bee", "cat"), 2)
    data = load(tmp_path)
    check(data.train, train[:, None], [0] * 4 + [1] * 4 + [2] * 4)
    check(data.test, test[:, None], [0, 0, 1, 1, 2, 2])
    assert data.spec.class_names == ("ant", "bee", "cat")
    assert data.spec.name == tmp_path.name


def test_folder_without_a_split_is_split_by_class_the_same_way_every_time(tmp_path: Path) -> None:
    images = write_folder(tmp_path, ("ant", "bee"), 10)
    data, again = load(tmp_path), load(tmp_path)
    assert data.train.sha256() == again.train.sha256()
    assert data.train.labels.bincount().tolist() == [8, 8]
    assert data.test.labels.bincount().tolist() == [2, 2]
    together = torch.cat([data.train.images, data.test.images]).flatten(1)
    assert sorted(map(bytes, together.numpy())) == sorted(image.tobytes() for image in images)
    half = load(tmp_path, test_fraction=0.5)
    assert half.test.labels.bincount().tolist() == [5, 5]


@pytest.mark.parametrize(
    ("tested", "words"),
    [
        (("ant", "bee", "wasp"), "class 'wasp' is in .*test' but not in .*train'"),
        (("ant",), "class 'bee' is in .*train' but not in .*test'"),
    ],
)
def test_a_class_in_one_of_the_splits_only_is_refused(tested: tuple[str, ...], words: str, tmp_path: Path) -> None:
    write_folder(tmp_path / "train", ("ant", "bee"), 2)
    write_folder(tmp_path / "test", tested, 2)
    with pytest.raises(InputError, match=words):
        load(tmp_path)


def test_training_and_test_images_of_two_sizes_are_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", ("ant", "bee"), 2)
    write_folder(tmp_path / "test", ("ant", "bee"), 2, (9, 9))
    with pytest.raises(InputError, match=r"differ in shape.*`size=N`"):
        load(tmp_path)
    assert load(tmp_path, size=8).test.images.shape == (4, 1, 8, 8)


def test_folders_and_images_in_odd_places_are_counted(tmp_path: Path) -> None:
    write_folder(tmp_path, ("ant", "bee"), 5)
    write_folder(tmp_path / "ant", ("more",), 3)
    Image.fromarray(pixels(1, 8, 8)[0]).save(tmp_path / "loose.png")
    data = load(tmp_path)
    assert len(data.train) + len(data.test) == 10
    assert set(data.notes) >= {"1 folders inside of classes passed over", "1 images beside the classes passed over"}


def test_images_in_a_folder_that_is_called_as_thumbnails_are_told(tmp_path: Path) -> None:
    """It may be a class: of gestures, say."""
    write_folder(tmp_path, ("fist", "palm", "thumbs"), 10)
    data = load(tmp_path)
    assert data.spec.class_names == ("fist", "palm")
    assert "thumbs/ passed over as thumbnails" in data.notes


def test_a_class_may_be_called_as_a_split_is(tmp_path: Path) -> None:
    """A train is a vehicle. A folder of images beside other classes is one of them."""
    write_folder(tmp_path, ("bus", "car", "train"), 5)
    assert load(tmp_path).spec.class_names == ("bus", "car", "train")
    write_folder(tmp_path / "flat", ("train", "test"), 5)  # nothing but splits, without classes
    with pytest.raises(InputError, match="no class sub-folders"):
        load(tmp_path / "flat")


def test_pictures_that_are_to_be_classified_are_no_test_split(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", ("ant", "bee"), 5)
    write_folder(tmp_path, ("test",), 4)
    data = load(tmp_path)
    assert (len(data.train), len(data.test)) == (10, 0)
    assert "test/ left out" in data.notes
    write_folder(tmp_path / "val", ("ant", "bee"), 2)
    assert len(load(tmp_path).test) == 4


def test_images_of_many_kinds_become_one_set(tmp_path: Path) -> None:
    """Palette, alpha, bilevel and JPEG; one colour image makes all of them colour; other files are left alone."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    grey = Image.fromarray(pixels(8, 8))
    grey.save(tmp_path / "a" / "0.png")
    grey.convert("P").save(tmp_path / "a" / "1.png")
    grey.convert("1").save(tmp_path / "a" / "2.bmp")
    Image.fromarray(pixels(8, 8, 3)).save(tmp_path / "b" / "0.JPG")
    Image.fromarray(pixels(8, 8, 4), "RGBA").save(tmp_path / "b" / "1.png")
    (tmp_path / "a" / "notes.txt").write_text("not an image")
    (tmp_path / ".cache").mkdir()
    data = load(tmp_path)
    assert data.spec.channels == 3
    assert data.spec.class_names == ("a", "b")
    assert len(data.train) + len(data.test) == 5
    assert load(tmp_path, channels=1).spec.channels == 1


def test_size_brings_images_of_any_shape_to_one(tmp_path: Path) -> None:
    write_folder(tmp_path, ("ant",), 3, (20, 30, 3))
    write_folder(tmp_path, ("bee",), 3, (9, 9, 3))
    with pytest.raises(InputError, match="`size=N`"):
        load(tmp_path)
    data = load(tmp_path, size=12, channels=1)
    assert data.train.images.shape[1:] == data.test.images.shape[1:] == (1, 12, 12)
    assert (data.spec.size, data.spec.channels) == (12, 1)


def write_table(root: Path, lines: list[str]) -> None:
    (root / "targets.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_a_table_beside_the_images_holds_their_soft_targets(tmp_path: Path) -> None:
    """In any order of its lines; they go with the images when these are split."""
    write_folder(tmp_path, ("ant", "bee"), 4)
    rows = [
        f"{name}/{number:03}.png,{0.1 * number},{1 - 0.1 * number}" for name in ("bee", "ant") for number in range(4)
    ]
    write_table(tmp_path, ["file,ant,bee", *rows])
    data = load(tmp_path, test_fraction=0.25)
    assert data.train.targets is not None
    assert data.test.targets is not None
    both = torch.cat([data.train.targets, data.test.targets])
    assert sorted(round(10 * value) for value in both[:, 0].tolist()) == [0, 0, 1, 1, 2, 2, 3, 3]
    torch.testing.assert_close(both.sum(1), torch.ones(8))


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["file,bee,ant", "ant/000.png,1,0", "bee/000.png,0,1"], "first line .* must be: file, ant, bee"),
        (["file,ant,bee", "ant/000.png,1,0"], "no line for 'bee/000.png'"),
        (["file,ant,bee", "ant/000.png,1,0", "bee/000.png,zero,1"], "cannot read"),
        (["file,ant,bee", "ant/000.png,1,0", "bee/000.png,0.9,0.9"], "probabilities"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(lines: list[str], words: str, tmp_path: Path) -> None:
    write_folder(tmp_path, ("ant", "bee"), 1)
    write_table(tmp_path, lines)
    with pytest.raises(InputError, match=words):
        load(tmp_path)
