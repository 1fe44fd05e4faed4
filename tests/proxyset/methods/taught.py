"""What the tests of teachers share."""

from pathlib import Path

import torch
from torch import Tensor

from proxyset.compute.plan import Engine
from proxyset.compute.session import Session
from proxyset.methods.base import Context
from proxyset.methods.coreset import Random
from proxyset.progress import Progress, silent

NET = "convnet-w4-d1"
SOFT = Random(targets="teacher", teacher_net=NET, teacher_epochs=4)


def context(keep: Path | None = None, progress: Progress = silent) -> Context:
    return Context(torch.Generator().manual_seed(0), Session(device="cpu"), Engine(), progress, keep=keep)


class Parts:
    """A progress that shows parts, and stops at some point of some part."""

    def __init__(self, stop: tuple[str, float] | None = None) -> None:
        self.stop, self.seen = stop, list[tuple[str, float, int]]()

    def __call__(self, done: float, total: int, loss: float | None = None) -> None:
        self.note("work", done, total)

    def part(self, title: str) -> Progress:
        return lambda done, total, loss=None: self.note(title, done, total)

    def note(self, title: str, done: float, total: int) -> None:
        self.seen.append((title, done, total))
        if self.stop is not None and title.startswith(self.stop[0]) and done >= self.stop[1]:
            raise KeyboardInterrupt


def same(first: list[dict[str, Tensor]], second: list[dict[str, Tensor]]) -> bool:
    return len(first) == len(second) and all(
        torch.equal(tensor, b[name]) for a, b in zip(first, second, strict=True) for name, tensor in a.items()
    )
