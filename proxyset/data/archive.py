"""The arrays of an .npz, refused before they are read where they would not fit or are not plain arrays."""

import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from proxyset.errors import InputError, one_line

MAX_EXPANDED = 8 * 2**30  # bytes that all arrays together may take
LARGE = 256 * 2**20  # bytes from which the ratio counts: labels in order shrink to nothing
MAX_RATIO = 200  # of expanded to stored bytes; images stay far below
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def array_names(path: Path) -> set[str]:
    """
    Raises:
        InputError: it is no .npz.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")}
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise InputError(f"cannot read {str(path)!r}: {one_line(error)}") from None


def read_arrays(path: Path, names: Iterable[str]) -> dict[str, np.ndarray]:
    """The arrays with these names.

    Raises:
        InputError: a damaged file, arrays that would take too much memory, arrays of Python objects, members that are
            encrypted, there twice, or packed in a way that numpy does not write.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name: _member(archive, f"{name}.npy") for name in names}
            check_expansion(path, sum(member.compress_size for member in members.values()), _sum(members.values()))
            return {name: _read(archive, member) for name, member in members.items()}
    except (InputError, MemoryError):
        raise
    except Exception as error:  # on damaged files zipfile, zlib and numpy raise nearly anything
        raise InputError(f"cannot read {str(path)!r}: {one_line(error) or type(error).__name__}") from None


def check_expansion(path: Path, stored: int, expanded: int, most: int | None = None) -> None:
    """
    Args:
        most: bytes that the expanded content may take (None: MAX_EXPANDED).

    Raises:
        InputError: a file that would expand to more, or to a suspicious multiple of its size.
    """
    most = MAX_EXPANDED if most is None else most
    if expanded > most:
        raise InputError(f"{str(path)!r} would expand to {expanded / 2**30:.1f} GiB, over {most / 2**30:.0f} GiB")
    if expanded > LARGE and expanded > MAX_RATIO * stored:
        raise InputError(
            f"{str(path)!r} would expand from {stored / 2**20:.1f} MiB to {expanded / 2**30:.1f} GiB, "
            f"over {MAX_RATIO} times its size: it holds no images"
        )


def _sum(members: Iterable[zipfile.ZipInfo]) -> int:
    return sum(member.file_size for member in members)


def _member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    members = [member for member in archive.infolist() if member.filename == name]
    if len(members) != 1:
        raise ValueError(f"{name} is in it {len(members)} times")
    (member,) = members
    if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is encrypted or packed in an unknown way")
    return member


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """One array, after its header has said that it is as large as the archive says."""
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version not in _HEADERS:
            raise ValueError(f"{member.filename} is of version {version}")
        shape, _, dtype = _HEADERS[version](file)
        if dtype.hasobject or dtype.kind not in "biufUS":
            raise ValueError(f"{member.filename} holds {dtype}, not numbers or text")
        count = 1
        for length in shape:
            count *= length
        if min(shape, default=0) < 0 or count * dtype.itemsize != member.file_size - file.tell():
            raise ValueError(f"{member.filename} is not as large as its shape {shape} of {dtype} says")
    with archive.open(member) as file:
        return np.asarray(np.lib.format.read_array(file, allow_pickle=False))
