"""Reservoir sampling: a uniform draw from everything seen so far, whatever its class (Vitter 1985)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from continual.providers import Provider
from continual.settings import RESERVOIR
from continual.stream import Stream, Task
from proxyset.data.images import ImageSet
from proxyset.errors import InputError
from proxyset.seeds import make_generator


@dataclass(frozen=True)
class Reservoir(Provider):
    """Every image of the stream draws a number when it is seen; those with the largest ones are kept.

    That is a uniform draw without replacement from all images so far, which is what reservoir sampling gives. Classes
    and tasks with more images have more of them in memory. Its quota is the number of images in all.
    """

    stream: Stream
    seed: int
    name: ClassVar[str] = RESERVOIR  # type: ignore[misc]
    balanced: ClassVar[bool] = False

    def has_targets(self, task: Task) -> bool:
        return task.data.train.targets is not None

    def bytes_each(self, task: Task) -> int:
        targets = len(task.classes) * torch.float32.itemsize if self.has_targets(task) else 0
        return super().bytes_each(task) + targets

    def check(self, task: Task, ipc: int) -> None:
        stage = self.stream.stage_of(task)
        there = self.most(self.stream.tasks[: stage + 1])
        if ipc > there:
            raise InputError(f"a reservoir of {ipc} images has more than the {there} of all tasks: fewer per class")

    def most(self, tasks: Sequence[Task]) -> int:
        """Until the reservoir is full it holds what has been seen."""
        return sum(len(task.data.train) for task in tasks)

    def supply(self, task: Task, ipc: int, net: nn.Module | None) -> tuple[ImageSet, float]:
        return task.data.train[self._drawn(self.stream.stage_of(task)).argsort(descending=True)[:ipc]], 0.0

    def keep(self, stream: Stream, kept: list[ImageSet], quota: int) -> list[torch.Tensor]:
        numbers = [self._drawn(stage).sort(descending=True).values[: len(data)] for stage, data in enumerate(kept)]
        owner = torch.cat([torch.full((len(part),), stage) for stage, part in enumerate(numbers)])
        first = torch.cat(numbers).argsort(descending=True, stable=True)[:quota]
        counts = owner[first].bincount(minlength=len(kept)).tolist()
        return [torch.arange(count) for count in counts]

    def _drawn(self, stage: int) -> torch.Tensor:
        """The numbers of a task's images, in the order of its training set."""
        generator = make_generator(self.seed, RESERVOIR, stage)
        return torch.rand(len(self.stream.tasks[stage].data.train), generator=generator, dtype=torch.float64)
