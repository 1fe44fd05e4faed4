"""Whole runs: the same bits every time, after every interruption, and on real and generated data of every form."""

import json
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

from continual.experiment import RESULTS, STATE, estimate, learn_stream, prepare
from continual.learner import Learner
from continual.memory import Budget
from continual.recipe import Learning
from continual.stream import Stream, StreamChoice, load_stream
from proxyset.checkpoint import Checkpoint
from proxyset.settings import Compute

CPU, COMPUTE = torch.device("cpu"), Compute(device="cpu")
TIMES = ("seconds", "created", "memory_kept")
QUICK = ("iterations=2", "net_epochs=1", "inner_steps=2", "batch_real=4", "epochs=1")


def untimed(results: dict[str, Any]) -> dict[str, Any]:
    """Results without what a clock wrote."""
    kept = {key: value for key, value in results["memory_kept"].items() if key != "seconds"}
    return {key: value for key, value in results.items() if key not in TIMES} | {"kept": kept}


def budget(store: Path, **more: Any) -> Budget:
    return Budget(store=store, memory_settings=QUICK, **{"ipc": 2} | more)


@pytest.mark.parametrize("memory", ["none", "random", "herding", "dsa", "joint"])
def test_the_same_seed_gives_the_same_run(growing: Stream, quick: Learning, tmp_path: Path, memory: str) -> None:
    learning = quick.model_copy(update={"kd": memory != "joint"})
    one, two = (
        learn_stream(growing, memory, budget(tmp_path / str(i)), learning, folder=tmp_path / f"run{i}")
        for i in range(2)
    )
    assert untimed(one) == untimed(two)
    states = [Checkpoint(tmp_path / f"run{i}" / STATE, 1, {}) for i in range(2)]
    for state in states:
        state.identity = json.loads(json.dumps({key: one[key] for key in IDENTITY}))
    first, second = (state.restore() for state in states)
    assert first is not None
    assert second is not None
    for name in first:
        assert name == "memory.seconds" or torch.equal(first[name], second[name]), name


IDENTITY = ("memory", "kd", "memory_settings", "budget", "choices", "learning", "stream", "seed", "device_type")


def test_another_seed_gives_another_run(growing: Stream, quick: Learning, tmp_path: Path) -> None:
    one, two = (learn_stream(growing, "random", budget(tmp_path), quick, seed=seed)["correct"] for seed in (0, 1))
    assert one != two


