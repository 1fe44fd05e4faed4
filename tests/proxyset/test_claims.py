"""Outputs are claimed: nothing of a user's is replaced, one process writes, nothing is left behind."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proxyset.claims import Claim, check_file, claim_file
from proxyset.errors import InputError, RunError
from proxyset.files import write_atomic
from proxyset.folders import MARKER, claim_folder, mark, read_marker, replace_folder, write_marker
from tests.proxyset.cli.made import snapshot


def is_ours(path: Path) -> bool:
    return path.read_bytes().startswith(b"ours")


def claim(path: Path, **options: Any) -> Claim:
    return claim_file(path, kind="picture", made_by_us=is_ours, **options)


def refused(folder: Path, function: Callable[..., Any], *arguments: Any, match: str, **options: Any) -> None:
    """It raises `InputError`, and the folder is as before."""
    before = snapshot(folder)
    with pytest.raises(InputError, match=match):
        function(*arguments, **options)
    assert snapshot(folder) == before


def test_a_new_file_is_free_and_its_folders_go_if_nothing_comes(tmp_path: Path) -> None:
    with claim(tmp_path / "a" / "b" / "file.png") as mine:
        assert not mine.existed
        assert mine.path == tmp_path / "a" / "b" / "file.png"
    assert os.listdir(tmp_path) == []
    with claim(tmp_path / "a" / "file.png") as mine:
        write_atomic(mine.path, b"ours")
    assert snapshot(tmp_path).keys() == {"a", "a/file.png"}


def test_what_a_user_made_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine.png").write_bytes(b"my holidays")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "ours.png").write_bytes(b"ours")
    for force in (False, True):
        refused(tmp_path, claim, tmp_path / "mine.png", force=force, match="exists and is no picture")
        refused(tmp_path, claim, tmp_path / "folder.png", force=force, match="is a folder")
    refused(tmp_path, claim, tmp_path / "ours.png", match="`force=True` replaces it")
    refused(tmp_path, claim, tmp_path / "new" / "x.jpg", suffixes=(".png",), match="ends in .png")
    refused(tmp_path, claim, tmp_path / "ours.png" / "x.png", match="cannot write")
    refused(tmp_path, claim, tmp_path / ("x" * 300), match="cannot write")
    refused(tmp_path, claim, tmp_path / "new" / "x\0y", match="cannot")
    refused(tmp_path, claim, Path("/"), match="cannot be written")
    with claim(tmp_path / "ours.png", force=True) as mine:
        assert mine.existed


def test_links_are_followed_with_a_line_or_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "ours").write_bytes(b"ours")
    (tmp_path / "mine").write_bytes(b"mine")
    for name in ("ours", "mine", "nowhere"):
        (tmp_path / f"to-{name}").symlink_to(name)
    (tmp_path / "loop").symlink_to("loop")
    refused(tmp_path, claim, tmp_path / "to-mine", force=True, match="is no picture")
    for name in ("to-nowhere", "loop"):
        refused(tmp_path, claim, tmp_path / name, force=True, match="leads nowhere")
    caplog.clear()
    with caplog.at_level(logging.WARNING), claim(tmp_path / "to-ours", force=True) as mine:
        assert mine.path == (tmp_path / "ours").resolve()
        refused(tmp_path, claim, tmp_path / "ours", force=True, match="written by another process")
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'to-ours'} is a symbolic link: it stands for {tmp_path / 'ours'}"
    ]


def test_a_second_claim_is_refused_until_the_first_is_released(tmp_path: Path) -> None:
    path = tmp_path / "file.png"
    with claim(path):
        refused(tmp_path, claim, path, match=rf"another process \(PID {os.getpid()} on ")
        with claim(tmp_path / "other.png"):
            pass
    with claim(path):
        pass
    assert os.listdir(tmp_path) == []


HOLD = """
import sys, time
from pathlib import Path
from proxyset.claims import claim_file
claim = claim_file(Path(sys.argv[1]), kind="picture", made_by_us=lambda path: False)
print("held", flush=True)
time.sleep(60)
"""


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file.png"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        refused(tmp_path, claim, path, match=f"PID {process.pid} ")
        process.send_signal(signal.SIGKILL)
    assert os.listdir(tmp_path) == [".file.png.lock"]
    (tmp_path / ".file.png.abcd1234.part").write_text("half")
    with claim(path):
        assert os.listdir(tmp_path) == [".file.png.lock"]
    assert os.listdir(tmp_path) == []


HAMMER = """
import os, sys, time
from pathlib import Path
from proxyset.claims import claim_file
from proxyset.errors import InputError
path = Path(sys.argv[1])
held = path.with_name("held")
rounds = 200
while rounds:
    try:
        with claim_file(path, kind="picture", made_by_us=lambda path: False):
            os.close(os.open(held, os.O_CREAT | os.O_EXCL))
            time.sleep(0.0005)
            held.unlink()
        rounds -= 1
    except InputError:
        time.sleep(0.0003)
