"""Whole runs: the same bits every time, on real and generated data of every form, and what they say."""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import continual
from continual.api import STATE, learn_stream
from continual.estimate import estimate
from continual.loading import load_stream
from continual.results import RESULTS, read_result
from continual.schemes.registry import scheme_class
from continual.settings import Budget, Learning, StreamChoice
from continual.stream import Stream
from proxyset.checkpoint import Checkpoint
from proxyset.compute.session import Session
from tests.continual.conftest import FEW, make_scheme, untimed

IDENTITY = (
    *("memory", "kd", "memory_settings", "budget", "choices", "learning", "stream", "seed"),
    *("device_type", "compute"),
)


def budget(store: Path, memory: str) -> Budget:
    return Budget(store=store, memory_settings=FEW if memory == "dsa" else (), ipc=2)


@pytest.mark.parametrize("memory", ["none", "random", "herding", "dsa", "joint"])
def test_the_same_seed_gives_the_same_run(growing: Stream, quick: Learning, tmp_path: Path, memory: str) -> None:
    learning = quick.model_copy(update={"kd": memory != "joint"})
    one, two = (
        learn_stream(growing, memory, budget(tmp_path / str(i), memory), learning, folder=tmp_path / f"run{i}")
        for i in range(2)
    )
    assert untimed(one) == untimed(two)
    identity = {key: one[key] for key in IDENTITY}
    identity["choices"] = scheme_class(learning.scheme, memory).describe(learning, "")  # without the memory's part
    first, second = (Checkpoint(tmp_path / f"run{i}" / STATE, 1, identity).restore() for i in range(2))
    assert first is not None
    assert second is not None
    for name in first:
        assert name.endswith(".seconds") or torch.equal(first[name], second[name]), name


def test_another_seed_gives_another_run(growing: Stream, quick: Learning, tmp_path: Path) -> None:
    one, two = (learn_stream(growing, "random", Budget(store=tmp_path), quick, seed=seed) for seed in (0, 1))
    assert one["correct"] != two["correct"]


def test_results_say_what_was_done(domains: Stream, quick: Learning, tmp_path: Path) -> None:
    result = learn_stream(domains, "herding", budget(tmp_path, "herding"), quick, folder=str(tmp_path / "run"))
    assert read_result(tmp_path / "run" / RESULTS).to_dict() == result.to_dict()
    assert result["choices"].startswith("eeil: all current data")
    assert result["learning"]["net"] == "convnet-w4-d1-relu-instance-avg"
    assert result["memory_kept"]["images"] == 18
    assert result["threads"] == torch.get_num_threads()
    assert [row[i] is not None for i, row in enumerate(result.matrix)] == [True] * 3
    assert result["correct"][0][1:] == [-1, -1]
    table = (tmp_path / "run" / "results.csv").read_text().splitlines()
    assert table[0] == "memory,kd,seed,stage,task,images,correct,accuracy"
    assert len(table) == 1 + 6
    for name in ("matrix.png", "memory.png"):
        assert (tmp_path / "run" / name).read_bytes().startswith(b"\x89PNG")


def test_a_result_shows_itself(growing: Stream, quick: Learning, tmp_path: Path) -> None:
    result = learn_stream(growing, "random", Budget(ipc=2, store=tmp_path), quick.model_copy(update={"kd": True}))
    assert dict(result) == {key: result[key] for key in result}
    assert result.matrix == result["matrix"]
    assert result.average == result["average"]
    assert result.forgetting == result["forgetting"]
    last = f"{100 * result.average[-1]:.1f} %"
    assert len(repr(result)) < 150
    assert all(part in repr(result) for part in ("random + KD", "tiny-3steps", last))
    html = result._repr_html_()
    assert html.count("<tr>") == 1 + 3
    assert all(f">{100 * value:.1f} %<" in html for row in result.matrix for value in row if value is not None)


def test_the_public_surface_is_there_without_a_command() -> None:
    for name in continual.__all__:
        assert name in dir(continual)
        assert callable(getattr(continual, name))
    assert len(inspect.signature(continual.learn_stream).parameters) <= 8
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = continual.nothing


def test_progress_is_called_for_every_training(growing: Stream, quick: Learning, tmp_path: Path) -> None:
    calls: list[tuple[float, int]] = []

    def note(done: float, total: int, loss: float | None = None) -> None:
        calls.append((done, total))

    learn_stream(growing, "none", Budget(store=tmp_path), quick, progress=note)
    assert calls == [(1, 2), (2, 2)] * 3


def test_silence_on_request(
    growing: Stream, quick: Learning, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learn_stream(growing, "random", Budget(ipc=2, store=tmp_path), quick, progress=False)
    assert capsys.readouterr() == ("", "")
    learn_stream(growing, "random", Budget(ipc=2, store=tmp_path), quick, progress=True)
    assert "tiny-step2: new" in capsys.readouterr().err


def test_memory_prevents_forgetting(tmp_path: Path) -> None:
    stream = load_stream(StreamChoice(steps=2, limit=100))
    learning = Learning(net="convnet-w16-d1", epochs=15, balance_epochs=15)
    results = {
        memory: learn_stream(stream, memory, Budget(store=tmp_path), learning) for memory in ("none", "random", "joint")
    }
    averages = {memory: result.average[-1] for memory, result in results.items()}
    assert averages["none"] < 0.6 < averages["random"] <= averages["joint"] + 0.05
    assert results["none"].forgetting > 0.5 > results["random"].forgetting


def test_the_estimate_counts_what_will_be_done(growing: Stream, quick: Learning, tmp_path: Path) -> None:
    def seconds(memory: str, **change: Any) -> tuple[float, float]:
        return estimate(make_scheme(growing, quick.model_copy(update=change), tmp_path, memory))

    condensing, learning = seconds("dsa")
    assert condensing > 0
    assert learning > 0
    learn_stream(growing, "random", Budget(ipc=2, store=tmp_path), quick)
    assert seconds("random")[0] == 0
    assert seconds("none")[0] == seconds("joint")[0] == 0
    assert seconds("random", scheme="gdumb")[1] > 0


def test_the_store_saves_the_estimate(growing: Stream, quick: Learning, tmp_path: Path) -> None:
    from continual.api import prepare
    from continual.trainer import Trainer

    def seconds() -> float:
        trainer = Trainer(growing, quick, session=Session(device="cpu"))
        return estimate(prepare(trainer, "dsa", budget(tmp_path, "dsa")))[0]

    assert seconds() > 0
    learn_stream(growing, "dsa", budget(tmp_path, "dsa"), quick)
    assert seconds() == 0


def test_svhn_in_torchvisions_format_goes_through(
    monkeypatch: pytest.MonkeyPatch, quick: Learning, tmp_path: Path
) -> None:
    from scipy.io import savemat

    from proxyset.data.vision import torchvision

    rng = np.random.default_rng(0)
    other: dict[str, Any] = {}
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
    result = learn_stream(stream, "dsa", budget(tmp_path, "dsa"), learning, folder=tmp_path / "run")
    assert result["memory_kept"]["images"] == 40
    assert result["stream"]["tasks"][0]["mean"] == (0.4377, 0.4438, 0.4728)