@pytest.mark.parametrize(
    ("memory", "change"),
    [
        ("dsa", {"kd": True}),
        ("herding", {"kd": True}),
        ("none", {}),
        ("joint", {}),
        ("random", {"scheme": "gdumb"}),
        ("random", {"current_data": "memory", "batches": "balance"}),
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
    learning = quick.model_copy(update=change)
    whole = learn_stream(growing, memory, budget(tmp_path / "a"), learning, folder=tmp_path / "whole")
    learn = Learner.learn

    def interrupted(self: Learner, stage: int) -> None:
        learn(self, stage)
        if stage == stop:  # the stage is learned, but not yet tested and kept
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "learn", interrupted)
        with pytest.raises(KeyboardInterrupt):
            learn_stream(growing, memory, budget(tmp_path / "b"), learning, folder=tmp_path / "stopped")
    stages = []
    monkeypatch.setattr(Learner, "learn", lambda self, stage: (stages.append(stage), learn(self, stage)))
    resumed = learn_stream(growing, memory, budget(tmp_path / "b"), learning, folder=tmp_path / "stopped")
    assert stages == list(range(stop, 3))
    assert untimed(resumed) == untimed(whole)


def test_a_killed_process_goes_on_to_the_same_results(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (240, 8, 8), dtype=np.uint8)
    labels = np.arange(240) % 4
    np.savez(tmp_path / "data.npz", x_train=pixels, y_train=labels, x_test=pixels[:40], y_test=labels[:40])
    base = [sys.executable, "-m", "continual.cli", "run", "--dataset", "data.npz", "--steps", "4", "--memory", "random"]
    base += ["--kd", "--kd-softmax", "joint", "--net", "convnet-w8-d1", "--ipc", "3"]
    base += ["--epochs", "60", "--balance-epochs", "4"]
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
    whole, killed = (json.loads((tmp_path / name / RESULTS).read_text()) for name in ("whole", "killed"))
    assert untimed(whole) == untimed(killed)


def test_results_say_what_was_done(domains: Stream, quick: Learning, tmp_path: Path) -> None:
    results = learn_stream(domains, "herding", budget(tmp_path), quick, folder=tmp_path / "run")
    assert json.loads((tmp_path / "run" / RESULTS).read_text()) == json.loads(json.dumps(results))
    assert (
        results["choices"] == "eeil: all current data, batches concatenated with the memory, then balanced fine-tuning"
    )
    assert results["learning"]["net"] == "convnet-w4-d1-relu-instance-avg"
    assert results["memory_kept"]["images"] == 18
    assert [row[i] is not None for i, row in enumerate(results["matrix"])] == [True] * 3
    assert results["correct"][0][1:] == [-1, -1]
    table = (tmp_path / "run" / "results.csv").read_text().splitlines()
    assert table[0] == "memory,kd,seed,stage,task,images,correct,accuracy"
    assert len(table) == 1 + 6
    for name in ("matrix.png", "memory.png"):
        assert (tmp_path / "run" / name).read_bytes().startswith(b"\x89PNG")


def test_accuracies_are_those_of_the_network_on_test_data(growing: Stream, quick: Learning, tmp_path: Path) -> None:
    kept = prepare(growing, "random", budget(tmp_path), quick, seed=0, compute=COMPUTE)
    learner = Learner(growing, kept, quick, seed=0, device=CPU)
    learner.learn(0)
    learner.learn(1)
    right = []
    for task in growing.tasks[:2]:
        mean, std = task.data.spec.mean[0], task.data.spec.std[0]
        learner.net.eval()
        logits = learner.net((task.data.test.images.float() / 255 - mean) / std)
        right.append(sum(task.classes[y] == g for y, g in zip(task.data.test.labels, logits.argmax(1), strict=True)))
    assert learner.test(1).tolist() == right


def test_memory_prevents_forgetting(tmp_path: Path) -> None:
    stream = load_stream(StreamChoice(steps=2, limit=100))
    learning = Learning(net="convnet-w16-d1", epochs=15, balance_epochs=15)
    found = {
        memory: learn_stream(stream, memory, Budget(store=tmp_path), learning) for memory in ("none", "random", "joint")
    }
    averages = {memory: results["average"][-1] for memory, results in found.items()}
    assert averages["none"] < 0.6 < averages["random"] <= averages["joint"] + 0.05
    assert found["none"]["forgetting"] > 0.5 > found["random"]["forgetting"]


def test_the_estimate_counts_what_will_be_done(growing: Stream, quick: Learning, tmp_path: Path) -> None:
    def seconds(memory: str, **change: Any) -> tuple[float, float]:
        learning = quick.model_copy(update=change)
        kept = prepare(growing, memory, budget(tmp_path), learning, seed=0, compute=COMPUTE)
        return estimate(growing, kept, learning, CPU)

    condensing, learning = seconds("dsa")
    assert condensing > 0
    assert learning > 0
    learn_stream(growing, "dsa", budget(tmp_path), quick)
    assert seconds("dsa")[0] == 0  # it is there now
    assert seconds("none")[0] == seconds("joint")[0] == 0
    assert seconds("random", scheme="gdumb")[1] > 0


def test_svhn_in_torchvisions_format_goes_through(
    monkeypatch: pytest.MonkeyPatch, quick: Learning, tmp_path: Path
) -> None:
    from scipy.io import savemat

    from proxyset.data.vision import torchvision

    rng, other = np.random.default_rng(0), {}
    for part, count in (("train", 60), ("test", 20)):
        labels = (np.arange(count) % 10) + 1  # SVHN writes 10 for the digit 0
        images = rng.integers(0, 255, (32, 32, 3, count), dtype=np.uint8)
        savemat(tmp_path / f"{part}_32x32.mat", {"X": images, "y": labels[:, None].astype(np.uint8)})
        pixels = rng.integers(0, 255, (count, 12, 12), dtype=np.uint8)
        other |= {f"x_{part}": pixels, f"y_{part}": labels - 1}
    np.savez(tmp_path / "other.npz", **other)
    monkeypatch.setattr(torchvision().datasets.svhn, "check_integrity", lambda *_: True)  # these are not its bytes
    choice = StreamChoice(tasks=("svhn", str(tmp_path / "other.npz")))
    stream = load_stream(choice, data_root=tmp_path)
    assert stream.tasks[0].data.train.images.shape == (60, 3, 32, 32)
    assert stream.tasks[1].data.train.images.shape == (60, 3, 32, 32)
    assert stream.tasks[0].data.train.labels[9] == 0
    learning = quick.model_copy(update={"kd": True, "net": "convnet-w4-d2"})
    results = learn_stream(stream, "dsa", budget(tmp_path), learning, folder=tmp_path / "run")
    assert results["memory_kept"]["images"] == 40
    assert results["stream"]["tasks"][0]["mean"] == (0.4377, 0.4438, 0.4728)