"""


def test_never_two_at_once_however_often_it_changes_hands(tmp_path: Path) -> None:
    """Each sees that nobody else holds it while it does."""
    command = [sys.executable, "-c", HAMMER, str(tmp_path / "file")]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    for process in processes:
        _, err = process.communicate()
        assert process.returncode == 0, err
    assert os.listdir(tmp_path) == []


def test_a_users_file_in_place_of_the_lock_stays(tmp_path: Path) -> None:
    (tmp_path / ".file.png.lock").write_text("my lock")
    refused(tmp_path, claim, tmp_path / "file.png", match="is not a lock of this program")


def test_companions_are_checked_without_a_lock(tmp_path: Path) -> None:
    (tmp_path / "mine.png").write_bytes(b"mine")
    (tmp_path / "ours.png").write_bytes(b"ours")
    assert check_file(tmp_path / "ours.png", kind="picture", made_by_us=is_ours, force=True)
    assert not check_file(tmp_path / "new.png", kind="picture", made_by_us=is_ours)
    refused(
        tmp_path, check_file, tmp_path / "mine.png", kind="picture", made_by_us=is_ours, force=True, match="no picture"
    )


# Folders.


def test_a_folder_is_ours_by_its_marker(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "run"
    with claim_folder(run, kind="search run") as mine:
        assert not run.exists()
        mark(mine, "search run", seed=1)
        assert read_marker(run)["seed"] == 1
    assert snapshot(tmp_path).keys() == {"runs", "runs/run", f"runs/run/{MARKER}"}
    refused(tmp_path, claim_folder, run, kind="search run", match="`force=True` replaces it")
    refused(tmp_path, claim_folder, run, kind="export", force=True, match="is no export")
    for force in (True, False):
        with claim_folder(run, kind="search run", force=force, resume=not force) as mine:
            assert mine.existed
            refused(tmp_path, claim_folder, run, kind="search run", resume=True, match="another process")


def test_a_users_folder_is_never_taken(tmp_path: Path) -> None:
    (tmp_path / "mine" / "train").mkdir(parents=True)
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    for options in ({}, {"force": True}, {"resume": True}):
        refused(tmp_path, claim_folder, tmp_path / "mine", kind="export", match="exists and is no export", **options)
        refused(tmp_path, claim_folder, tmp_path / "file", kind="export", match="is a file", **options)
    with claim_folder(tmp_path / "empty", kind="export") as mine:
        assert not mine.existed
    assert (tmp_path / "empty").is_dir()
    for text in ("", "[1]", "[" * 100_000, '{"made_by": "me", "kind": "export"}'):
        (tmp_path / "mine" / MARKER).write_text(text)
        refused(tmp_path, claim_folder, tmp_path / "mine", kind="export", force=True, match="is no export")


def fill(folder: Path) -> None:
    write_atomic(folder / "new", b"new")
    write_marker(folder, "export")


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "out"
    replace_folder(out, fill)
    (out / "old").write_text("old")
    before = snapshot(tmp_path)

    def half(folder: Path) -> None:
        fill(folder)
        assert snapshot(out) == {name[4:]: data for name, data in before.items() if name.startswith("out/")}
        raise RunError("full")

    with pytest.raises(RunError, match="full"):
        replace_folder(out, half)
    assert snapshot(tmp_path) == before
    replace_folder(out, fill)
    assert snapshot(tmp_path).keys() == {"out", "out/new", f"out/{MARKER}"}


def test_a_swap_that_fails_in_the_middle_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    replace_folder(out, fill)
    before = snapshot(tmp_path)
    rename, calls = os.rename, iter(range(10))

    def second_fails(*arguments: Any) -> None:
        if next(calls) == 1:
            raise OSError(28, "No space left on device")
        rename(*arguments)

    monkeypatch.setattr(os, "rename", second_fails)
    with pytest.raises(RunError, match="No space"):
        replace_folder(out, fill)
    assert snapshot(tmp_path) == before


def test_the_current_folder_is_not_swapped_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    refused(tmp_path, replace_folder, Path(), fill, match="current folder")
