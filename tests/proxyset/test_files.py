"""Files: whole or not at all, on a full disk too; nothing is left behind."""

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxyset.errors import InputError, RunError
from proxyset.files import append_line, check_writable, remove_leftovers, write_atomic
from tests.proxyset.cli.made import snapshot

CALLS = ("fsync", "replace", "chmod")


def failing(monkeypatch: pytest.MonkeyPatch, name: str, number: int) -> None:
    def fail(*arguments: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, name, fail)


def test_a_file_and_its_folders_are_written(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    write_atomic(path, b"one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert os.listdir(path.parent) == ["file"]
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.parametrize("name", CALLS)
def test_what_fails_on_the_way_leaves_the_old_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomic(tmp_path / "file", b"old")
    before = snapshot(tmp_path)
    for number, kind in ((errno.ENOSPC, RunError), (errno.EDQUOT, RunError), (errno.EROFS, InputError)):
        with monkeypatch.context() as patch:
            failing(patch, name, number)
            for path in (tmp_path / "file", tmp_path / "new" / "deep" / "file"):
                with pytest.raises(kind, match="cannot write"):
                    write_atomic(path, b"new")
                assert snapshot(tmp_path) == before


def test_an_interruption_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "file", b"new")
    assert os.listdir(tmp_path) == []


def test_the_folder_is_synced_after_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    sync, replace = os.fsync, os.replace

    def fsync(handle: int) -> None:
        events.append(os.readlink(f"/proc/self/fd/{handle}"))
        sync(handle)

    def renamed(*arguments: Any) -> None:
        events.append("renamed")
        replace(*arguments)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", renamed)
    write_atomic(tmp_path / "file", b"data")
    assert events[0].endswith(".part")
    assert events[1:] == ["renamed", str(tmp_path)]


def test_a_filesystem_that_cannot_sync_folders_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync = os.fsync

    def fsync(handle: int) -> None:
        if Path(os.readlink(f"/proc/self/fd/{handle}")).is_dir():
            raise OSError(errno.EINVAL, "Invalid argument")
        sync(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    write_atomic(tmp_path / "file", b"data")
    assert (tmp_path / "file").read_bytes() == b"data"


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there/file")
    for data in (b"one", b"two"):
        write_atomic(tmp_path / "link", data)
        assert (tmp_path / "there" / "file").read_bytes() == data
    assert (tmp_path / "link").is_symlink()
    assert os.listdir(tmp_path / "there") == ["file"]


def test_lines_are_added(tmp_path: Path) -> None:
    for line in ("one", "zwölf"):
        append_line(tmp_path / "rows", line)
    assert (tmp_path / "rows").read_text(encoding="utf-8") == "one\nzwölf\n"
    with pytest.raises(InputError, match="cannot write"):
        append_line(tmp_path / "nowhere" / "rows", "line")


@pytest.mark.parametrize("stop", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_line_that_cannot_be_added_whole_is_not_added(
    stop: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append_line(tmp_path / "rows", "one")

    def fail(handle: int) -> None:
        raise stop

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(RunError if isinstance(stop, OSError) else KeyboardInterrupt):
            append_line(tmp_path / "rows", "two")
    assert (tmp_path / "rows").read_text() == "one\n"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 256 KiB; the test is skipped where none can be mounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs the right to mount a filesystem")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_really_full_disk(small_disk: Path) -> None:
    write_atomic(small_disk / "file", b"old")
    append_line(small_disk / "rows", "one")
    (small_disk / "filler").write_bytes(bytes(200 * 1024))
    before = snapshot(small_disk)
    with pytest.raises(RunError, match="No space left"):
        write_atomic(small_disk / "file", bytes(100 * 1024))
    with pytest.raises(RunError, match="No space left"):
        append_line(small_disk / "rows", "x" * 100 * 1024)
    assert snapshot(small_disk) == before
    (small_disk / "filler").unlink()
    append_line(small_disk / "rows", "two")
    assert (small_disk / "rows").read_text() == "one\ntwo\n"


def test_whether_a_folder_can_be_written_is_seen_without_a_trace(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b")
    check_writable(tmp_path)
    assert os.listdir(tmp_path) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        check_writable(tmp_path / "file" / "folder")


def test_leftovers_are_those_of_one_name(tmp_path: Path) -> None:
    stay = [
        "run",
        ".run.part",
        ".run.csv.abcd1234.part",
        ".run.abcd1234.txt",
        ".other.abcd1234.part",
        "run.abcd1234.part",
    ]
    for name in (*stay, ".run.abcd1234.part"):
        (tmp_path / name).write_text("")
    (tmp_path / ".run.x_yz5678.old" / "deep").mkdir(parents=True)
    remove_leftovers(tmp_path / "run")
    assert sorted(os.listdir(tmp_path)) == sorted(stay)
