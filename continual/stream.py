"""What is learned and in which order: tasks, and the streams that they make."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from proxyset.config import DataChoice
from proxyset.data import Dataset, ImageSet, load
from proxyset.seeds import make_generator
from proxyset.settings import InputError


class StreamChoice(DataChoice):
    """Which stream: `tasks` names several datasets with one label set, otherwise `dataset` is split into `steps`."""

    tasks: tuple[str, ...] = Field(
        (), description="domain-incremental: datasets (names or paths) that share their classes, in this order"
    )
    steps: int = Field(5, ge=2, description="class-incremental: how many steps --dataset is split into by class")
    limit: int | None = Field(
        None, ge=1, description="training images per task, the same number of every class and the same for every seed"
    )


@dataclass(frozen=True)
class Task:
    """One task: its own data, labelled from 0 on, and the label in the stream of each of these labels.

    Its images are normalised by its own `data.spec`.
    """

    name: str
    data: Dataset
    classes: tuple[int, ...]

    def labelled(self, data: ImageSet) -> ImageSet:
        """Some of the task's images with their labels in the stream."""
        return ImageSet(data.images, self.relabel(data.labels))

    def relabel(self, labels: Tensor) -> Tensor:
        return torch.tensor(self.classes, device=labels.device)[labels]


@dataclass(frozen=True)
class Stream:
    """Tasks in order, of one image size and channel count; `class_names` are in order of the stream's labels.

    The head has one logit per class seen so far. Tasks may share classes (domain-incremental), or bring new ones
    (class-incremental), which take the next labels.

    Raises:
        InputError: tasks that cannot be learned one after another by one network.
    """

    name: str
    tasks: tuple[Task, ...]
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.tasks) < 2:
            raise InputError(f"a stream needs at least two tasks, got {len(self.tasks)}")
        names = [task.name for task in self.tasks]
        if len(set(names)) < len(names):
            raise InputError(f"the stream's tasks must have different names, got {', '.join(names)}")
        shapes = {(task.data.spec.channels, task.data.spec.size) for task in self.tasks}
        if len(shapes) > 1:
            raise InputError("the stream's tasks differ in size or channels: --size and --channels bring them to one")
        for stage, task in enumerate(self.tasks):
            if len(task.classes) != task.data.spec.classes:
                raise InputError(f"task {task.name} has {task.data.spec.classes} classes, labelled {task.classes}")
            new = sorted(set(task.classes) - set(range(self.seen(stage - 1))))
            if new != list(range(self.seen(stage - 1), self.seen(stage))):
                raise InputError(f"task {task.name}: its new classes must take the next labels, got {task.classes}")
            if not len(task.data.test):
                raise InputError(f"task {task.name} has no test images")
        if self.seen(len(self.tasks) - 1) != len(self.class_names):
            raise InputError(f"the stream names {len(self.class_names)} classes, its tasks have others")

    def seen(self, stage: int) -> int:
        """Classes seen up to and with `stage` (from 0), which is the number of logits then."""
        return max((max(task.classes) + 1 for task in self.tasks[: stage + 1]), default=0)

    def cells(self, stage: int) -> int:
        """Classes of tasks up to and with `stage`, each counted once per task: what a memory has to hold."""
        return sum(len(task.classes) for task in self.tasks[: stage + 1])

    @property
    def grows(self) -> bool:
        """Whether the head grows: class-incremental, as against domain-incremental."""
        return self.seen(0) < len(self.class_names)

    def describe(self) -> dict[str, object]:
        """What the stream is, for results: its content hashes say which data exactly."""
        tasks = [
            {
                "name": task.name,
                "classes": [self.class_names[label] for label in task.classes],
                "train": len(task.data.train),
                "test": len(task.data.test),
                "sha256": task.data.train.sha256(),
                "mean": task.data.spec.mean,
                "std": task.data.spec.std,
            }
            for task in self.tasks
        ]
        spec = self.tasks[0].data.spec
        kind = "class-incremental, growing head" if self.grows else "domain-incremental, one shared head"
        return {"name": self.name, "kind": kind, "channels": spec.channels, "size": spec.size, "tasks": tasks}


