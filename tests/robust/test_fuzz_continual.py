"""500 damaged results and 500 damaged states of a run: refused in one line, or read as they were."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from continual.api import StreamRun, learn_stream
from continual.folder import RESULTS, STATE
from continual.loading import split_classes
from continual.report import print_report
from continual.results import StreamResult, read_result
from continual.settings import Budget, Learning
from continual.trainer import Trainer
from proxyset.compute.session import Session
from proxyset.data.spec import Dataset
from proxyset.errors import InputError
from proxyset.tensors import read_tensors, seal, write_bytes
from tests.robust.fuzz import json_mutants, mutants, survives

COUNT = 500
LEARNING = Learning(net="convnet-w2-d1", epochs=1, balance_epochs=1, augment="none")


@pytest.fixture
def budget(tmp_path: Path) -> Budget:
    return Budget(ipc=1, store=tmp_path / "store")


@pytest.fixture
def trainer(make_dataset: Callable[..., Dataset]) -> Trainer:
    stream = split_classes(make_dataset(classes=4, counts=4), 2)
    return Trainer(stream, LEARNING, session=Session(device="cpu"))


@pytest.fixture
def folder(trainer: Trainer, budget: Budget, tmp_path: Path) -> Path:
    """Of a finished run."""
    learn_stream(trainer.stream, "random", budget, LEARNING, session=trainer.session, folder=tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def whole(folder: Path) -> StreamResult:
    return read_result(folder / RESULTS)


def test_damaged_results_are_refused(folder: Path, whole: StreamResult) -> None:
    path = folder / RESULTS
    text = path.read_bytes()

    def read(damaged: bytes) -> StreamResult:
        path.write_bytes(damaged)
        return read_result(path)

    def is_whole(result: StreamResult) -> bool:
        return result.to_dict() == whole.to_dict()

    half = COUNT // 2
    values = json.loads(text)
    assert survives(read, mutants(text, half, seed=1), is_whole)["refused"] > 0.9 * half
    texts = (mutant.encode() for mutant in json_mutants(values, half, seed=2))
    assert survives(read, texts, is_whole)["refused"] > 0.9 * half


def test_results_without_a_checksum_are_refused_or_can_be_reported(
    folder: Path, whole: StreamResult, capsys: pytest.CaptureFixture[str]
) -> None:
    """As older versions wrote them: values may have been changed, but what is read can be used."""
    path = folder / RESULTS

    def read(damaged: str) -> StreamResult:
        path.write_text(damaged)
        result = read_result(path)
        print_report([result])
        return result

    survives(read, json_mutants(whole.to_dict(), 100, seed=3), lambda result: True)


def test_damaged_states_are_refused(folder: Path, trainer: Trainer, budget: Budget) -> None:
    path = folder / STATE
    data = path.read_bytes()
    run = StreamRun(trainer, "random", budget)
    run.restore(folder)
    counts, weights = run.correct.clone(), snapshot(run)

    def read(damaged: bytes) -> StreamRun:
        path.write_bytes(damaged)
        run.restore(folder)
        return run

    def is_whole(run: StreamRun) -> bool:
        return torch.equal(run.correct, counts) and snapshot(run) == weights and run.finished == 2

    assert survives(read, mutants(data, COUNT, seed=4), is_whole)["refused"] > 0.95 * COUNT


def snapshot(run: StreamRun) -> dict[str, Any]:
    return {name: tensor.tolist() for name, tensor in run.scheme.state().items()}


@pytest.mark.parametrize(
    "change",
    [
        {"correct": torch.full((3, 3), -1)},
        {"correct": torch.full((2, 2), -1)},
        {"correct": torch.tensor([[5, -1], [999, 0]])},
        {"correct": torch.zeros(2, 2)},
        {"correct": None},
        {"memory.seconds": None},
        {"memory.seconds": torch.zeros(3)},
        {"memory.seconds": torch.tensor(float("nan"))},
        {"kept.0.images": None},
        {"kept.0.images": torch.zeros(1, 1, 8, 8)},
        {"kept.0.labels": torch.tensor([7, 9])},
        {"kept.1.labels": torch.tensor([0.0, 1.0])},
        {"net.classifier.parts.0.weight": torch.zeros(1)},
        {"net.classifier.parts.1.weight": None},
        {"net.classifier.parts.0.bias": torch.tensor([float("nan"), 0.0])},
    ],
    ids=lambda change: f"{next(iter(change))}",
)
def test_a_sealed_state_of_a_foreign_make_is_checked(
    change: dict[str, torch.Tensor | None], folder: Path, trainer: Trainer, budget: Budget
) -> None:
    path = folder / STATE
    state, metadata = read_tensors(path)
    changed = {name: tensor for name, tensor in (state | change).items() if tensor is not None}
    header = json.loads(metadata["checkpoint"])
    path.write_bytes(write_bytes(changed, seal(changed, header, "checkpoint")))
    with pytest.raises(InputError, match=r"state\.safetensors' does not fit"):
        StreamRun(trainer, "random", budget).restore(folder)
