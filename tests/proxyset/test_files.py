"""Files that are written whole or not at all."""

import os
from pathlib import Path

import pytest

from proxyset import files
from proxyset.errors import InputError, RunError
from proxyset.files import append_line, check_writable, write_atomic
from tests.proxyset.spy import spied


def test_a_written_file_is_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file"
    write_atomic(path, b"one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert os.listdir(path.parent) == ["file"]
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask  # not the 0600 of a temporary file


@pytest.mark.parametrize("breaks", ["fsync", "replace"])
def test_a_failure_while_writing_keeps_the_old_file(
    breaks: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, breaks, fail)
    with pytest.raises(RunError, match="No space left"):
        write_atomic(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_the_data_is_on_disk_before_the_name_appears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    for name in ("fsync", "replace"):
        work = getattr(os, name)
        monkeypatch.setattr(files.os, name, spied(work, order, lambda *a, name=name: name))
    write_atomic(tmp_path / "file", b"data")
    assert order == ["fsync", "replace", "fsync"]  # the folder's last, so that a power cut does not undo the name


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """Below a regular file, which stops the superuser too."""
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match="cannot write"):
            check_writable(folder)
        with pytest.raises(InputError, match="cannot write"):
            write_atomic(folder / "result", b"")


def test_checking_a_folder_creates_nothing(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "folder")
    assert os.listdir(tmp_path) == []


def test_a_line_is_added_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows"
    append_line(path, "one")
    append_line(path, "zwei ü")

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(RunError, match="No space left"):
        append_line(path, "three")
    monkeypatch.undo()
    assert path.read_text(encoding="utf-8") == "one\nzwei ü\n"
