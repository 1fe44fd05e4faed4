"""What is learned and in which order: tasks, and the streams that they make. `loading.py` makes the usual ones."""

from dataclasses import dataclass

import torch
from torch import Tensor

from proxyset.data.advice import no_test_images
from proxyset.data.images import ImageSet
from proxyset.data.spec import Dataset
from proxyset.errors import InputError


@dataclass(frozen=True)
class Task:
    """One task: its own data, labelled from 0 on, and the label in the stream of each of these labels.

    Its images are normalised by its own `data.spec`.
    """

    name: str
    data: Dataset
    classes: tuple[int, ...]

    def relabel(self, labels: Tensor) -> Tensor:
        """Labels of the task (N int64) as labels of the stream."""
        return torch.tensor(self.classes, device=labels.device)[labels]

    def labelled(self, data: ImageSet, seen: int) -> ImageSet:
        """Some of the task's images with their labels in the stream.

        Args:
            seen: classes of the stream seen so far. Soft targets (N × the task's classes) get so many columns: 0 for
                every class that is not the task's.

        Raises:
            InputError: targets of another number of classes than the task's.
        """
        labels = self.relabel(data.labels)
        if data.targets is None:
            return ImageSet(data.images, labels)
        if data.targets.shape[1] != len(self.classes):
            raise InputError(
                f"the soft targets for {self.name} have {data.targets.shape[1]} classes, the task {len(self.classes)}"
            )
        targets = data.targets.new_zeros(len(data), seen)
        targets[:, list(self.classes)] = data.targets
        return ImageSet(data.images, labels, targets)


@dataclass(frozen=True)
class Stream:
    """Tasks in order, of one image size and channel count; `class_names` are in order of the stream's labels.

    The head has one logit per class seen so far. Tasks may share classes (domain-incremental), or bring new ones
    (class-incremental), which take the next labels.

    Attributes:
        reading: what was done to the images when they were read, a line for each dataset of which there is something
            to say.

    Raises:
        InputError: tasks that cannot be learned one after another by one network.
    """

    name: str
    tasks: tuple[Task, ...]
    class_names: tuple[str, ...]
    reading: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.tasks) < 2:
            raise InputError(f"a stream needs at least two tasks, got {len(self.tasks)}")
        names = [task.name for task in self.tasks]
        if len(set(names)) < len(names):
            raise InputError(f"the stream's tasks must have different names, got {', '.join(names)}")
        shapes = {(task.data.spec.channels, task.data.spec.size) for task in self.tasks}
        if len(shapes) > 1:
            raise InputError("the stream's tasks differ in size or channels: `size` and `channels` bring them to one")
        for stage, task in enumerate(self.tasks):
            self._check_task(stage, task)
        if self.seen(len(self.tasks) - 1) != len(self.class_names):
            raise InputError(f"the stream names {len(self.class_names)} classes, its tasks have others")

    def _check_task(self, stage: int, task: Task) -> None:
        if len(task.classes) != task.data.spec.classes:
            raise InputError(f"task {task.name} has {task.data.spec.classes} classes, labelled {task.classes}")
        new = sorted(set(task.classes) - set(range(self.seen(stage - 1))))
        if new != list(range(self.seen(stage - 1), self.seen(stage))):
            raise InputError(f"task {task.name}: its new classes must take the next labels, got {task.classes}")
        if not len(task.data.test):
            raise no_test_images(f"task {task.name}", task.data.source)

    def seen(self, stage: int) -> int:
        """Classes seen up to and with `stage` (from 0), which is the number of logits then."""
        return max((max(task.classes) + 1 for task in self.tasks[: stage + 1]), default=0)

    def new_classes(self) -> list[int]:
        """How many classes each task brings that no earlier one had."""
        return [self.seen(stage) - self.seen(stage - 1) for stage in range(len(self.tasks))]

    def slots(self, stage: int) -> int:
        """Classes of the tasks up to and with `stage`, counted once per task: what a memory has to hold."""
        return sum(len(task.classes) for task in self.tasks[: stage + 1])

    def stage_of(self, task: Task) -> int:
        """The stage, from 0, that learns a task."""
        return [each.name for each in self.tasks].index(task.name)

    @property
    def grows(self) -> bool:
        """Whether the head grows: class-incremental, as against domain-incremental."""
        return self.seen(0) < len(self.class_names)

    @property
    def kind(self) -> str:
        return "class-incremental" if self.grows else "domain-incremental"

    def describe(self) -> dict[str, object]:
        """What the stream is, for results: its content hashes say which data exactly."""
        tasks = [
            {
                "name": task.name,
                "classes": [self.class_names[label] for label in task.classes],
                "train": len(task.data.train),
                "test": len(task.data.test),
                "sha256": task.data.sha256,
                "test_sha256": task.data.test_sha256,
                "mean": task.data.spec.mean,
                "std": task.data.spec.std,
            }
            for task in self.tasks
        ]
        spec = self.tasks[0].data.spec
        kind = f"{self.kind}, {'growing head' if self.grows else 'one shared head'}"
        return {"name": self.name, "kind": kind, "channels": spec.channels, "size": spec.size, "tasks": tasks}

    def __repr__(self) -> str:
        tasks = ", ".join(task.name for task in self.tasks)
        return f"Stream({self.name}: {self.kind}, {len(self.class_names)} classes, tasks {tasks})"
