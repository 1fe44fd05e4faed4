"""Atomic files and the checkpoint: whole or absent, refused where they do not belong, in step with the work."""

import os
from pathlib import Path

import pytest
import torch

from proxyset import checkpoint as module
from proxyset.checkpoint import Checkpoint, check_writable, write_atomic
from proxyset.settings import InputError


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

    monkeypatch.setattr(module.os, breaks, fail)
    with pytest.raises(InputError, match="No space left"):
        write_atomic(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_the_data_is_on_disk_before_the_name_appears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    for name in ("fsync", "replace"):
        work = getattr(os, name)
        monkeypatch.setattr(module.os, name, lambda *a, name=name, work=work: (order.append(name), work(*a))[1])
    write_atomic(tmp_path / "file", b"data")
    assert order == ["fsync", "replace"]


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """Below a regular file, which stops the superuser too."""
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match="cannot write"):
            check_writable(folder)
        with pytest.raises(InputError, match="cannot write"):
            write_atomic(folder / "result", b"")


def test_state_comes_back_bit_for_bit(tmp_path: Path, generator: torch.Generator) -> None:
    state = {
        "images": torch.randn(2, 3, 4, 4, generator=generator),
        "transposed": torch.randn(3, 5, generator=generator).T,
        "steps": torch.tensor(7),
        "flags": torch.tensor([True, False]),
        "generator": generator.get_state(),
    }
    first = Checkpoint(tmp_path / "state", 1, {"seed": 1, "shape": (1, 2)})
    first.offer(state)
    second = Checkpoint(tmp_path / "state", 1, {"seed": 1, "shape": [1, 2]})
    restored = second.restore()
    assert restored is not None
    assert second.step == 1
    assert set(restored) == set(state)
    for name, tensor in state.items():
        assert restored[name].dtype == tensor.dtype
        assert torch.equal(restored[name], tensor)


def test_it_writes_every_so_many_steps_and_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "state"
    checkpoint = Checkpoint(path, 3, {})
    checkpoint.write()
    assert not path.exists()  # nothing offered yet
    written = []
    for step in range(1, 8):
        checkpoint.offer({"step": torch.tensor(step)})
        reader = Checkpoint(path, 3, {})
        written.append(reader.restore() and reader.step)
    assert written == [None, None, 3, 3, 3, 6, 6]
    checkpoint.write()
    reader = Checkpoint(path, 3, {})
    state = reader.restore()
    assert state is not None
    assert reader.step == state["step"].item() == 7


def test_it_writes_after_a_minute_however_long_the_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    checkpoint = Checkpoint(tmp_path / "state", 1000, {})
    for passed, written in ((30, False), (31, True)):
        now[0] += passed
        checkpoint.offer({"x": torch.zeros(1)})
        assert checkpoint.path.exists() == written


def test_the_state_is_a_copy_of_the_moment_it_was_offered(tmp_path: Path) -> None:
    tensor = torch.zeros(2)
    checkpoint = Checkpoint(tmp_path / "state", 10, {})
    checkpoint.offer({"x": tensor})
    tensor.fill_(9)
    checkpoint.write()
    state = Checkpoint(tmp_path / "state", 10, {}).restore()
    assert state is not None
    assert state["x"].tolist() == [0, 0]


def test_seconds_add_up_over_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    first = Checkpoint(tmp_path / "state", 1, {})
    now[0] = 40.0
    first.offer({"x": torch.zeros(1)})
    now[0] = 1000.0
    second = Checkpoint(tmp_path / "state", 1, {})
    second.restore()
    now[0] = 1005.0
    assert second.elapsed() == pytest.approx(45.0)


def test_other_work_is_refused_by_name_of_what_differs(tmp_path: Path) -> None:
    first = Checkpoint(tmp_path / "state", 1, {"seed": 0, "settings": {"lr": 0.1}, "ipc": 1})
    first.offer({"x": torch.zeros(1)})
    with pytest.raises(InputError, match=r"different: seed, settings.*--force starts over"):
        Checkpoint(tmp_path / "state", 1, {"seed": 1, "settings": {"lr": 0.2}, "ipc": 1}).restore()


@pytest.mark.parametrize("keep", [0, 7, 8, 100, -1])
def test_a_truncated_or_foreign_checkpoint_is_refused(keep: int, tmp_path: Path) -> None:
    path = tmp_path / "state"
    checkpoint = Checkpoint(path, 1, {})
    checkpoint.offer({"x": torch.zeros(100)})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"cannot read the checkpoint .*--force starts over"):
        Checkpoint(path, 1, {}).restore()
    path.write_text("not a checkpoint")
    with pytest.raises(InputError, match="cannot read the checkpoint"):
        Checkpoint(path, 1, {}).restore()


def test_nothing_to_restore_and_nothing_to_remove(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "state", 1, {})
    assert checkpoint.restore() is None
    checkpoint.remove()
