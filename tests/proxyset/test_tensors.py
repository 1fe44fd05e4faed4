"""Tensors in files: every type comes back, in memory of its own; nothing that was changed passes a seal."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from proxyset.errors import InputError
from proxyset.tensors import check_seal, read_tensors, seal, write_bytes

TENSORS = {
    "float": torch.tensor([[1.5, -0.0], [float("inf"), float("nan")]]),
    "double": torch.tensor([1 / 3], dtype=torch.float64),
    "half": torch.tensor([1.5], dtype=torch.float16),
    "bfloat": torch.tensor([1.5], dtype=torch.bfloat16),
    "long": torch.tensor([[[2**62]]]),
    "int": torch.tensor([-7], dtype=torch.int32),
    "short": torch.tensor([-7], dtype=torch.int16),
    "char": torch.tensor([-7], dtype=torch.int8),
    "byte": torch.tensor([200], dtype=torch.uint8),
    "bool": torch.tensor([True, False, True]),
    "scalar": torch.tensor(3),
    "empty": torch.empty(0, 4),
    "view": torch.arange(6).view(2, 3).T,
}


def equal(first: Tensor, second: Tensor) -> bool:
    same = first.dtype == second.dtype and first.shape == second.shape
    return same and write_bytes({"x": first}, {}) == write_bytes({"x": second}, {})


def test_every_type_and_shape_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(write_bytes(TENSORS, {"who": "naïve"}))
    tensors, metadata = read_tensors(path)
    assert metadata == {"who": "naïve"}
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert equal(tensors[name], tensor.contiguous()), name


def test_it_reads_what_the_library_reads(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in TENSORS.items()}, path)
    expected = safetensors.torch.load_file(path)
    tensors, metadata = read_tensors(path)
    assert metadata == {}
    assert all(equal(tensors[name], expected[name]) for name in expected)


def test_tensors_outlive_their_file(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(write_bytes({"x": torch.ones(10_000)}, {}))
    tensors, _ = read_tensors(path)
    os.truncate(path, 0)
    assert tensors["x"].sum() == 10_000
    tensors["x"].zero_()  # and may be written to


def file_of(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(**changes: Any) -> dict[str, Any]:
    return {"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes}


def test_the_smallest_files(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(file_of({}))
    assert read_tensors(path) == ({}, {})
    path.write_bytes(file_of(entry(), bytes(8)))
    assert read_tensors(path)[0]["x"].tolist() == [0, 0]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"short",
        (2**63).to_bytes(8, "little") + b"{}",
        file_of([]),
        file_of(b"{"),
        file_of(b"\xff\xff"),
        file_of({}, b"rest"),
        file_of(entry(), bytes(7)),
        file_of(entry(), bytes(9)),
        file_of(entry(dtype="F33"), bytes(8)),
        file_of(entry(dtype=7), bytes(8)),
        file_of(entry(shape=[3]), bytes(8)),
        file_of(entry(shape=[-2]), bytes(8)),
        file_of(entry(shape=[True, 2]), bytes(8)),
        file_of(entry(shape=[2.0]), bytes(8)),
        file_of(entry(shape=[1] * 99 + [2]), bytes(8)),
        file_of(entry(shape=[2**39, 2**39, 0], data_offsets=[0, 0])),
        file_of(entry(data_offsets=[8, 0]), bytes(8)),
        file_of(entry(data_offsets=[4, 12]), bytes(12)),
        file_of(entry(data_offsets=[0]), bytes(8)),
        file_of(entry(more=1), bytes(8)),
        file_of({"x": None}),
        file_of(entry() | {"y": entry()["x"]}, bytes(8)),
        file_of(b'{"x": {}, "x": {}}'),
        file_of({"__metadata__": {"a": 1}}),
        file_of({"__metadata__": []}),
        file_of(entry(dtype="BOOL", shape=[8]), b"\x02" * 8),
    ],
    ids=range(27),
)
def test_what_is_no_whole_file_is_one_line(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"x\.safetensors' is not a whole \.safetensors file \(") as raised:
        read_tensors(path)
    assert "\n" not in str(raised.value)


def test_a_large_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(write_bytes({"x": torch.ones(100)}, {}))
    with pytest.raises(InputError, match="too large"):
        read_tensors(path, limit=100)


# Seals.

HEADER = {"step": 3, "identity": {"seed": 1}}


def test_a_seal_gives_its_header_back() -> None:
    metadata = seal(TENSORS, HEADER, "state")
    assert check_seal(TENSORS, metadata, "state", "it") == HEADER


def changes() -> dict[str, dict[str, Tensor]]:
    """The tensors with one thing changed."""
    first = {"a": torch.tensor([1.0, 0.0]), "b": torch.tensor([[2, 3]])}
    return {
        "nothing": first,
        "a value": first | {"a": torch.tensor([1.0, 1.0])},
        "a sign": first | {"a": torch.tensor([1.0, -0.0])},
        "a type": first | {"b": torch.tensor([[2, 3]], dtype=torch.int32)},
        "a shape": first | {"b": torch.tensor([2, 3])},
        "a name": {"a": first["a"], "c": first["b"]},
        "two names": {"b": first["a"], "a": first["b"]},
        "one less": {"a": first["a"]},
        "one more": first | {"c": torch.empty(0)},
    }


@pytest.mark.parametrize("what", list(changes())[1:])
def test_a_seal_notices(what: str) -> None:
    metadata = seal(changes()["nothing"], HEADER, "state")
    with pytest.raises(InputError, match="it was changed after it was written"):
        check_seal(changes()[what], metadata, "state", "it")


def test_a_seal_notices_another_header_and_a_missing_one() -> None:
    metadata = seal(TENSORS, HEADER, "state")
    for other in ({"state": json.dumps(HEADER | {"step": 4})}, {"more": ""}, {"sha256": "0" * 64}):
        with pytest.raises(InputError, match="was changed"):
            check_seal(TENSORS, metadata | other, "state", "it")
    with pytest.raises(InputError, match="older version"):
        check_seal(TENSORS, {"state": metadata["state"]}, "state", "it")
    with pytest.raises(InputError, match="has no header"):
        check_seal(TENSORS, metadata, "other", "it")


def test_a_header_that_could_not_be_read_is_not_sealed() -> None:
    with pytest.raises(ValueError):
        seal({}, {"seconds": float("nan")}, "state")
