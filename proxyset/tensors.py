"""Tensors in .safetensors files: read whole, checked, and sealed with a hash over everything.

A file is read into this process before anything of it is looked at, so what is checked is what is used: nothing maps
the file, and a change or a truncation after that changes nothing.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import safetensors.torch
import torch
from pydantic import Field
from torch import Tensor

from proxyset.errors import InputError
from proxyset.parsing import MIB, Schema, check, parse_json, read_bytes
from proxyset.settings import LARGEST_INT, short

LARGEST = 8 * 1024 * MIB
LARGEST_HEADER = 100 * MIB  # as safetensors itself has it
SEAL = "sha256"
_TYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
}

Count = Annotated[int, Field(ge=0)]


class _Entry(Schema):
    """One tensor in the header of a file."""

    dtype: str
    shape: list[Annotated[Count, Field(lt=2**40)]] = Field(max_length=16)
    data_offsets: list[Count] = Field(min_length=2, max_length=2)


class _Metadata(Schema):
    """The texts in the header of a file."""

    texts: dict[str, str]


def read_tensors(path: Path, *, limit: int = LARGEST) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a .safetensors file, in memory of their own, and the texts of its header.

    Args:
        limit: largest file in bytes.

    Raises:
        InputError: unreadable, too large, not whole, or not a .safetensors file.
    """
    data = read_bytes(path, limit)
    where = repr(str(path))
    try:
        entries, metadata, start = _header(data, where)
        return _tensors(data, entries, start), metadata
    except InputError as error:
        reason = str(error).removeprefix(f"{where}: ")
        raise InputError(f"{where} is not a whole .safetensors file ({reason})") from None


def _header(data: bytearray, where: str) -> tuple[dict[str, _Entry], dict[str, str], int]:
    """The entries by name, the texts, and where the tensors' bytes begin."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(len(data) - 8, LARGEST_HEADER):
        raise InputError(f"its header of {length} bytes does not fit its {len(data)} bytes")
    header = parse_json(data[8 : 8 + length], where)
    if not isinstance(header, dict):
        raise InputError("its header is no mapping")
    metadata = check({"texts": header.pop("__metadata__", {})}, _Metadata, where).texts
    return (
        {name: check(entry, _Entry, f"{where}: {short(name)}") for name, entry in header.items()},
        metadata,
        8 + length,
    )


def _tensors(data: bytearray, entries: Mapping[str, _Entry], start: int) -> dict[str, Tensor]:
    """Every tensor, copied. Together they must fill the file to its last byte, without a gap."""
    tensors = {}
    place = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1].data_offsets):
        begin, end = entry.data_offsets
        if entry.dtype not in _TYPES:
            raise InputError(f"{short(name)} has the type {short(entry.dtype)}, which is not read")
        kind = _TYPES[entry.dtype]
        count = math.prod(entry.shape)
        if math.prod(max(length, 1) for length in entry.shape) >= LARGEST_INT:  # of a tensor without elements
            raise InputError(f"{short(name)} has an impossible shape")
        if begin != place or end - begin != count * kind.itemsize or start + end > len(data):
            raise InputError(f"the bytes of {short(name)} are not where its header says")
        tensors[name] = _tensor(data, kind, count, start + begin).reshape(entry.shape)
        place = end
    if start + place != len(data):
        raise InputError(f"{len(data) - start - place} bytes belong to no tensor")
    return {name: tensors[name] for name in entries}


def _tensor(data: bytearray, kind: torch.dtype, count: int, offset: int) -> Tensor:
    if not count:
        return torch.empty(0, dtype=kind)
    if kind is torch.bool:
        values = torch.frombuffer(data, dtype=torch.uint8, count=count, offset=offset)
        if values.max() > 1:
            raise InputError("a truth value is neither 0 nor 1")
        return values != 0
    return torch.frombuffer(data, dtype=kind, count=count, offset=offset).clone()


def write_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """A .safetensors file as bytes; the tensors may be views."""
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    return safetensors.torch.save(contiguous, metadata=dict(metadata))


def seal(tensors: Mapping[str, Tensor], header: dict[str, Any], key: str) -> dict[str, str]:
    """The texts of a file's header: `header` as JSON under `key`, and the hash of it and of all tensors.

    Raises:
        ValueError: the header holds NaN or an infinite number.
    """
    text = json.dumps(header, allow_nan=False)
    return {key: text, SEAL: _digest(tensors, key, text)}


def check_seal(tensors: Mapping[str, Tensor], metadata: Mapping[str, str], key: str, where: str) -> Any:
    """The header that `seal` put under `key`.

    Raises:
        InputError: there is none, it has no seal (older versions wrote none), or anything was changed since.
    """
    if key not in metadata:
        raise InputError(f"{where} has no header {key!r}")
    if SEAL not in metadata:
        raise InputError(f"{where} was written by an older version")
    if set(metadata) != {key, SEAL} or metadata[SEAL] != _digest(tensors, key, metadata[key]):
        raise InputError(f"{where} was changed after it was written: its content hash does not match")
    return parse_json(metadata[key], where)


def digest_of(tensors: Mapping[str, Tensor]) -> str:
    """Hash of the names, types, shapes and bytes of some tensors."""
    return _digest(tensors, "tensors", "")


def _digest(tensors: Mapping[str, Tensor], key: str, text: str) -> str:
    """Over names, types, shapes and bytes of all tensors, and the text. Lengths in front keep the parts apart."""
    digest = hashlib.sha256(f"{key} {len(text)} {text}".encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f";{len(name)} {name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        digest.update(np.ascontiguousarray(tensor.reshape(-1).view(torch.uint8).numpy()).data)
    return digest.hexdigest()