def load_stream(choice: StreamChoice, *, data_root: Path | str = "data", seed: int = 0) -> Stream:
    """The stream that the settings name.

    Raises:
        InputError: no such data, tasks that do not share their classes, more steps than classes.
    """
    options = {"data_root": data_root, "flip": choice.flip, "test_fraction": choice.test_fraction}
    if not choice.tasks:
        dataset = load(choice.dataset, size=choice.size, channels=choice.channels, **options)  # type: ignore[arg-type]
        return split_classes(dataset, choice.steps, seed=seed, limit=choice.limit)
    datasets = [load(name, size=choice.size, channels=choice.channels, **options) for name in choice.tasks]  # type: ignore[arg-type]
    size = choice.size or max(dataset.spec.size for dataset in datasets)
    channels = choice.channels or max(dataset.spec.channels for dataset in datasets)
    datasets = [
        dataset
        if (dataset.spec.size, dataset.spec.channels) == (size, channels)
        else load(name, size=size, channels=channels, **options)  # type: ignore[arg-type]
        for name, dataset in zip(choice.tasks, datasets, strict=True)
    ]
    return join_domains(datasets, limit=choice.limit)


def join_domains(datasets: Sequence[Dataset], *, limit: int | None = None) -> Stream:
    """Datasets that share one label set, learned one after another with one head; each keeps its own normalisation.

    Raises:
        InputError: their classes differ.
    """
    names = [dataset.spec.name for dataset in datasets]
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
            "--tasks names datasets with one label set; --dataset with --steps splits one dataset by class"
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
        InputError: more steps than classes.
    """
    spec = dataset.spec
    if not 2 <= steps <= spec.classes:
        raise InputError(f"{spec.name} has {spec.classes} classes: --steps must be 2 to {spec.classes}, got {steps}")
    order = np.random.RandomState(seed).permutation(spec.classes).tolist()
    tasks = []
    for step, places in enumerate(np.array_split(np.arange(spec.classes), steps)):
        labels = tuple(places.tolist())
        part = _restricted(dataset, [order[label] for label in labels])
        tasks.append(Task(f"{spec.name}-step{step + 1}", _limited(part, limit), labels))
    return Stream(f"{spec.name}-{steps}steps", tuple(tasks), tuple(spec.class_names[label] for label in order))


def _restricted(dataset: Dataset, labels: list[int]) -> Dataset:
    """The part of a dataset that has one of `labels`, labelled from 0 on in the order of `labels`."""
    local = torch.full((dataset.spec.classes,), -1)
    local[torch.tensor(labels)] = torch.arange(len(labels))

    def restrict(part: ImageSet) -> ImageSet:
        index = (local[part.labels] >= 0).nonzero().flatten()
        return ImageSet(part.images[index], local[part.labels[index]])

    spec = replace(dataset.spec, class_names=tuple(dataset.spec.class_names[label] for label in labels))
    source = dataset.source | {"classes": " ".join(map(str, labels))}
    return Dataset(restrict(dataset.train), restrict(dataset.test), spec, source)


def _limited(dataset: Dataset, limit: int | None) -> Dataset:
    if limit is None:
        return dataset
    classes = dataset.spec.classes
    if limit < classes:
        raise InputError(f"--limit {limit} is smaller than the {classes} classes of {dataset.spec.name}")
    generator = make_generator(0, "limit")  # not the run's seed: every seed learns from the same images
    picked = [
        index[torch.randperm(len(index), generator=generator)[: limit // classes]]
        for index in dataset.train.indices_by_class(classes)
    ]
    train = dataset.train[torch.cat(picked).sort().values]
    return replace(dataset, train=train, source=dataset.source | {"limit": limit})
