"""What the search's tests share: a small context of trials."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from proxyset.data.spec import Dataset
from proxyset.nets.arch import Arch
from search.settings import RankingSettings
from search.sources.free import JacobianCovariance, ParameterCount
from search.sources.trained import EarlyStop, ProxySource, WholeSet
from search.space import Candidate
from search.trial import TrialContext, pack

ARCHS = (
    Arch(4, 1, "none", "relu", "none"),
    Arch(4, 2, "batch", "leakyrelu", "max"),
    Arch(8, 1, "layer", "relu", "avg"),
)


@pytest.fixture
def context(make_dataset: Callable[..., Dataset]) -> TrialContext:
    """Three small ConvNets, and one source of every kind, over 8×8 images of three classes."""
    return make_context(make_dataset(counts=12))


def make_context(dataset: Dataset, candidates: tuple[Candidate, ...] = (), **settings: Any) -> TrialContext:
    proxy = dataset.train[torch.cat([index[:2] for index in dataset.train.indices_by_class(3)])]
    sources = (
        ProxySource("random", 6),
        EarlyStop("early-stop", 36, whole=36, batch=6, batches=1),
        ParameterCount("params"),
        JacobianCovariance("jacobian", 36),
        WholeSet("whole-again", 36),
        WholeSet("whole", 36),
    )
    candidates = candidates or tuple(Candidate(str(arch), arch) for arch in ARCHS)
    return TrialContext(
        dataset.spec,
        RankingSettings(**({"epochs": 6, "whole_epochs": 2, "batch_size": 8} | settings)),
        {"random": pack(proxy), "train": pack(dataset.train), "test": pack(dataset.test)},
        {source.name: source for source in sources},
        {candidate.name: candidate for candidate in candidates},
    )


@pytest.fixture
def images(make_dataset: Callable[..., Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small dataset as a file, in a working folder of its own."""
    monkeypatch.chdir(tmp_path)
    return save_images(make_dataset(counts=12), tmp_path / "tiny.npz").relative_to(tmp_path)


def save_images(dataset: Dataset, path: Path) -> Path:
    """A dataset as an npz file."""
    arrays = {"x_train": dataset.train.images, "y_train": dataset.train.labels}
    arrays |= {"x_test": dataset.test.images, "y_test": dataset.test.labels}
    np.savez(path, allow_pickle=False, **{name: value.numpy() for name, value in arrays.items()})
    return path


SMALL = "--where width<=32,depth<=2 --sample 4 --ipc 2 --epochs 2 --whole-epochs 1 --iterations 1 --condense-net mlp"
"""Flags that make a search short."""
