"""Arrays that would not fit into memory, or are no arrays, are refused before they are read."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from proxyset.data import archive
from proxyset.data.load import load
from proxyset.errors import InputError
from tests.proxyset.data.made import pixels

LABELS = np.arange(8) % 2


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def write_zip(path: Path, *members: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members:
            file.writestr(name, content)


def test_a_small_file_that_expands_to_much_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "bomb.npz", images=np.zeros((4000, 64, 64), np.uint8), labels=np.zeros(4000, int))
    monkeypatch.setattr(archive, "LARGE", 2**20)
    monkeypatch.setattr(archive, "_read", lambda *arguments: pytest.fail("it was read"))
    with pytest.raises(InputError, match=r"bomb\.npz' would expand from 0\.. MiB to 0\.0 GiB, over 200 times"):
        load(tmp_path / "bomb.npz")
    monkeypatch.setattr(archive, "MAX_EXPANDED", 2**20)
    with pytest.raises(InputError, match="would expand to"):
        load(tmp_path / "bomb.npz")


def test_flat_images_that_compress_well_are_taken(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "flat.npz", images=np.zeros((4000, 8, 8), np.uint8), labels=np.arange(4000) % 2)
    assert len(load(tmp_path / "flat.npz").train) == 3200


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (npy(pixels(8, 8, 8))[:-1], "not as large as its shape"),
        (npy(pixels(8, 8, 8)).replace(b"(8, 8, 8)", b"(9, 8, 8)"), "not as large as its shape"),
        (npy(pixels(8, 8, 8)).replace(b"(8, 8, 8), ", b"(-8, 8,-8),"), "not as large as its shape"),
        (npy(pixels(8, 8, 8)).replace(b"|u1", b"|O8"), "holds object|cannot read"),
        (npy(np.zeros((8, 8, 8), "M8[s]")), "holds datetime64"),
        (npy(np.zeros((8, 8, 8), [("a", "u1")])), "holds "),
        (npy(np.zeros((8, 8, 8), complex)), "holds complex"),
        (b"\x93NUMPY\x07\x00" + npy(pixels(8, 8, 8))[8:], "cannot read"),
        (b"text", "cannot read"),
        (b"", "cannot read"),
    ],
)
def test_members_that_are_no_plain_arrays_are_refused(images: bytes, words: str, tmp_path: Path) -> None:
    write_zip(tmp_path / "a.npz", ("images.npy", images), ("labels.npy", npy(LABELS)))
    with pytest.raises(InputError, match=words) as error:
        load(tmp_path / "a.npz")
    assert "a.npz" in str(error.value)


def test_exotic_archives_are_refused(tmp_path: Path) -> None:
    members = ("images.npy", npy(pixels(8, 8, 8))), ("labels.npy", npy(LABELS))
    write_zip(tmp_path / "packed.npz", *members, compression=zipfile.ZIP_LZMA)
    with pytest.raises(InputError, match="packed in an unknown way"):
        load(tmp_path / "packed.npz")
    with pytest.warns(UserWarning, match="Duplicate name"):
        write_zip(tmp_path / "twice.npz", *members, members[0])
    with pytest.raises(InputError, match=r"images\.npy is in it 2 times"):
        load(tmp_path / "twice.npz")
    write_zip(tmp_path / "secret.npz", *members)
    data = bytearray((tmp_path / "secret.npz").read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + place] |= 1
    (tmp_path / "secret.npz").write_bytes(data)
    with pytest.raises(InputError, match="encrypted"):
        load(tmp_path / "secret.npz")


def test_arrays_that_are_not_asked_for_are_not_read(tmp_path: Path) -> None:
    write_zip(tmp_path / "a.npz", ("images.npy", npy(pixels(8, 8, 8))), ("labels.npy", npy(LABELS)), ("x.npy", b"text"))
    assert len(load(tmp_path / "a.npz").train) + len(load(tmp_path / "a.npz").test) == 8


def test_class_names_that_are_no_list_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=pixels(8, 8, 8), labels=LABELS, class_names=[["a", "b"]])
    with pytest.raises(InputError, match="class_names must be a list"):
        load(tmp_path / "a.npz")
