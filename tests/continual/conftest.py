"""Streams small enough to learn in a second, and a method that gives soft targets."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from continual.api import learn_stream, prepare
from continual.loading import join_domains, split_classes
from continual.results import StreamResult
from continual.schemes.base import Scheme
from continual.settings import Budget, Learning
from continual.stream import Stream
from continual.trainer import Phase, Trainer
from proxyset.compute.session import Session
from proxyset.data.images import ImageSet
from proxyset.data.spec import Dataset, DatasetSpec, normalise
from proxyset.methods.base import Context, Method, Problem
from proxyset.nets.classifier import Classifier

QUICK = Learning(
    net="convnet-w4-d1", epochs=2, lr_every=1, balance_epochs=2, batch_size=16, augment="crop", gdumb_epochs=3
)
FEW = ("iterations=2", "net_epochs=1", "inner_steps=2", "batch_real=4")  # settings of dc and dsa


class Soft(Method):
    """The mean of each class, plus noise, with soft targets: a method as a user writes it."""

    name: ClassVar[str] = "soft"

    share: float = 0.8

    def condense(self, problem: Problem, context: Context) -> ImageSet:
        real, classes = normalise(problem.real.images, problem.spec), problem.spec.classes
        means = torch.stack([real[index].mean(0) for index in problem.classes])[problem.labels]
        noise = torch.randn(means.shape, generator=context.generator)
        rest = (1 - self.share) / (classes - 1)
        targets = torch.full((len(means), classes), rest)
        targets[torch.arange(len(means)), problem.labels] = self.share
        return ImageSet(means + 0.1 * noise, problem.labels, targets)


SOFT = f"{__name__}:Soft"


@pytest.fixture
def quick() -> Learning:
    return QUICK


@pytest.fixture
def growing(make_dataset: Callable[..., Dataset]) -> Stream:
    """Six classes in three steps."""
    return split_classes(make_dataset(classes=6, counts=10, flip=False), 3, seed=0)


@pytest.fixture
def domains(make_dataset: Callable[..., Dataset]) -> Stream:
    """Three datasets with the same three classes, each with its own normalisation."""
    datasets = [renamed(make_dataset(seed=seed), f"set{seed}", mean=0.3 + seed / 10) for seed in range(3)]
    return join_domains(datasets)


def renamed(dataset: Dataset, name: str, mean: float = 0.5, class_names: tuple[str, ...] | None = None) -> Dataset:
    spec = dataset.spec
    spec = DatasetSpec(
        name, spec.channels, spec.size, class_names or spec.class_names, (mean,) * spec.channels, spec.std, spec.flip
    )
    return Dataset(dataset.train, dataset.test, spec, dataset.source | {"source": name})


def make_scheme(
    stream: Stream, learning: Learning, store: Path, memory: str | Method = "random", **compute: Any
) -> Scheme:
    """A scheme with a memory of two images per class."""
    trainer = Trainer(stream, learning, session=Session(device="cpu", **compute))
    return prepare(trainer, memory, Budget(ipc=2, store=store))


def untimed(result: StreamResult) -> dict[str, Any]:
    """A result without what a clock wrote."""
    values = result.to_dict()
    kept = {key: value for key, value in values["memory_kept"].items() if key != "seconds"}
    costs = [{key: value for key, value in cost.items() if key != "seconds"} for cost in values["per_task"]]
    rest = {key: value for key, value in values.items() if key not in ("seconds", "created")}
    return rest | {"memory_kept": kept, "per_task": costs}


def stopped_and_resumed(
    stream: Stream, memory: str | Method, budget: Budget, learning: Learning, folder: Path
) -> StreamResult:
    """A run that was interrupted after the training of its third stage, and went on."""
    test = Trainer.test

    def interrupted(self: Trainer, net: Classifier, stage: int) -> Tensor:
        if stage == 2:
            raise KeyboardInterrupt
        return test(self, net, stage)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "test", interrupted)
        with pytest.raises(KeyboardInterrupt):
            learn_stream(stream, memory, budget, learning, folder=folder)
    return learn_stream(stream, memory, budget, learning, folder=folder)


def watch_trainings(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ImageSet]]:
    """What is trained on from now on, and how it is called."""
    seen = []
    original = Trainer.train

    def watched(self: Trainer, net: Classifier, data: ImageSet, phase: Phase) -> None:
        seen.append((f"{phase.stage} {phase.name}", data))
        original(self, net, data, phase)

    monkeypatch.setattr(Trainer, "train", watched)
    return seen


def watch_epochs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images an epoch of every training takes from now on. Nothing is trained."""
    seen = []

    def watched(self: Trainer, net: Classifier, data: ImageSet, phase: Phase) -> None:
        batches = phase.order(torch.Generator()) if phase.order else [data.labels]
        seen.append(sum(map(len, batches)))

    monkeypatch.setattr(Trainer, "train", watched)
    return seen
