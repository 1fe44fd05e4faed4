"""Parquet files as Hugging Face datasets lays them out."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from proxyset.data import archive, parquet
from proxyset.data.load import load
from proxyset.errors import InputError
from tests.proxyset.data.made import check, pixels, png


def write_parquet(path: Path, images: np.ndarray, labels: Sequence[int | None], **options: Any) -> None:
    cells = [{"bytes": png(image), "path": f"{row}.png"} for row, image in enumerate(images)]
    label = options.get("label", "label")
    table = pa.table(
        {options.get("image", "img"): cells, label: pa.array(labels, pa.int64())} | options.get("more", {})
    )
    if "names" in options:
        features = {label: {"_type": "ClassLabel", "names": options["names"]}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


@pytest.mark.parametrize("place", ["", "data"])
def test_parquet_in_shards_with_class_names(place: str, tmp_path: Path) -> None:
    names, folder = ["cat", "dog"], tmp_path / "pets"
    first, second, test = pixels(4, 8, 8, 3), pixels(4, 8, 8, 3, seed=1), pixels(2, 8, 8, 3, seed=2)
    write_parquet(folder / place / "train-00000-of-00002.parquet", first, [0, 1, 0, 1], names=names)
    write_parquet(folder / place / "train-00001-of-00002.parquet", second, [1, 1, 0, 0], names=names)
    write_parquet(folder / place / "test-00000-of-00001.parquet", test, [1, 0], names=names)
    data = load(folder)
    check(data.train, np.concatenate([first, second]).transpose(0, 3, 1, 2), [0, 1, 0, 1, 1, 1, 0, 0])
    check(data.test, test.transpose(0, 3, 1, 2), [1, 0])
    assert data.spec.class_names == ("cat", "dog")


def test_one_parquet_file_is_split(tmp_path: Path) -> None:
    more = {"coarse_label": pa.array([0] * 20), "split": pa.array(["x"] * 20)}
    write_parquet(tmp_path / "a.parquet", pixels(20, 8, 8), [0, 1] * 10, label="fine_label", image="image", more=more)
    data = load(tmp_path / "a.parquet")
    assert (len(data.train), len(data.test), data.spec.channels) == (16, 4, 1)
    assert data.spec.class_names == ("0", "1")


@pytest.mark.parametrize(
    ("labels", "options", "words"),
    [
        ([0, None, 1, 1], {}, "missing labels"),
        ([0, 1, 0, 1], {"label": "a", "more": {"b": [1, 2, 3, 4]}}, "integer column 'label'"),
        ([0, 2, 0, 2], {"names": ["a", "b"]}, "out of range"),
        ([0, 2, 0, 2], {}, "class '1' has no images"),
        ([-1, 1, 0, 1], {}, "out of range"),
        ([0, 10**12, 0, 1], {}, "out of range"),
    ],
)
def test_bad_parquet_is_refused(labels: list[int | None], options: dict[str, Any], words: str, tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", pixels(4, 8, 8), labels, **options)
    with pytest.raises(InputError, match=words):
        load(tmp_path / "a.parquet")


def test_an_unreadable_image_in_parquet_is_named_by_file_and_row(tmp_path: Path) -> None:
    for cell in ({"bytes": b"junk"}, {"bytes": None}, None):
        kind = pa.struct([("bytes", pa.binary())])
        cells = pa.array([{"bytes": png(pixels(8, 8))}, cell], kind)
        pq.write_table(pa.table({"image": cells, "label": [0, 1]}), tmp_path / "a.parquet")
        with pytest.raises(InputError, match=r"cannot read image .*a\.parquet, row 1"):
            load(tmp_path / "a.parquet")


def test_text_is_not_taken_for_the_name_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(png(pixels(8, 8)))
    cells = pa.array([{"bytes": str(tmp_path / "image.png")}] * 4)
    pq.write_table(pa.table({"image": cells, "label": [0, 1, 0, 1]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="needs one image column"):
        load(tmp_path / "a.parquet")


def test_a_column_of_soft_targets_is_read(tmp_path: Path) -> None:
    rows = [[0.25, 0.75]] * 10 + [[1.0, 0.0]] * 10
    more = {"target": pa.array(rows, pa.list_(pa.float32()))}
    write_parquet(tmp_path / "a.parquet", pixels(20, 8, 8), [1] * 10 + [0] * 10, more=more)
    train = load(tmp_path / "a.parquet").train
    assert train.targets is not None
    assert train.targets.tolist() == [[0.25, 0.75] if label else [1.0, 0.0] for label in train.labels.tolist()]


@pytest.mark.parametrize("cells", [[7, 8], ["a", "b"]])
def test_a_column_that_is_only_called_target_is_something_else(cells: list[Any], tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", pixels(20, 8, 8), [0, 1] * 10, more={"target": pa.array(cells * 10)})
    assert load(tmp_path / "a.parquet").train.targets is None


def test_soft_targets_of_several_lengths_are_refused(tmp_path: Path) -> None:
    more = {"target": pa.array([[1.0], [0.5, 0.5]], pa.list_(pa.float32()))}
    write_parquet(tmp_path / "a.parquet", pixels(2, 8, 8), [0, 1], more=more)
    with pytest.raises(InputError, match="lists of one length"):
        load(tmp_path / "a.parquet")


def test_real_parquet(shared_data: Path) -> None:
    """The smaller file of CIFAR-10; reading all of it takes long."""
    data = load(shared_data / "hf" / "cifar10" / "test.parquet", size=8)
    assert len(data.train) + len(data.test) == 10_000
    assert data.spec.classes == 10
    assert (data.spec.channels, data.spec.size) == (3, 8)


def test_a_validation_split_is_the_test_split_where_there_is_no_other(tmp_path: Path) -> None:
    for name, count in (("train-00000", 8), ("validation-00000", 4)):
        write_parquet(tmp_path / f"{name}.parquet", pixels(count, 8, 8), [0, 1] * (count // 2))
    data = load(tmp_path)
    assert (len(data.train), len(data.test)) == (8, 4)
    assert data.notes == ("validation-00000.parquet is the test split",)
    write_parquet(tmp_path / "test.parquet", pixels(2, 8, 8), [0, 1])
    data = load(tmp_path)
    assert (len(data.test), data.notes) == (2, ("validation-00000.parquet left out",))


def test_splits_are_known_by_words_anywhere_in_the_names(tmp_path: Path) -> None:
    for name, count in (("mine_test", 2), ("mine_train", 8)):
        write_parquet(tmp_path / f"{name}.parquet", pixels(count, 8, 8), [0, 1] * (count // 2))
    data = load(tmp_path)
    assert (len(data.train), len(data.test)) == (8, 2)
    (tmp_path / "mine_train.parquet").rename(tmp_path / "train_val.parquet")  # of one split, the first that it names
    data = load(tmp_path)
    assert (len(data.train), len(data.test)) == (8, 2)
    (tmp_path / "mine_test.parquet").rename(tmp_path / "else.parquet")
    assert len(load(tmp_path).test) == 0
    (tmp_path / "else.parquet").rename(tmp_path / "mine_test.parquet")
    (tmp_path / "train_val.parquet").rename(tmp_path / "mine.parquet")
    with pytest.raises(InputError, match=r"'mine_test.parquet', but no file whose name says train"):
        load(tmp_path)
    (tmp_path / "mine_test.parquet").rename(tmp_path / "contested.parquet")  # a word, not a part of one
    assert "2 files are one set" in load(tmp_path).notes


def test_unreadable_rows_can_be_left_out_with_their_labels_and_targets(tmp_path: Path) -> None:
    cells = pa.array([{"bytes": png(pixels(8, 8, seed=row)) if row % 3 else b"junk"} for row in range(12)])
    soft = pa.array([[1 - row / 12, row / 12] for row in range(12)], pa.list_(pa.float32()))
    pq.write_table(pa.table({"image": cells, "label": [0, 1] * 6, "target": soft}), tmp_path / "train.parquet")
    train = load(tmp_path, on_error="skip").train
    assert train.labels.tolist() == [1, 0, 0, 1, 1, 0, 0, 1]
    assert train.targets is not None
    assert [round(12 * value) for value in train.targets[:, 1].tolist()] == [1, 2, 4, 5, 7, 8, 10, 11]
    np.testing.assert_array_equal(train.images[2, 0].numpy(), pixels(8, 8, seed=4))


def test_a_small_file_that_expands_to_much_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = pa.array([{"bytes": png(pixels(8, 8, seed=row)) + bytes(2**18)} for row in range(12)])
    pq.write_table(pa.table({"image": cells, "label": [0, 1] * 6}), tmp_path / "a.parquet", compression="zstd")
    assert len(load(tmp_path / "a.parquet").train) == 10
    monkeypatch.setattr(archive, "LARGE", 2**20)
    monkeypatch.setattr(parquet, "decode", lambda *arguments: pytest.fail("it was decoded"))
    with pytest.raises(InputError, match="over 200 times its size"):
        load(tmp_path / "a.parquet")
