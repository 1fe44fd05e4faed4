"""What is remembered of earlier tasks: a budget of stored images.

Those of a formation hold f×f tiles. They are kept as they are stored, and rehearsed as f² images of full size each.
"""

from typing import Any

import torch
from torch import nn

from continual.providers import Provider, first_of_each_class
from continual.settings import Budget
from continual.stream import Stream, Task
from proxyset.artefact.storage import stored_bytes
from proxyset.checkpoint import State
from proxyset.data.images import ImageSet, join
from proxyset.data.spec import normalise
from proxyset.errors import InputError
from proxyset.settings import KeepAs

PARTS = ("images", "labels", "targets")


class Memory:
    """The images kept of each task so far, within the budget.

    Attributes:
        provider: where they come from; None: nothing is remembered.
        kept: per task seen, with the task's own labels and, where the provider gives them, soft targets.
        seconds: spent on making them.
    """

    def __init__(self, stream: Stream, budget: Budget, provider: Provider | None) -> None:
        self.stream, self.budget, self.provider = stream, budget, provider
        self.kept: list[ImageSet] = []
        self.seconds = 0.0

    def quota(self, stage: int) -> int:
        """Images per class and task after `stage`."""
        return self.budget.quota(self.stream.slots(stage))

    def size(self, stage: int) -> int:
        """Images stored after `stage` (before the first: 0)."""
        if self.provider is None or stage < 0:
            return 0
        if not self.provider.bounded:
            return sum(len(task.data.train) for task in self.stream.tasks[: stage + 1])
        return self.stream.slots(stage) * self.quota(stage)

    def trained_on(self, stage: int) -> int:
        """Images that a network rehearses after `stage`: every tile is one."""
        return self.size(stage) * (self.provider.formation(self.stream.tasks[0]) ** 2 if self.provider else 1)

    def check(self) -> None:
        """Raise `InputError` for what would fail later, before any time is spent."""
        if self.provider is None:
            return
        last = len(self.stream.tasks) - 1
        if self.provider.bounded and self.quota(last) < 1:
            raise InputError(
                f"`budget={self.budget.budget}` is smaller than the {self.stream.slots(last)} classes to remember "
                f"(counted once per task)"
            )
        for stage, task in enumerate(self.stream.tasks):
            quota = self.quota(stage)
            try:
                self.provider.check(task, quota)
            except InputError as error:
                if self.budget.budget is None:
                    raise
                share = f"`budget={self.budget.budget}` ({quota} per class after task {stage + 1})"
                raise InputError(str(error).replace(f"`ipc={quota}`", share)) from None

    def add(self, stage: int, net: nn.Module | None = None) -> None:
        """Remember the task of `stage`; earlier tasks give up what the budget needs.

        Args:
            net: the network, where it has just learned the task from its full data.
        """
        if self.provider is None:
            return
        task, quota = self.stream.tasks[stage], self.quota(stage)
        images, seconds = self.provider.supply(task, quota, net)
        self.seconds += seconds
        if self.provider.bounded:
            classes = [len(task.classes) for task in self.stream.tasks]
            self.kept = [first_of_each_class(data, classes[i], quota) for i, data in enumerate(self.kept)]
        self.kept.append(images)

    def estimate(self, finished: int = 0) -> float:
        """Seconds that making it takes after `finished` tasks, judged by the first that is still to be condensed."""
        if self.provider is None:
            return 0.0
        for stage, task in list(enumerate(self.stream.tasks))[finished:]:
            seconds = self.provider.estimate(task, self.quota(stage))
            if seconds > 0:
                return seconds * (len(self.stream.tasks) - stage)
        return 0.0

    def rehearsal(self, classes: int, since: int = 0, until: int | None = None) -> ImageSet:
        """What is kept of the tasks since..until − 1, normalised task by task, with the labels of the stream.

        Args:
            classes: of the stream seen so far: the columns of the targets, where any of the images have some.
        """
        pairs = zip(self.stream.tasks[since:until], self.kept[since:until], strict=False)  # later tasks have none yet
        return join([rehearsed(task, data, classes) for task, data in pairs], classes)

    def settings(self) -> dict[str, Any]:
        """The settings that it is made with."""
        return self.provider.settings(self.stream.tasks[0], self.quota(0)) if self.provider else {}

    def report(self) -> dict[str, Any]:
        """Stored images, images that are trained on, bytes, seconds spent on making them.

        A pixel takes a byte; a learned value, or a target, as many as in the file that it is from: four in one that is
        made here.
        """
        return {
            "images": sum(len(data) for data in self.kept),
            "training_images": sum(data.trained_on for data in self.kept),
            "bytes": sum(stored_bytes(data, self._keep_as(place)) for place, data in enumerate(self.kept)),
            "soft_targets": any(data.targets is not None for data in self.kept),
            "seconds": round(self.seconds, 3),
        }

    def _keep_as(self, place: int) -> KeepAs:
        if self.provider is None or self.kept[place].images.dtype == torch.uint8:
            return "float32"  # pixels stay what they are
        return self.provider.keep_as(self.stream.tasks[place])

    def state(self) -> State:
        """Everything that later stages depend on; images that the stream has anyway are left out."""
        seconds = {"memory.seconds": torch.tensor(self.seconds, dtype=torch.float64)}
        if self.provider is None or not self.provider.bounded:
            return seconds
        kept = {f"kept.{i}.{part}": getattr(data, part) for i, data in enumerate(self.kept) for part in PARTS}
        kept |= {f"kept.{i}.formation": _formation(data) for i, data in enumerate(self.kept)}
        return {name: tensor for name, tensor in kept.items() if tensor is not None} | seconds

    def set_state(self, saved: State, stages: int) -> None:
        """Go on after `stages` finished stages.

        Raises:
            KeyError, ValueError, RuntimeError: it is not the state of such a memory.
        """
        self.seconds = float(saved["memory.seconds"].item())
        if self.seconds < 0:
            raise ValueError("negative seconds")
        if self.provider is None:
            self.kept = []
        elif not self.provider.bounded:
            self.kept = [task.data.train for task in self.stream.tasks[:stages]]
        else:
            self.kept = [self._restored(saved, place, self.quota(stages - 1)) for place in range(stages)]

    def _restored(self, saved: State, place: int, quota: int) -> ImageSet:
        """The images of one task: so many of each class, in the order of the classes."""
        images, labels = saved[f"kept.{place}.images"], saved[f"kept.{place}.labels"]
        spec = self.stream.tasks[place].data.spec
        if not torch.equal(labels, torch.arange(spec.classes).repeat_interleave(quota)):
            raise ValueError(f"memory {place + 1} has other labels")
        if images.shape != (len(labels), spec.channels, spec.size, spec.size):
            raise ValueError(f"memory {place + 1} has images of the shape {tuple(images.shape)}")
        formation = int(saved.get(f"kept.{place}.formation", torch.tensor(1)).item())
        if self.provider is None or formation != self.provider.formation(self.stream.tasks[place]):
            raise ValueError(f"memory {place + 1} has the formation {formation}")
        return ImageSet(images, labels, saved.get(f"kept.{place}.targets"), formation)


def _formation(data: ImageSet) -> torch.Tensor | None:
    """As a state has it, which leaves out that there are no tiles."""
    return torch.tensor(data.formation) if data.formation > 1 else None


def rehearsed(task: Task, data: ImageSet, classes: int) -> ImageSet:
    """Images of a task as they are trained on: tiles at full size, normalised by the task's own mean and std, labelled
    in the stream.
    """
    labelled = task.labelled(data.unfold(), classes)
    return ImageSet(normalise(labelled.images, task.data.spec), labelled.labels, labelled.targets)
