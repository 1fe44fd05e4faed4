"""The state of long work: bit for bit, refused where it does not belong, in step with the work."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from proxyset import checkpoint as module
from proxyset.checkpoint import Checkpoint, read_step
from proxyset.errors import InputError
from proxyset.tensors import seal, write_bytes


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
    with pytest.raises(InputError, match=r"different: seed, settings.*`force=True` starts over"):
        Checkpoint(tmp_path / "state", 1, {"seed": 1, "settings": {"lr": 0.2}, "ipc": 1}).restore()


@pytest.mark.parametrize("keep", [0, 7, 8, 100, -1])
def test_a_truncated_or_foreign_checkpoint_is_refused(keep: int, tmp_path: Path) -> None:
    path = tmp_path / "state"
    checkpoint = Checkpoint(path, 1, {})
    checkpoint.offer({"x": torch.zeros(100)})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"cannot read the checkpoint .*`force=True` starts over"):
        Checkpoint(path, 1, {}).restore()
    path.write_text("not a checkpoint")
    with pytest.raises(InputError, match="cannot read the checkpoint"):
        Checkpoint(path, 1, {}).restore()


def test_nothing_to_restore_and_nothing_to_remove(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "state", 1, {})
    assert checkpoint.restore() is None
    checkpoint.remove()


def test_how_far_it_came_can_be_read_alone(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "state", 2, {"seed": 1})
    for _ in range(3):
        checkpoint.offer({"x": torch.zeros(1)})
    assert read_step(tmp_path / "state") == 2
    assert read_step(tmp_path / "nothing") == 0
    (tmp_path / "state").write_text("no checkpoint")
    assert read_step(tmp_path / "state") == 0


def test_removing_it_removes_what_a_killed_process_left_half_written(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "a[1].state", 1, {})
    checkpoint.offer({"x": torch.zeros(1)})
    (tmp_path / ".a[1].state.x7k_2ab9.part").write_bytes(b"half")
    (tmp_path / "other.state").write_bytes(b"kept")
    checkpoint.remove()
    assert [file.name for file in tmp_path.iterdir()] == ["other.state"]


@pytest.fixture
def more_threads() -> Iterator[int]:
    """One thread more than before, from now on; put back at the end."""
    before = torch.get_num_threads()
    yield before + 1
    torch.set_num_threads(before)


def test_another_number_of_threads_is_said_in_one_line(
    more_threads: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Results depend on it; the work goes on all the same."""
    Checkpoint(tmp_path / "state", 1, {}).offer({"x": torch.zeros(1)})
    assert Checkpoint(tmp_path / "state", 1, {}).restore() is not None
    assert not caplog.messages
    torch.set_num_threads(more_threads)
    assert Checkpoint(tmp_path / "state", 1, {}).restore() is not None
    (message,) = caplog.messages
    assert f"this process has {more_threads}" in message
    assert f"OMP_NUM_THREADS={more_threads - 1}" in message
    assert "\n" not in message


def test_a_checkpoint_without_a_seal_is_of_an_older_version(tmp_path: Path) -> None:
    """It could have been changed without a trace, so it is not gone on from."""
    header = {"identity": {}, "step": 1, "seconds": 1.0, "threads": 1}
    save_file({"x": torch.zeros(1)}, tmp_path / "state", metadata={"checkpoint": json.dumps(header)})
    with pytest.raises(InputError, match="written by an older version; `force=True` starts over"):
        Checkpoint(tmp_path / "state", 1, {}).restore()
    assert read_step(tmp_path / "state") == 0


@pytest.mark.parametrize(
    "change",
    [{"step": -1}, {"step": True}, {"step": 1.5}, {"seconds": -1}, {"seconds": "1"}, {"identity": []}, {"threads": 0}],
    ids=str,
)
def test_a_sealed_header_that_cannot_be_is_refused(change: dict[str, object], tmp_path: Path) -> None:
    header = {"identity": {}, "step": 1, "seconds": 1.0, "threads": 1, "instructions": "AVX2"} | change
    state = {"x": torch.zeros(1)}
    (tmp_path / "state").write_bytes(write_bytes(state, seal(state, header, "checkpoint")))
    with pytest.raises(InputError, match=f"cannot read the checkpoint .*{next(iter(change))}"):
        Checkpoint(tmp_path / "state", 1, {}).restore()


def test_other_vector_instructions_are_said_in_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    Checkpoint(tmp_path / "state", 1, {}).offer({"x": torch.zeros(1)})
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "OTHER")
    assert Checkpoint(tmp_path / "state", 1, {}).restore() is not None
    (message,) = caplog.messages
    assert "OTHER" in message


def test_an_identity_that_is_no_json_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        Checkpoint(tmp_path / "state", 1, {"lr": float("nan")})
