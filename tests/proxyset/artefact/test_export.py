"""What is exported loads back as a dataset: same pixels, same labels, same names, same soft targets."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from PIL import Image

from proxyset.artefact.export import FORMATS, export
from proxyset.artefact.proxy_set import ProxySet
from proxyset.data.images import ImageSet
from proxyset.data.load import load
from proxyset.data.spec import DatasetSpec, normalise, to_pixels
from proxyset.errors import InputError

WITH_STORED = [form for form in FORMATS if form != "hub"]  # a hub takes what is trained on


def make_proxy(
    channels: int = 1, names: tuple[str, ...] = ("cat", "dog", "emu"), noise: bool = False, soft: bool = False
) -> ProxySet:
    generator = torch.Generator().manual_seed(0)
    spec = DatasetSpec("tiny", channels, 8, names, (0.4,) * channels, (0.3,) * channels)
    shape = (2 * len(names), channels, 8, 8)
    pixels = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
    images = torch.randn(shape, generator=generator) if noise else normalise(pixels, spec)
    labels = torch.arange(len(names)).repeat_interleave(2)
    targets = torch.randn(len(labels), len(names), generator=generator).mul(3).softmax(1) if soft else None
    return ProxySet(ImageSet(images, labels, targets), spec)


def place(folder: Path, form: str) -> Path:
    return folder / ("set.npz" if form == "npz" else "set")


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("channels", [1, 3])
def test_exported_pixels_load_back_exactly(form: str, channels: int, tmp_path: Path) -> None:
    proxy = make_proxy(channels)
    clipped = export(proxy, place(tmp_path, form), form)
    assert clipped == 0
    found = load(place(tmp_path, form))
    assert torch.equal(found.train.images, to_pixels(proxy.data.images, proxy.spec))
    assert torch.equal(found.train.labels, proxy.data.labels)
    assert found.spec.class_names == proxy.spec.class_names
    assert len(found.test) == 0  # all of it is training data, none is split off
    assert (found.spec.channels, found.spec.size) == (channels, 8)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("flip", [False, True])
def test_whether_mirroring_keeps_the_label_survives(form: str, flip: bool, tmp_path: Path) -> None:
    """An exported 2 is no 2 when it is mirrored, whatever the folder is called."""
    proxy = make_proxy()
    export(replace(proxy, spec=replace(proxy.spec, flip=flip)), place(tmp_path, form), form)
    assert load(place(tmp_path, form)).spec.flip is flip
    assert load(place(tmp_path, form), flip=not flip).spec.flip is not flip


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "names",
    [
        tuple(str(label) for label in range(11)),  # "10" sorts before "2"
        ("zebra", "ape", "cat"),
        ("a-z", "a/b", "b"),  # a slash cannot be in a file's name, and what replaces it sorts elsewhere
        ("a-b", "a/b", "c"),
        ("..", ".hidden", "plain"),
        ("other", "same", "same"),
        ("with space", "ünïcode", "日本"),
    ],
)
def test_labels_survive_whatever_the_classes_are_called(form: str, names: tuple[str, ...], tmp_path: Path) -> None:
    proxy = make_proxy(names=names)
    folder = tmp_path / "here"
    export(proxy, place(folder, form), form)
    found = load(place(folder, form))
    assert torch.equal(found.train.images, to_pixels(proxy.data.images, proxy.spec))
    assert torch.equal(found.train.labels, proxy.data.labels)
    if form != "folder":
        assert found.spec.class_names == names
    assert [entry.name for entry in tmp_path.iterdir()] == ["here"]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("names", [("cat", "dog", "emu"), ("zebra", "ape", "a/b"), tuple(map(str, range(12)))])
def test_soft_targets_load_back_bit_for_bit(form: str, names: tuple[str, ...], tmp_path: Path) -> None:
    proxy = make_proxy(names=names, soft=True)
    assert proxy.data.targets is not None
    export(proxy, place(tmp_path, form), form)
    found = load(place(tmp_path, form)).train
    assert found.targets is not None
    assert torch.equal(found.targets, proxy.data.targets)
    assert torch.equal(found.labels, proxy.data.labels)
    assert torch.equal(found.images, to_pixels(proxy.data.images, proxy.spec))


@pytest.mark.parametrize("form", FORMATS)
def test_a_set_without_soft_targets_loads_back_without(form: str, tmp_path: Path) -> None:
    export(make_proxy(), place(tmp_path, form), form)
    assert load(place(tmp_path, form)).train.targets is None


def test_values_outside_the_range_of_pixels_are_clipped_and_counted(tmp_path: Path) -> None:
    proxy = make_proxy(noise=True)
    clipped = export(proxy, tmp_path / "set.npz", "npz")
    values = proxy.data.images * 0.3 + 0.4
    outside = (values < -0.5 / 255) | (values > 1 + 0.5 / 255)
    assert clipped == pytest.approx(outside.double().mean().item())
    assert 0.05 < clipped < 0.2
    pixels = load(tmp_path / "set.npz").train.images
    assert pixels[values < 0].max() == 0
    assert pixels[values > 1].min() == 255


def test_npz_also_holds_the_exact_values(tmp_path: Path) -> None:
    proxy = make_proxy(noise=True)
    export(proxy, tmp_path / "set.npz", "npz")
    with np.load(tmp_path / "set.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["normalised"], proxy.data.images.numpy())
        np.testing.assert_allclose(arrays["mean"], proxy.spec.mean)
        assert arrays["class_names"].tolist() == ["cat", "dog", "emu"]


def test_folder_and_parquet_open_in_other_tools(tmp_path: Path) -> None:
    proxy = make_proxy(3)
    export(proxy, tmp_path / "folder", "folder")
    export(proxy, tmp_path / "parquet", "parquet")
    with Image.open(tmp_path / "folder" / "train" / "dog" / "0001.png") as image:
        array = np.asarray(image)
    expected = to_pixels(proxy.data.images, proxy.spec)[3].permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(array, expected)
    frame = pandas.read_parquet(tmp_path / "parquet" / "train.parquet")
    assert frame["label"].tolist() == [0, 0, 1, 1, 2, 2]
    assert frame["image"][0]["bytes"].startswith(b"\x89PNG")


def make_tiles(soft: bool) -> ProxySet:
    """Two stored images of each of three classes, each of 2×2 tiles."""
    proxy = make_proxy(noise=True)
    targets = torch.randn(6, 4, 3, generator=torch.Generator().manual_seed(0)).softmax(-1) if soft else None
    return ProxySet(ImageSet(proxy.data.images, proxy.data.labels, targets, formation=2), proxy.spec)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("soft", [False, True])
def test_of_a_formation_every_tile_is_an_image(form: str, soft: bool, tmp_path: Path) -> None:
    proxy = make_tiles(soft)
    export(proxy, place(tmp_path, form), form)
    found, full = load(place(tmp_path, form)).train, proxy.data.unfold()
    assert torch.equal(found.images, to_pixels(full.images, proxy.spec))
    assert torch.equal(found.labels, full.labels)
    assert (found.targets is None) == (not soft)
    assert torch.equal(found.answers, full.answers)


@pytest.mark.parametrize("form", WITH_STORED)
@pytest.mark.parametrize("soft", [False, True])
def test_stored_images_are_pictures_that_are_not_loaded(form: str, soft: bool, tmp_path: Path) -> None:
    """With a row of targets for every tile, and the formation beside them."""
    proxy, where = make_tiles(soft), place(tmp_path, form)
    export(proxy, where, form, stored=True)
    with pytest.raises(InputError, match="holds the stored images of a proxy set, each made of several tiles"):
        load(where)
    pixels, answers = to_pixels(proxy.data.images, proxy.spec), None
    if form == "npz":
        with np.load(where) as arrays:
            assert int(arrays["formation"]) == 2
            np.testing.assert_array_equal(arrays["x_train"], pixels.permute(0, 2, 3, 1).numpy())
            answers = arrays["targets"] if soft else None
    elif form == "parquet":
        with pytest.raises(InputError, match="several tiles"):
            load(where / "train.parquet")
        frame = pandas.read_parquet(where / "train.parquet")
        assert len(frame) == 6
        answers = np.array([[list(row) for row in rows] for rows in frame["target"]]) if soft else None
    else:
        assert len(list(where.rglob("*.png"))) == 6
        if soft:
            table = pandas.read_csv(where / "targets.csv")
            assert table["file"].tolist()[3:5] == ["train/cat/0000.png", "train/cat/0001.png"]
            answers = table[["cat", "dog", "emu"]].to_numpy().reshape(6, 4, 3)
    if proxy.data.targets is not None:
        assert answers is not None
        np.testing.assert_allclose(answers, proxy.data.targets.numpy(), rtol=1e-6)


@pytest.mark.parametrize("form", WITH_STORED)
def test_without_a_formation_stored_is_what_is_trained_on(form: str, tmp_path: Path) -> None:
    export(make_proxy(), place(tmp_path, form), form, stored=True)
    assert len(load(place(tmp_path, form)).train) == 6


@pytest.mark.parametrize("form", FORMATS)
def test_a_place_that_cannot_be_written_is_refused(form: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        export(make_proxy(), place(tmp_path / "file", form), form)


def test_an_unknown_format_is_an_error(tmp_path: Path) -> None:
    unknown: Any = "csv"
    with pytest.raises(KeyError):
        export(make_proxy(), tmp_path / "x", unknown)
