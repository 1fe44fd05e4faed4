"""800 damaged .npz and 800 damaged .parquet files: refused in one line, or images and labels that can be.

An .npz has a checksum over every array, so what is read of it is what was written. A .parquet has none over its
numbers: another label of the same classes cannot be told from the one that was meant.
"""

import io
import json
import random
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from proxyset.artefact.export import export
from proxyset.artefact.proxy_set import ProxySet
from proxyset.data.images import ImageSet
from proxyset.data.load import load
from proxyset.data.spec import Dataset, DatasetSpec
from proxyset.errors import InputError
from tests.robust.fuzz import WRONG, mutants, survives

CLASSES = 2


@pytest.fixture
def proxy() -> ProxySet:
    images = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([[0.7, 0.3], [1.0, 0.0], [0.25, 0.75], [0.0, 1.0]])
    spec = DatasetSpec("tiny", 1, 8, ("a", "b"), (0.5,), (0.25,))
    return ProxySet(ImageSet(images, torch.tensor([0, 0, 1, 1]), targets), spec)


def can_be(data: Dataset) -> bool:
    """Whether a dataset is one that a method can work with."""
    spec, sound = data.spec, True
    for part in (data.train, data.test):
        sound &= part.images.dtype == torch.uint8 and part.images.shape[1:] == (spec.channels, spec.size, spec.size)
        sound &= not len(part) or 0 <= int(part.labels.min()) <= int(part.labels.max()) < spec.classes
        sound &= part.targets is None or part.targets.shape == (len(part), spec.classes)
    return sound and len(data.train) > 0 and all(isinstance(name, str) for name in spec.class_names)


def read(path: Path, data: bytes) -> Dataset:
    path.write_bytes(data)
    return load(path, test_fraction=0.5)


# .npz


def test_damaged_archives(proxy: ProxySet, tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    export(proxy, path, "npz")
    whole = load(path, test_fraction=0.5)

    def unchanged(found: Dataset) -> bool:
        images = torch.cat([found.train.images, found.test.images]), torch.cat([whole.train.images, whole.test.images])
        return can_be(found) and torch.equal(*images)

    counts = survives(lambda data: read(path, data), mutants(path.read_bytes(), 500, seed=1), unchanged)
    assert counts.total() == 500
    assert counts["refused"] > 250


def array(draw: random.Random) -> bytes:
    """An .npy member with a header that may promise anything."""
    kind = draw.choice(
        ("|u1", "<f4", "<f8", "<i8", ">i4", "<U5", "|O", "|V8", "<c8", "<M8[s]", "?", "nonsense", "[('a', 'u1')]")
    )
    shape = draw.choice(
        ("(4, 8, 8)", "(4,)", "()", "(0,)", "(-1, 8, 8)", "(4, 8, 8, 3)", "(1000000000000,)", "(2, 2, 2, 2, 2)",
         "(4.0,)", "(0, 8, 8)", "(4, 0, 0)", "(1,) * 99", "x", "(True, 8, 8)")
    )  # fmt: skip
    header = f"{{'descr': '{kind}', 'fortran_order': {draw.choice(('False', 'True', '0', 'x'))}, 'shape': {shape}, }}"
    header = draw.choice((header, header, header, header[:20], "{" * 500, "import os", header + "9" * 20000))
    length = len(header) if draw.random() < 0.9 else draw.choice((0, 1, 60000))
    magic = b"\x93NUMPY" + bytes(draw.choice(((1, 0), (1, 0), (1, 0), (2, 0), (3, 0), (9, 9))))
    size = struct.pack("<H" if magic[6] == 1 else "<I", min(length, 65535))
    return magic + size + header.encode() + bytes(draw.choice((0, 4, 32, 256, 2048, 20000)))


def archives(count: int, seed: int) -> Iterator[bytes]:
    """Archives whose zip is whole and whose members are odd."""
    draw = random.Random(seed)
    pixels = io.BytesIO()
    np.save(pixels, np.zeros((4, 8, 8), np.uint8))
    labels = io.BytesIO()
    np.save(labels, np.array([0, 0, 1, 1]))
    for _ in range(count):
        file = io.BytesIO()
        packing = draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
        with zipfile.ZipFile(file, "w", packing) as archive:
            names = ["x_train", "y_train", "x_test", "y_test", "class_names", "targets", "images"]
            for name in draw.sample(names, draw.randint(1, 5)) + ["x_train", "y_train"][: draw.randint(0, 2)]:
                good = pixels if name.startswith(("x", "images")) else labels
                data = good.getvalue() if draw.random() < 0.5 else array(draw)
                archive.writestr(
                    draw.choice((f"{name}.npy", f"{name}.npy", f"{name}.npy", name, f"../{name}.npy")), data
                )
        yield file.getvalue()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_archives_with_odd_members(tmp_path: Path) -> None:
    counts = survives(lambda data: read(tmp_path / "odd.npz", data), archives(300, seed=2), can_be)
    assert counts.total() == 300
    assert counts["refused"] > 200


def test_a_bomb_is_refused_before_it_goes_off(tmp_path: Path) -> None:
    """320 MiB of zeros in two, and an encrypted member."""
    header = b"\x93NUMPY\x01\x00" + struct.pack("<H", 70)
    header += f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({5 * 2**20}, 8, 8), }}".ljust(70).encode()
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("x_train.npy", "w") as file:
            file.write(header)
            for _ in range(80):
                file.write(bytes(2**22))
        archive.writestr("y_train.npy", array(random.Random(0)))
    whole = (tmp_path / "bomb.npz").read_bytes()
    encrypted = bytearray(whole)
    encrypted[6] |= 1
    encrypted[whole.rindex(b"PK\x01\x02", 0, whole.rindex(b"PK\x05\x06")) + 8] |= 1
    counts = survives(lambda data: read(tmp_path / "b.npz", data), [whole, bytes(encrypted)])
    assert counts == {"refused": 2}


