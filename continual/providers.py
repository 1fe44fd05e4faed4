"""Where memories come from: what all sources share, proxy-set files, and all data."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from continual.kept import bytes_of, settled
from continual.settings import JOINT
from continual.stream import Stream, Task
from proxyset.artefact.proxy_set import ProxySet
from proxyset.data.images import ImageSet
from proxyset.errors import InputError
from proxyset.settings import KeepAs


class Provider(ABC):
    """Where a task's memory comes from. It sees that task's own data and nothing else."""

    name: str
    bounded: ClassVar[bool] = True
    """Whether the budget limits what is kept, and a run's state holds it."""
    balanced: ClassVar[bool] = True
    """Whether it keeps equally many of every class; if not, an `ipc` that it is given counts the images of all."""
    recondenses: ClassVar[bool] = False
    """Whether it can make a smaller memory from the one that is kept."""

    def settings(self, task: Task, ipc: int) -> dict[str, Any]:
        """Everything about it that determines what it gives."""
        return {}

    def check(self, task: Task, ipc: int) -> None:  # noqa: B027 (nothing can go wrong)
        """Raise `InputError` now for what `supply` could not do."""

    def estimate(self, task: Task, ipc: int) -> float:
        """Seconds that `supply` will need.

        Raises:
            InputError: it needs more memory than the limit allows.
        """
        return 0.0

    def missing(self, task: Task, ipc: int) -> Path | None:
        """The file that `supply` will build first, where it builds one and that is known in advance."""
        return None

    def formation(self, task: Task) -> int:
        """f: each image that `supply` gives holds f×f tiles, on each of which a network trains at full size."""
        return 1

    def keep_as(self, task: Task) -> KeepAs:
        """How images that are no pixels, and soft targets, are kept."""
        return "float32"

    def has_targets(self, task: Task) -> bool:
        """Whether what is stored has soft targets."""
        return False

    def bytes_each(self, task: Task) -> int:
        """Bytes of one stored image of a task, with its soft targets: in advance."""
        return task.data.spec.channels * task.data.spec.size**2

    def most(self, tasks: Sequence[Task]) -> int:
        """How many stored images per class there can be at most once these tasks are learned, the first of a stream."""
        return min(self.most_of(task) for task in tasks)

    def most_of(self, task: Task) -> int:
        """How many stored images there can be at most of every class of one task."""
        return min(task.data.train.labels.bincount(minlength=len(task.classes)).tolist())

    def keep(self, stream: Stream, kept: list[ImageSet], quota: int) -> list[torch.Tensor]:
        """Which images of each task stay, where each class has so many: those at the head of its ranked list.

        Args:
            kept: what is kept of the tasks so far, the newest at the end.
        """
        return [
            head_of_each_class(data, len(task.classes), quota) for task, data in zip(stream.tasks, kept, strict=False)
        ]

    def recondense(self, task: Task, data: ImageSet, ipc: int, net: nn.Module | None) -> tuple[ImageSet, float]:
        """A smaller memory of a task, made from the one that is kept, and the seconds that it took.

        Raises:
            InputError: it cannot make one.
        """
        raise NotImplementedError(f"{type(self).__name__} says that it recondenses")

    @abstractmethod
    def supply(self, task: Task, ipc: int, net: nn.Module | None) -> tuple[ImageSet, float]:
        """`ipc` stored images per class of the task, ordered by class and rank, and the seconds it took to make them.

        They have the task's own labels and, where their maker gives them, soft targets over the task's own classes.

        Args:
            net: the network, where it has just learned the task from its full data; methods that rank by features
                use it in place of one of their own (EEIL).
        """


