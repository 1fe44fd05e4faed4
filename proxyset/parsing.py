"""Everything that is read from disk as text: JSON and rows with limits, checked against a schema, in one place.

Whatever a file holds, reading it gives a value or one `InputError` that names the file and the place in it.
YAML is in `proxyset.plain_yaml`, tensors are in `proxyset.tensors`.
"""

import hashlib
import json
import math
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar, overload

from pydantic import BaseModel, ConfigDict, ValidationError

from proxyset.errors import InputError, one_line
from proxyset.settings import LARGEST_INT, problems, short

MIB = 2**20
LARGEST_TEXT = 64 * MIB
DEEPEST = 64  # levels of lists and mappings inside one another
MOST_VALUES = 4_000_000  # of one JSON text; an empty list takes 20 times its two characters
CHECKSUM = "sha256"

M = TypeVar("M", bound=BaseModel)


class Schema(BaseModel):
    """What a file may hold: types as they are (true is no 1, "2" is no 2), finite numbers, no unknown keys.

    Sequences are `list`, as JSON has them.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


def read_bytes(path: Path, limit: int = LARGEST_TEXT) -> bytearray:
    """A regular file, whole, in memory of this process: later changes to the file do not change it.

    Raises:
        InputError: no such file, no regular file (a pipe would hang), unreadable, or larger than `limit` bytes.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise InputError(f"cannot read {str(path)!r}: {getattr(error, 'strerror', None) or error}") from None
    try:
        with open(handle, "rb", buffering=0) as file:
            facts = os.fstat(handle)
            if not stat.S_ISREG(facts.st_mode):
                raise InputError(f"cannot read {str(path)!r}: not a regular file")
            if facts.st_size > limit:
                raise InputError(f"{str(path)!r} is too large: {facts.st_size} bytes, at most {limit} are read")
            data = bytearray(facts.st_size)
            view, count = memoryview(data), 0
            while count < len(data) and (read := file.readinto(view[count:])):
                count += read
            view.release()
            if count < len(data):
                raise InputError(f"cannot read {str(path)!r}: it was cut short while it was read")
            return data
    except (OSError, MemoryError) as error:
        raise InputError(f"cannot read {str(path)!r}: {getattr(error, 'strerror', None) or 'out of memory'}") from None


def read_text(path: Path, limit: int = LARGEST_TEXT) -> str:
    """A regular file of UTF-8.

    Raises:
        InputError: as `read_bytes`, or other bytes; the message has their place.
    """
    return _decode(read_bytes(path, limit), repr(str(path)))


@overload
def parse_json(text: str | bytes | bytearray, where: str, model: type[M]) -> M: ...
@overload
def parse_json(text: str | bytes | bytearray, where: str, model: None = None) -> Any: ...
def parse_json(text: str | bytes | bytearray, where: str, model: type[M] | None = None) -> Any:
    """The value of a JSON text, within limits that keep memory small.

    Args:
        where: what the text is, for messages: the file's name in quotes, and the place in it.
        model: what it must hold; the result is an instance of it.

    Raises:
        InputError: no UTF-8, no JSON, NaN or an infinite number, a key twice, lists within lists beyond 64 levels,
            an integer of 64 bits or more, too many values, or not what `model` says.
    """
    text = text if isinstance(text, str) else _decode(text, where)
    if sum(text.count(mark) for mark in ",[{") > MOST_VALUES:
        raise InputError(f"{where}: too many values, at most {MOST_VALUES:,} are read")
    try:
        value = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_number, parse_float=_number, parse_int=_integer
        )
    except RecursionError:
        raise InputError(f"{where}: nested too deeply, at most {DEEPEST} levels are read") from None
    except _Refused as error:
        raise InputError(f"{where}: {error}") from None
    except ValueError as error:
        raise InputError(f"{where}: not JSON ({one_line(error)})") from None
    check_depth(value, where)
    return value if model is None else check(value, model, where)


