"""Arrays in an .npz file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from proxyset.data.load import load
from proxyset.errors import InputError
from tests.proxyset.data.made import check, pixels


@pytest.mark.parametrize(
    ("keys", "shape"),
    [
        (("x_train", "y_train", "x_test", "y_test"), (8, 8)),
        (("x_train", "y_train", "x_test", "y_test"), (8, 8, 3)),
        (("train_images", "train_labels", "test_images", "test_labels"), (8, 8, 1)),
        (("train_images", "train_labels", "test_images", "test_labels"), (3, 8, 8)),
    ],
)
@pytest.mark.parametrize("kind", ["uint8", "int64", "float32"])
def test_npz_layouts(keys: tuple[str, ...], shape: tuple[int, ...], kind: str, tmp_path: Path) -> None:
    train, test = pixels(12, *shape), pixels(6, *shape, seed=1)
    scale = 255 if kind == "float32" else 1
    arrays = [(train / scale).astype(kind), np.arange(12)[:, None] % 3, (test / scale).astype(kind), np.arange(6) % 3]
    content: dict[str, Any] = dict(zip(keys, arrays, strict=True))
    np.savez(tmp_path / "mine.npz", **content)
    data = load(tmp_path / "mine.npz")
    for found, images in ((data.train, train), (data.test, test)):
        if len(shape) == 2:
            images = images[:, None]
        elif shape[-1] in (1, 3):
            images = images.transpose(0, 3, 1, 2)
        check(found, images, np.arange(len(images)) % 3)
    assert data.spec.name == "mine"
    assert data.spec.class_names == ("0", "1", "2")


def test_npz_without_a_split_is_split(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=pixels(20, 8, 8), labels=np.arange(20) % 2, class_names=["no", "yes"])
    data = load(tmp_path / "a.npz")
    assert (len(data.train), len(data.test)) == (16, 4)
    assert data.spec.class_names == ("no", "yes")


def test_class_names_kept_as_bytes(tmp_path: Path) -> None:
    for name, good in (("café".encode(), True), (b"caf\xe9", False)):
        names = np.array([name, b"no"])
        np.savez(tmp_path / "a.npz", images=pixels(20, 8, 8), labels=np.arange(20) % 2, class_names=names)
        if good:
            assert load(tmp_path / "a.npz").spec.class_names == ("café", "no")
            continue
        with pytest.raises(InputError, match="UTF-8"):
            load(tmp_path / "a.npz")


def test_arrays_of_two_sizes_are_brought_to_one_that_is_named(tmp_path: Path) -> None:
    train, test = pixels(4, 32, 32, 3), pixels(4, 28, 28)
    np.savez(tmp_path / "a.npz", x_train=train, y_train=np.arange(4) % 2, x_test=test, y_test=np.arange(4) % 2)
    with pytest.raises(InputError, match=r"differ in shape.*`size=N`.*`channels=1`"):
        load(tmp_path / "a.npz")
    with pytest.raises(InputError, match="differ in shape"):
        load(tmp_path / "a.npz", size=16)
    data = load(tmp_path / "a.npz", size=16, channels=3)
    assert data.train.images.shape == data.test.images.shape == (4, 3, 16, 16)


def test_npz_holds_soft_targets_of_the_training_images(tmp_path: Path) -> None:
    targets = np.linspace(0, 1, 12, dtype=np.float32).reshape(-1, 1)
    targets = np.concatenate([targets, 1 - targets], 1)
    arrays: dict[str, Any] = {"x_train": pixels(12, 8, 8), "y_train": np.arange(12) % 2, "targets": targets}
    np.savez(tmp_path / "soft.npz", **arrays)
    train = load(tmp_path / "soft.npz").train
    assert train.targets is not None
    assert torch.equal(train.targets, torch.from_numpy(targets))
    np.savez(tmp_path / "soft.npz", **arrays | {"targets": targets.round().astype(np.int64)})
    with pytest.raises(InputError, match="targets must be real numbers"):
        load(tmp_path / "soft.npz")
