"""Streams small enough to learn in a second."""

from collections.abc import Callable

import pytest

from continual.recipe import Learning
from continual.stream import Stream, join_domains, split_classes
from proxyset.data import Dataset, DatasetSpec

QUICK = Learning(
    net="convnet-w4-d1", epochs=2, lr_every=1, balance_epochs=2, batch_size=16, augment="crop", gdumb_epochs=3
)


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
