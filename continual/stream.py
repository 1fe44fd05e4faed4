"""What is learned and in which order: tasks, and the streams that they make."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from continual.settings import StreamChoice
from proxyset.data.advice import no_test_images
from proxyset.data.images import ImageSet
from proxyset.data.load import load
from proxyset.data.spec import Dataset
from proxyset.errors import InputError
from proxyset.progress import Progress
from proxyset.seeds import make_generator

LOG = logging.getLogger("continual")


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


def load_stream(
    choice: StreamChoice | None = None,
    *,
    data_root: Path | str = "data",
    seed: int = 0,
    progress: Progress | bool | None = False,
) -> Stream:
    """The stream that the settings name (default: the embedded digits in five steps).

    Args:
        seed: 0 to 2³² − 1; orders the classes.
        progress: see `proxyset.progress.shown`; for images that take long to decode.

    Raises:
        InputError: no such data, tasks that do not share their classes, more steps than classes.
    """
    choice = choice or StreamChoice()

    def read(name: str, **form: Any) -> Dataset:
        return load(name, data_root=data_root, progress=progress, **choice.form() | form)

    if not choice.tasks:
        datasets = [read(choice.dataset)]
        stream = split_classes(datasets[0], choice.steps, seed=seed, limit=choice.limit)
    else:
        datasets = _in_one_shape([read(name) for name in choice.tasks], choice, read)
        stream = join_domains(datasets, limit=choice.limit)
    return replace(stream, reading=tuple(dataset.reading for dataset in datasets if dataset.reading))


def _in_one_shape(datasets: list[Dataset], choice: StreamChoice, read: Callable[..., Dataset]) -> list[Dataset]:
    """All in the largest size and channel count among them, or in those that the settings name."""
    size = choice.size or max(dataset.spec.size for dataset in datasets)
    channels = choice.channels or max(dataset.spec.channels for dataset in datasets)
    return [
        dataset
        if (dataset.spec.size, dataset.spec.channels) == (size, channels)
        else read(name, size=size, channels=channels)
        for name, dataset in zip(choice.tasks, datasets, strict=True)
    ]


def join_domains(datasets: Sequence[Dataset], *, limit: int | None = None) -> Stream:
    """Datasets that share one label set, learned one after another with one head; each keeps its own normalisation.

    Raises:
        InputError: their classes differ.
    """
    names = [dataset.spec.name for dataset in datasets]
    _check_limit(limit, datasets)
    for dataset in datasets[1:]:
        _check_shared(datasets[0], dataset)
    labels = tuple(range(datasets[0].spec.classes))
    tasks = tuple(Task(dataset.spec.name, _limited(dataset, limit), labels) for dataset in datasets)
    return Stream("-".join(names), tasks, tuple(_bare(name) for name in datasets[0].spec.class_names))


def _check_shared(first: Dataset, other: Dataset) -> None:
    one, two = (tuple(_bare(name) for name in dataset.spec.class_names) for dataset in (first, other))
    if one != two:
        raise InputError(
            f"{first.spec.name} and {other.spec.name} do not share their classes ({_few(one)} and {_few(two)}): "
            "`tasks` names datasets with one label set; `dataset` with `steps` splits one dataset by class"
        )


def _bare(class_name: str) -> str:
    """A class name without what some sets add to it: torchvision's MNIST has '7 - seven' where others have '7'."""
    return class_name.split(" - ")[0].strip().lower()


def _few(names: tuple[str, ...]) -> str:
    return f"{len(names)}: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"


def split_classes(dataset: Dataset, steps: int, *, seed: int = 0, limit: int | None = None) -> Stream:
    """One dataset split by class into steps of equal size (the first ones get one class more where it does not fit).

    The order of the classes is `np.random.RandomState(seed).permutation(classes)`, which for CIFAR-100 and seeds 0 to 4
    gives the field's orders (Zhao & Bilen, "Dataset condensation with distribution matching", its public code).

    Raises:
        InputError: more steps than classes, or a seed that numpy's generator does not take.
    """
    spec = dataset.spec
    if not 0 <= seed < 2**32:
        raise InputError(f"`seed` must be 0 to {2**32 - 1}, got {seed}")
    if not 2 <= steps <= spec.classes:
        raise InputError(f"{spec.name} has {spec.classes} classes: `steps` must be 2 to {spec.classes}, got {steps}")
    if dataset.train.targets is not None:
        LOG.warning("%s: its soft targets cover classes of later steps, so only its labels are used", spec.name)
    order = np.random.RandomState(seed).permutation(spec.classes).tolist()
    places = [tuple(part.tolist()) for part in np.array_split(np.arange(spec.classes), steps)]
    parts = [_restricted(dataset, [order[label] for label in labels]) for labels in places]
    _check_limit(limit, parts)
    tasks = tuple(
        Task(f"{spec.name}-step{step + 1}", _limited(part, limit), labels)
        for step, (part, labels) in enumerate(zip(parts, places, strict=True))
    )
    return Stream(f"{spec.name}-{steps}steps", tasks, tuple(spec.class_names[label] for label in order))


def _restricted(dataset: Dataset, labels: list[int]) -> Dataset:
    """The part of a dataset that has one of `labels`, labelled from 0 on in the order of `labels`; no soft targets."""
    local = torch.full((dataset.spec.classes,), -1)
    local[torch.tensor(labels)] = torch.arange(len(labels))

    def restrict(part: ImageSet) -> ImageSet:
        index = (local[part.labels] >= 0).nonzero().flatten()
        return ImageSet(part.images[index], local[part.labels[index]])

    spec = replace(dataset.spec, class_names=tuple(dataset.spec.class_names[label] for label in labels))
    source = dataset.source | {"classes": " ".join(map(str, labels))}
    return Dataset(restrict(dataset.train), restrict(dataset.test), spec, source)


def _check_limit(limit: int | None, parts: Sequence[Dataset]) -> None:
    """Raise `InputError` for a limit that limits nothing."""
    largest = max(len(part.train) for part in parts)
    if limit is not None and limit > largest:
        raise InputError(f"`limit={limit}` is more than any task has: the largest has {largest} training images")


def _limited(dataset: Dataset, limit: int | None) -> Dataset:
    if limit is None:
        return dataset
    classes = dataset.spec.classes
    if limit < classes:
        raise InputError(f"`limit={limit}` is smaller than the {classes} classes of {dataset.spec.name}")
    generator = make_generator(0, "limit")  # not the run's seed: every seed learns from the same images
    picked = [
        index[torch.randperm(len(index), generator=generator)[: limit // classes]]
        for index in dataset.train.indices_by_class(classes)
    ]
    train = dataset.train[torch.cat(picked).sort().values]
    return replace(dataset, train=train, source=dataset.source | {"limit": limit})