# .parquet


def test_damaged_tables(proxy: ProxySet, tmp_path: Path) -> None:
    """Two of these mutants ended the process while the columns' metadata was asked for."""
    export(proxy, tmp_path / "set", "parquet")
    path = tmp_path / "set" / "train.parquet"
    assert can_be(load(path, test_fraction=0.5))
    counts = survives(
        lambda data: read(tmp_path / "d.parquet", data), mutants(path.read_bytes(), 500, seed=101), can_be
    )
    assert counts.total() == 500
    assert counts["refused"] > 200


def tables(proxy: ProxySet, folder: Path, count: int, seed: int) -> Iterator[bytes]:
    """Tables whose parquet is whole and whose columns, values or metadata are odd."""
    draw = random.Random(seed)
    export(proxy, folder, "parquet")
    good = pq.read_table(folder / "train.parquet")
    columns: dict[str, tuple[Any, ...]] = {
        "image": (
            good["image"],
            pa.array([{"bytes": None, "path": None}] * 4),
            pa.array([{"bytes": b"not an image"}] * 4),
            pa.array([None] * 4, good["image"].type),
            pa.array([{"bytes": "text"}] * 4),
            pa.array([{"bytes": 5}] * 4),
            pa.array([b"", b"", b"", b""]),
            pa.array([{"bytes": [{"bytes": b""}]}] * 4),
        ),
        "label": (
            good["label"],
            pa.array([0, 0, 1, 7]),
            pa.array([-1, 0, 1, 1]),
            pa.array([None, 0, 1, 1], pa.int64()),
            pa.array([2**64 - 1, 0, 1, 1], pa.uint64()),
            pa.array([2**62, 0, 1, 1]),
            pa.array([0, 0, 1, 1], pa.int8()),
            pa.array([0.0, 0.0, 1.0, 1.0]),
            pa.array(["a", "a", "b", "b"]),
            pa.array([[0], [0], [1], [1]]),
        ),
        "target": (
            good["target"],
            pa.array([[0.5, 0.5]] * 3 + [[1.0]]),
            pa.array([None] * 4, pa.list_(pa.float32())),
            pa.array([[None, 1.0]] * 4, pa.list_(pa.float32())),
            pa.array([[float("nan"), 1.0]] * 4),
            pa.array([[2.0, -1.0]] * 4),
            pa.array([[0.25] * 4] * 4),
            pa.array([["x"]] * 4),
            pa.array([0, 1, 0, 1]),
            pa.array([{"a": 1}] * 4),
        ),
    }
    names = ("huggingface", "proxyset", "")
    for _ in range(count):
        chosen = {
            name: kinds[0] if draw.random() < 0.4 else draw.choice(kinds)
            for name, kinds in columns.items()
            if draw.random() < 0.95
        }
        value = draw.choice(WRONG)
        info = draw.choice((
            json.dumps({"info": {"features": {"label": {"names": value}}}}),
            json.dumps({"info": {"features": {"label": {"names": [value, "b"]}}}}),
            json.dumps({"info": value}), json.dumps(value), "not json", "[" * 10_000, '{"info": {"features": {}}}',
        ))  # fmt: skip
        table = pa.table(chosen).replace_schema_metadata({draw.choice(names): info})
        file = io.BytesIO()
        pq.write_table(table, file, row_group_size=draw.choice((1, 2, 100)))
        yield file.getvalue()


def test_tables_with_odd_columns(proxy: ProxySet, tmp_path: Path) -> None:
    odd = tables(proxy, tmp_path / "set", 300, seed=4)
    counts = survives(lambda data: read(tmp_path / "odd.parquet", data), odd, can_be)
    assert counts.total() == 300
    assert counts["refused"] > 200


def test_a_pipe_and_a_folder_named_like_a_file_are_refused(tmp_path: Path) -> None:
    for suffix in (".npz", ".parquet"):
        (tmp_path / f"folder{suffix}").mkdir()
        with pytest.raises(InputError):
            load(tmp_path / f"folder{suffix}")
