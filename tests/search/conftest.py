"""What the search's tests share: a small context of trials, and one local Ray for all that need one."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from proxyset.data import Dataset
from proxyset.nets import Arch
from proxyset.ray_environment import prepare_ray
from search.settings import Schedule
from search.space import Candidate
from search.trial import Context, Source, pack

ARCHS = (
    Arch(4, 1, "none", "relu", "none"),
    Arch(4, 2, "batch", "leakyrelu", "max"),
    Arch(8, 1, "layer", "relu", "avg"),
)


@pytest.fixture
def context(make_dataset: Callable[..., Dataset]) -> Context:
    """Three small ConvNets, and one source of every kind, over 8×8 images of three classes."""
    return make_context(make_dataset(counts=12))


def make_context(dataset: Dataset, candidates: tuple[Candidate, ...] = (), **schedule: int) -> Context:
    proxy = dataset.train[torch.cat([index[:2] for index in dataset.train.indices_by_class(3)])]
    sources = (
        Source("random", "proxy", 6),
        Source("early-stop", "early-stop", 36, batch=6, batches=1),
        Source("params", "params"),
        Source("jacobian", "jacobian", 36),
        Source("whole-again", "whole", 36),
        Source("whole", "whole", 36),
    )
    candidates = candidates or tuple(Candidate(str(arch), arch) for arch in ARCHS)
    return Context(
        dataset.spec,
        Schedule(**({"epochs": 6, "whole_epochs": 2, "batch_size": 8} | schedule)),
        0,
        {"random": pack(proxy), "train": pack(dataset.train), "test": pack(dataset.test)},
        {source.name: source for source in sources},
        {candidate.name: candidate for candidate in candidates},
    )


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """One Ray for the session; `run_trials` uses the one that runs in its process."""
    prepare_ray()
    import ray

    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 * 2**20)
    yield
    ray.shutdown()


@pytest.fixture
def images(make_dataset: Callable[..., Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small dataset as a file, in a working folder of its own."""
    dataset = make_dataset(counts=12)
    arrays = {"x_train": dataset.train.images, "y_train": dataset.train.labels}
    arrays |= {"x_test": dataset.test.images, "y_test": dataset.test.labels}
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "tiny.npz", **{name: value.numpy() for name, value in arrays.items()})
    return Path("tiny.npz")


SMALL = "--where width<=32,depth<=2 --sample 4 --ipc 2 --epochs 2 --whole-epochs 1 --iterations 1 --condense-net mlp"
"""Flags that make a search short."""
