"""What the tests of the methods share."""

from pathlib import Path
from typing import Any

import torch

from proxyset.checkpoint import Checkpoint
from proxyset.compute.plan import Engine
from proxyset.compute.session import Session
from proxyset.data.images import ImageSet
from proxyset.data.spec import Dataset
from proxyset.methods.base import Context, Method, Problem
from proxyset.methods.dsa import DC
from proxyset.methods.gradient_matching import GradientMatching
from proxyset.progress import Progress, silent

SMALL: dict[str, Any] = {"net": "convnet-w4-d1", "iterations": 2, "inner_steps": 2, "net_epochs": 1, "batch_real": 8}


def make_problem(data: Dataset, ipc: int = 2) -> Problem:
    return Problem(data.train, data.spec, ipc)


def make_context(seed: int = 0, progress: Progress = silent, checkpoint: Checkpoint | None = None) -> Context:
    """On the CPU, eager."""
    generator = torch.Generator().manual_seed(seed)
    return Context(generator, Session(device="cpu"), Engine(), progress, checkpoint)


def condense(
    method: Method,
    data: Dataset,
    ipc: int = 2,
    seed: int = 0,
    progress: Progress = silent,
    checkpoint: Checkpoint | None = None,
) -> ImageSet:
    return method.condense(make_problem(data, ipc), make_context(seed, progress, checkpoint))


def make_run(method: DC, data: Dataset, ipc: int) -> GradientMatching:
    """A condensation before its first step, with its first network."""
    run = method.start(make_problem(data, ipc), make_context())
    run.new_network()
    return run


def unfinished(path: Path, every: int = 1000) -> Checkpoint:
    """A checkpoint that nothing but the end writes."""
    return Checkpoint(path, every, {})