def check(value: Any, model: type[M], where: str) -> M:
    """`value` as an instance of `model`.

    Raises:
        InputError: it is not what the model says; the message has the place of every problem (the first three).
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        found = [f"{place or 'all of it'}: {words}" for place, words in problems(error)]
        more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
        raise InputError(f"{where}: {'; '.join(found[:3])}{more}") from None
    except RecursionError:
        raise InputError(f"{where}: nested too deeply") from None


def check_depth(value: Any, where: str, most: int | None = None) -> None:
    """Raise `InputError` where lists and mappings are nested beyond 64 levels, or there are more than `most` values."""
    level: list[Any] = [value]
    seen = 0
    for _ in range(DEEPEST):
        seen += len(level)
        if most is not None and seen > most:
            raise InputError(f"{where}: too many values, at most {most:,} are read")
        level = [item for value in level if isinstance(value, list | dict) for item in _items(value)]
        if not level:
            return
    raise InputError(f"{where}: nested too deeply, at most {DEEPEST} levels are read")


def _items(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value


class _Refused(ValueError):
    """Valid JSON that is not read."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Refused(f"the key {short(twice)} is there twice")
    return mapping


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _Refused(f"{short(text)} is no finite number")
    return value


def _integer(text: str) -> int:
    if len(text) > 20 or abs(value := int(text)) >= LARGEST_INT:
        raise _Refused(f"the integer {short(text)} is too large")
    return value


def _decode(data: bytes | bytearray, where: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: not UTF-8 text, byte {error.start} is {data[error.start]:#04x}") from None


# Rows: one JSON object a line, each with a checksum of the rest.


def checksummed(row: dict[str, Any]) -> str:
    """`row` as a line of JSON (without its end) with the checksum of the rest under `sha256`.

    Raises:
        ValueError: it holds NaN or an infinite number, or has the key `sha256`.
    """
    if CHECKSUM in row:
        raise ValueError(f"a row cannot have the key {CHECKSUM!r} of its own")
    return json.dumps(row | {CHECKSUM: _checksum(row)}, allow_nan=False)


def read_row(line: str | bytes, where: str = "the row") -> tuple[dict[str, Any], bool]:
    """The row of one line, without its checksum, and whether it had one.

    Raises:
        InputError: no JSON object, or changed after it was written.
    """
    row = parse_json(line, where)
    if not isinstance(row, dict):
        raise InputError(f"{where} must be a JSON object, found {short(row)}")
    if CHECKSUM not in row:
        return row, False
    if row.pop(CHECKSUM) != _checksum(row):
        raise InputError(f"{where} was changed after it was written: its checksum does not match")
    return row, True


def read_rows(path: Path, model: type[BaseModel] | None = None, *, limit: int = 1024 * MIB) -> list[dict[str, Any]]:
    """The rows of a file, without checksums. A last line without an end, which a kill cut short, does not count.

    Files of older versions have no checksums: then no row may have one. In all others every row must.

    Raises:
        InputError: as `read_bytes` and `read_row` (the message has the line's number), or not what `model` says.
    """
    rows: list[dict[str, Any]] = []
    sealed = False
    for number, line in _lines(path, limit):
        where = f"{str(path)!r}, line {number}"
        row, has_checksum = read_row(line, where)
        sealed = has_checksum if number == 1 else sealed
        if has_checksum != sealed:
            raise InputError(f"{where} was changed after it was written: {'no' if sealed else 'an odd'} checksum")
        if model is not None:
            check(row, model, where)
        rows.append(row)
    return rows


def _lines(path: Path, limit: int) -> Iterator[tuple[int, bytes]]:
    data = read_bytes(path, limit)
    start = number = 0
    while (end := data.find(b"\n", start)) >= 0:
        number += 1
        yield number, bytes(data[start:end])
        start = end + 1


def _checksum(row: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()[:16]
