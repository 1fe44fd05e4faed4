"""What is remembered of earlier tasks: a budget of images."""

from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import nn

from continual.sources import JOINT, Source, head
from continual.stream import Stream
from proxyset.checkpoint import State
from proxyset.data import ImageSet, normalise
from proxyset.settings import InputError, Settings


class Budget(Settings):
    """How much is remembered, and with which settings it is made."""

    ipc: int = Field(10, ge=1, description="images kept per class of every task seen (paper: 10)")
    budget: int | None = Field(
        None,
        ge=1,
        description="in place of --ipc: images in total, shared out equally over the classes of the tasks seen so far; "
        "as they grow in number, each keeps the head of its ranked list",
    )
    memory_settings: tuple[str, ...] = Field(
        (), description="settings of the memory's method, such as iterations=100 distance=cosine"
    )
    store: Path = Field(Path("proxysets"), description="where condensed memories are kept, to be used again")

    def quota(self, stream: Stream, stage: int) -> int:
        """Images per class and task after `stage`."""
        return self.ipc if self.budget is None else self.budget // stream.cells(stage)


class Memory:
    """The images kept of each task so far, within the budget."""

    def __init__(self, stream: Stream, budget: Budget, source: Source | None) -> None:
        self.stream, self.budget, self.source = stream, budget, source
        self.kept: list[ImageSet] = []  # per task seen, with the task's own labels
        self.seconds = 0.0

    def check(self) -> None:
        """Raise `InputError` for what would fail later, before any time is spent."""
        last = len(self.stream.tasks) - 1
        if self.source is not None and self.source.name != JOINT and self.budget.quota(self.stream, last) < 1:
            raise InputError(
                f"--budget {self.budget.budget} is smaller than the {self.stream.cells(last)} classes to remember "
                f"(counted once per task)"
            )
        for stage, task in enumerate(self.stream.tasks):
            if self.source is not None:
                self.source.check(task, self.budget.quota(self.stream, stage))

    def add(self, stage: int, net: nn.Module | None = None) -> None:
        """Remember the task of `stage`; earlier tasks give up what the budget needs."""
        if self.source is None:
            return
        task, quota = self.stream.tasks[stage], self.budget.quota(self.stream, stage)
        images, seconds = self.source.take(task, quota, net)
        self.seconds += seconds
        if self.source.name != JOINT:
            self.kept = [head(kept, self.stream.tasks[i], quota) for i, kept in enumerate(self.kept)]
        self.kept.append(images)

    def estimate(self) -> float:
        """Seconds that making it will take, judged by the first task that has still to be condensed."""
        if self.source is None:
            return 0.0
        for stage, task in enumerate(self.stream.tasks):
            seconds = self.source.estimate(task, self.budget.quota(self.stream, stage))
            if seconds > 0:
                return seconds * (len(self.stream.tasks) - stage)
        return 0.0

    def rehearsal(self, since: int = 0, until: int | None = None) -> ImageSet:
        """What is kept of the tasks since..until − 1, normalised task by task, with the labels of the stream."""
        tasks, kept = self.stream.tasks[since:until], self.kept[since:until]
        pairs = list(zip(tasks, kept, strict=False))  # tasks to come have nothing yet
        images = [normalise(data.images, task.data.spec) for task, data in pairs]
        labels = [task.relabel(data.labels) for task, data in pairs]
        return ImageSet(torch.cat(images), torch.cat(labels))

    def settings(self) -> dict[str, Any]:
        """The settings that it is made with."""
        return self.source.settings(self.stream.tasks[0], self.budget.quota(self.stream, 0)) if self.source else {}

    def report(self) -> dict[str, int | float]:
        """Images, their bytes (real pixels take one per value, synthetic ones four), seconds spent on making them."""
        return {
            "images": sum(len(kept) for kept in self.kept),
            "bytes": sum(kept.images.numel() * kept.images.element_size() for kept in self.kept),
            "seconds": round(self.seconds, 3),
        }

    def state(self) -> State:
        if self.source is not None and self.source.name == JOINT:
            return {"memory.seconds": torch.zeros((), dtype=torch.float64)}  # the data is where it was
        kept = {
            f"kept.{i}.{part}": getattr(data, part) for i, data in enumerate(self.kept) for part in ("images", "labels")
        }
        return kept | {"memory.seconds": torch.tensor(self.seconds, dtype=torch.float64)}

    def set_state(self, saved: State, stages: int) -> None:
        self.seconds = saved["memory.seconds"].item()
        if self.source is None:
            self.kept = []
        elif self.source.name == JOINT:
            self.kept = [task.data.train for task in self.stream.tasks[:stages]]
        else:
            self.kept = [ImageSet(saved[f"kept.{i}.images"], saved[f"kept.{i}.labels"]) for i in range(stages)]
