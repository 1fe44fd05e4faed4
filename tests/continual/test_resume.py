"""Runs that were interrupted or killed go on to the same results."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from continual.api import STATE, learn_stream
from continual.results import RESULTS, StreamResult, read_result
from continual.schemes.base import Scheme
from continual.settings import Budget, Learning
from continual.stream import Stream
from continual.trainer import Trainer
from proxyset.errors import InputError
from tests.continual.conftest import FEW, untimed


@pytest.mark.parametrize(
    ("memory", "change"),
    [
        ("dsa", {"kd": True}),
        ("herding", {"kd": True}),
        ("none", {}),
        ("joint", {}),
        ("random", {"scheme": "gdumb"}),
        ("random", {"current_data": "memory", "batches": "balance"}),
        ("random", {"optimiser": "adam", "schedule": "cosine", "lr": 0.01}),
        ("random", {"optimiser": "adamw", "kd": True, "loss": "squared-error"}),
    ],
)
@pytest.mark.parametrize("stop", [1, 2])
def test_going_on_after_an_interruption_equals_never_having_stopped(
    monkeypatch: pytest.MonkeyPatch,
    growing: Stream,
    quick: Learning,
    tmp_path: Path,
    memory: str,
    change: dict[str, Any],
    stop: int,
) -> None:
    settings, learning = FEW if memory == "dsa" else (), quick.model_copy(update=change)

    def run(name: str) -> StreamResult:
        budget = Budget(ipc=2, store=tmp_path / name, memory_settings=settings)
        return learn_stream(growing, memory, budget, learning, folder=tmp_path / f"run-{name}")

    whole, test = run("whole"), Scheme.test

    def interrupted(self: Scheme, stage: int) -> torch.Tensor:
        if stage == stop:  # the stage is learned, but not yet tested and kept
            raise KeyboardInterrupt
        return test(self, stage)

    with monkeypatch.context() as patch:
        patch.setattr(Scheme, "test", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run("stopped")
    stages = []

    def watched(self: Scheme, stage: int) -> torch.Tensor:
        stages.append(stage)
        return test(self, stage)

    monkeypatch.setattr(Scheme, "test", watched)
    resumed = run("stopped")
    assert stages == list(range(stop, 3))
    assert untimed(resumed) == untimed(whole)
    assert weights(tmp_path / "run-stopped") == weights(tmp_path / "run-whole")


def weights(folder: Path) -> dict[str, list[float]]:
    """The network in a run's state, exactly."""
    from safetensors.torch import load_file

    state = load_file(folder / STATE)
    return {name: tensor.flatten().tolist() for name, tensor in state.items() if name.startswith("net.")}


@pytest.mark.parametrize(("optimiser", "schedule"), [("sgd", "step"), ("adam", "cosine"), ("adamw", "constant")])
def test_optimisers_and_schedules_make_a_difference(
    growing: Stream, quick: Learning, tmp_path: Path, optimiser: str, schedule: str
) -> None:
    seen: list[dict[str, list[float]]] = []
    for change in ({}, {"optimiser": optimiser, "schedule": schedule}):
        learning = quick.model_copy(update=change)
        learn_stream(growing, "none", Budget(store=tmp_path), learning, folder=tmp_path / str(len(seen)))
        seen.append(weights(tmp_path / str(len(seen))))
    assert (seen[0] == seen[1]) is (optimiser == "sgd")


def test_a_killed_process_goes_on_to_the_same_results(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (240, 8, 8), dtype=np.uint8)
    labels = np.arange(240) % 4
    np.savez(tmp_path / "data.npz", x_train=pixels, y_train=labels, x_test=pixels[:40], y_test=labels[:40])
    base = [sys.executable, "-m", "continual.cli", "run", "--dataset", "data.npz", "--steps", "4", "--memory", "random"]
    base += ["--kd", "--kd-softmax", "joint", "--net", "convnet-w8-d1", "--ipc", "3"]
    base += ["--epochs", "20", "--balance-epochs", "4"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}

    def go(out: str, *more: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*base, "--out", out, *more], cwd=tmp_path, env=environment, stderr=subprocess.PIPE)

    assert go("whole").wait() == 0
    process = go("killed")
    deadline = time.monotonic() + 60
    while not (tmp_path / "killed" / STATE).exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed" / RESULTS).exists()
    assert go("killed", "--resume").wait() == 0
    whole, killed = (read_result(tmp_path / name / RESULTS) for name in ("whole", "killed"))
    assert untimed(whole) == untimed(killed)


def test_the_state_of_another_run_is_refused(growing: Stream, quick: Learning, tmp_path: Path) -> None:
    budget = Budget(ipc=2, store=tmp_path)
    learn_stream(growing, "random", budget, quick, folder=tmp_path / "run")
    with pytest.raises(InputError, match=r"other work \(different: learning\)"):
        learn_stream(growing, "random", budget, quick.model_copy(update={"lr": 0.5}), folder=tmp_path / "run")
    with pytest.raises(InputError, match=r"other work \(different: seed\)"):
        learn_stream(growing, "random", budget, quick, seed=1, folder=tmp_path / "run")


def test_another_number_of_threads_is_said(
    growing: Stream, quick: Learning, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    budget = Budget(ipc=2, store=tmp_path)
    learn_stream(growing, "random", budget, quick, folder=tmp_path / "run")
    assert "thread" not in caplog.text
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    learn_stream(growing, "random", budget, quick, folder=tmp_path / "run")
    assert "made with 1 thread, this process has 7" in caplog.text


def test_a_finished_run_is_not_learned_again(
    growing: Stream, quick: Learning, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = Budget(ipc=2, store=tmp_path)
    one = learn_stream(growing, "random", budget, quick, folder=tmp_path / "run")
    monkeypatch.setattr(Trainer, "train", None)
    two = learn_stream(growing, "random", budget, quick, folder=tmp_path / "run")
    assert untimed(one) == untimed(two)
    assert two["seconds"] <= one["seconds"]
