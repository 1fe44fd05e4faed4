"""torchvision's formats, from files made here, and the real sets where they are."""

import bz2
import pickle
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import torch

from proxyset.data.load import load
from proxyset.data.spec import measure
from proxyset.data.vision import torchvision
from proxyset.errors import InputError
from tests.proxyset.data.made import check, md5, pixels


def write_idx(path: Path, array: np.ndarray) -> None:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(int(size).to_bytes(4, "big") for size in array.shape)
    path.write_bytes(header + array.tobytes())


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")])
def test_idx_files_as_torchvision_lays_them_out(name: str, folder: str, tmp_path: Path) -> None:
    raw = tmp_path / folder / "raw"
    raw.mkdir(parents=True)
    labels = {"train": np.arange(20) % 10, "t10k": np.arange(10)[::-1]}
    images = {part: pixels(len(values), 28, 28, seed=len(values)) for part, values in labels.items()}
    for part in labels:
        write_idx(raw / f"{part}-images-idx3-ubyte", images[part])
        write_idx(raw / f"{part}-labels-idx1-ubyte", labels[part].astype(np.uint8))
    data = load(name, data_root=tmp_path)
    check(data.train, images["train"][:, None], labels["train"])
    check(data.test, images["t10k"][:, None], labels["t10k"])
    published = {"mnist": ((0.1307,), (0.3081,)), "fashion-mnist": ((0.2861,), (0.3530,))}
    assert (data.spec.mean, data.spec.std) == published[name]
    assert data.spec.flip == (name == "fashion-mnist")
    assert data.spec.class_names[0] == {"mnist": "0", "fashion-mnist": "T-shirt/top"}[name]
    assert data.spec.class_names[9] == {"mnist": "9", "fashion-mnist": "Ankle boot"}[name]


def test_svhn_mat_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stored H×W×C×N, with ten for the digit 0."""
    table, expected = {}, {}
    for part, count in (("train", 20), ("test", 10)):
        images, labels = pixels(32, 32, 3, count, seed=count), np.arange(count) % 10
        path = tmp_path / f"{part}_32x32.mat"
        scipy.io.savemat(path, {"X": images, "y": np.where(labels == 0, 10, labels)[:, None].astype(np.uint8)})
        table[part] = ["", path.name, md5(path)]  # torchvision knows the real files' sums; these are other files
        expected[part] = images.transpose(3, 2, 0, 1), labels
    monkeypatch.setattr(torchvision().datasets.SVHN, "split_list", table)
    data = load("svhn", data_root=tmp_path)
    check(data.train, *expected["train"])
    check(data.test, *expected["test"])
    assert data.spec.flip is False
    assert data.spec.class_names == tuple("0123456789")
    assert data.spec.mean == (0.4377, 0.4438, 0.4728)
    assert data.spec.std == (0.1980, 0.2010, 0.1970)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_pickles(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classes = 10 if name == "cifar10" else 100
    cls = getattr(torchvision().datasets, name.upper())
    folder = tmp_path / cls.base_folder
    folder.mkdir()
    expected = []
    for entries in (cls.train_list, cls.test_list):
        images, labels = [], []
        for number, (file, _) in enumerate(entries):
            count = classes if len(entries) == 1 else 4
            part = pixels(count, 3, 32, 32, seed=number + classes)
            label = [(number * 4 + row) % classes for row in range(count)]
            key = "labels" if name == "cifar10" else "fine_labels"
            (folder / file).write_bytes(pickle.dumps({"data": part.reshape(count, -1), key: label}))
            images.append(part)
            labels += label
        expected.append((np.concatenate(images), labels))
    names = [f"class{label}" for label in range(classes)]
    (folder / cls.meta["filename"]).write_bytes(pickle.dumps({cls.meta["key"]: names}))
    # torchvision knows the real files' sums; these are other files.
    monkeypatch.setattr(cls, "train_list", [[file, md5(folder / file)] for file, _ in cls.train_list])
    monkeypatch.setattr(cls, "test_list", [[file, md5(folder / file)] for file, _ in cls.test_list])
    monkeypatch.setattr(cls, "meta", cls.meta | {"md5": md5(folder / cls.meta["filename"])})
    data = load(name, data_root=tmp_path)
    check(data.train, *expected[0])
    check(data.test, *expected[1])
    assert data.spec.class_names == tuple(names)
    assert data.spec.flip is True
    published = {"cifar10": (0.4914, 0.4822, 0.4465), "cifar100": (0.5071, 0.4866, 0.4409)}
    assert data.spec.mean == published[name]


def test_usps_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line per image: label 1..10, then position:value with values −1..1, compressed by bzip2."""
    table, expected = {}, {}
    for part, file, count in (("train", "usps.bz2", 20), ("test", "usps.t.bz2", 10)):
        images, labels = pixels(count, 16, 16, seed=count), np.arange(count) % 10
        lines = [
            " ".join([str(label + 1), *(f"{i + 1}:{v / 127.5 - 1:.6f}" for i, v in enumerate(image.flatten()))])
            for image, label in zip(images, labels, strict=True)
        ]
        (tmp_path / file).write_bytes(bz2.compress("\n".join(lines).encode()))
        table[part] = ["", file, md5(tmp_path / file)]
        expected[part] = images, labels
    monkeypatch.setattr(torchvision().datasets.USPS, "split_list", table)
    data = load("usps", data_root=tmp_path)
    assert (data.spec.channels, data.spec.size, data.spec.flip) == (1, 16, False)
    for part, found in (("train", data.train), ("test", data.test)):
        images, labels = expected[part]
        assert found.labels.tolist() == labels.tolist()
        difference = found.images[:, 0].int() - torch.from_numpy(images).int()
        assert difference.abs().max() <= 1  # torchvision cuts off the fraction


def test_damaged_torchvision_files_are_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short idx files, and no network to download whole ones."""

    def unreachable(*arguments: Any, **options: Any) -> None:
        raise urllib.error.URLError("unreachable")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        for kind in ("images-idx3", "labels-idx1"):
            (raw / f"{part}-{kind}-ubyte").write_bytes(b"\x00\x00\x08\x03short")
    with pytest.raises(InputError, match="mnist"):
        load("mnist", data_root=tmp_path)


@pytest.mark.parametrize(
    ("name", "train", "test", "size"),
    [("mnist", 60_000, 10_000, 28), ("fashion-mnist", 60_000, 10_000, 28), ("usps", 7_291, 2_007, 16)],
)
def test_real_sets_by_name(name: str, train: int, test: int, size: int, shared_data: Path) -> None:
    data = load(name, data_root=shared_data / "torchvision")
    assert (len(data.train), len(data.test)) == (train, test)
    assert (data.spec.size, data.spec.channels, data.spec.classes) == (size, 1, 10)
    if name != "usps":  # measured on its own training split; the others have published values
        mean, std = measure(data.train.images)
        assert mean == pytest.approx(data.spec.mean, abs=2e-4)
        assert std == pytest.approx(data.spec.std, abs=2e-4)