@dataclass
class FileProvider(Provider):
    """Proxy sets from files, one for each task, each made from exactly that task's training data."""

    stream: Stream
    paths: tuple[Path, ...]
    kept: KeepAs = "float32"
    name: str = "file"

    @cached_property
    def proxies(self) -> dict[Path, ProxySet]:
        return {path: ProxySet.load(path) for path in self.paths}

    @cached_property
    def by_task(self) -> dict[str, ProxySet]:
        """The proxy set of every task that has one.

        Raises:
            InputError: a file that was made from other data than one task's own.
        """
        tasks = {task.data.sha256: task for task in self.stream.tasks}
        matched = {}
        for path, proxy in self.proxies.items():
            task = tasks.get(proxy.provenance.get("dataset", {}).get("sha256"))
            if task is None:
                raise InputError(self._refusal(path, proxy))
            if proxy.spec.class_names != task.data.spec.class_names:
                raise InputError(f"{str(path)!r} has other class names than {task.name}")
            matched[task.name] = proxy
        return matched

    def settings(self, task: Task, ipc: int) -> dict[str, Any]:
        return {str(path): proxy.data.sha256() for path, proxy in self.proxies.items()}

    def check(self, task: Task, ipc: int) -> None:
        proxy = self._proxy(task)
        if proxy.ipc < ipc:
            raise InputError(f"the proxy set of {task.name} has {proxy.ipc} images per class: give `ipc={proxy.ipc}`")
        first = self.stream.tasks[0]
        if self.formation(task) != self.formation(first):  # as many bytes, but not as many images to train on
            raise InputError(
                f"the proxy set of {task.name} has formation {self.formation(task)}, that of {first.name} "
                f"{self.formation(first)}: give sets of one formation, so that every class has as many training images"
            )

    def formation(self, task: Task) -> int:
        return self._proxy(task).data.formation

    def keep_as(self, task: Task) -> KeepAs:
        """As the settings say, or as in the file where they say nothing."""
        return self._proxy(task).keep_as if self.kept == "float32" else self.kept

    def has_targets(self, task: Task) -> bool:
        return self._proxy(task).data.targets is not None

    def bytes_each(self, task: Task) -> int:
        return bytes_of(self._proxy(task).data[:1], self.keep_as(task))

    def most_of(self, task: Task) -> int:
        return self._proxy(task).ipc

    def supply(self, task: Task, ipc: int, net: nn.Module | None) -> tuple[ImageSet, float]:
        proxy = self._proxy(task)
        data = first_of_each_class(proxy.data, len(task.classes), ipc)
        return settled(data, self.keep_as(task)), proxy.provenance.get("seconds", 0.0)

    def _proxy(self, task: Task) -> ProxySet:
        if task.name not in self.by_task:
            raise InputError(f"no proxy set for task {task.name} among {', '.join(map(str, self.paths))}")
        return self.by_task[task.name]

    def _refusal(self, path: Path, proxy: ProxySet) -> str:
        """Why a proxy set that belongs to no task of the stream cannot be its memory."""
        made_from = proxy.provenance.get("dataset", {})
        origin = made_from.get("source")
        origins = {task.data.source.get("source") for task in self.stream.tasks}
        if origin is None or origin not in origins:
            return f"{str(path)!r} was made from {origin or 'unknown data'}, which is no task of {self.stream.name}"
        if self.stream.grows and origins == {origin}:
            if "classes" not in made_from:
                return (
                    f"{str(path)!r} was made from all of {origin}, so it has seen later tasks: "
                    "a memory may hold only what its own task showed"
                )
            return f"{str(path)!r} was made from classes {made_from['classes']}, which are no step of this stream"
        return f"{str(path)!r} was made from {origin} at another `size`, `channels` or `limit`"


class AllData(Provider):
    """All data of every task: not a memory but joint training, the ceiling."""

    name = JOINT
    bounded = False

    def supply(self, task: Task, ipc: int, net: nn.Module | None) -> tuple[ImageSet, float]:
        return task.data.train, 0.0


def first_of_each_class(data: ImageSet, classes: int, count: int) -> ImageSet:
    """The first `count` images of each class of a set that is ordered by class and rank."""
    return data[head_of_each_class(data, classes, count)]


def head_of_each_class(data: ImageSet, classes: int, count: int) -> torch.Tensor:
    """Their positions."""
    return torch.arange(len(data)).view(classes, len(data) // classes)[:, :count].flatten()
