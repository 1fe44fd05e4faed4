"""Where memories come from: any method of the core run on a task's own data, proxy-set files, or all data."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from continual.settings import JOINT
from continual.stream import Stream, Task
from proxyset.artefact.build import ProxySpec, build_file
from proxyset.artefact.proxy_set import ProxySet
from proxyset.artefact.store import is_same, load_or_build, store_path
from proxyset.compute.session import Session
from proxyset.data.images import ImageSet
from proxyset.data.spec import to_pixels
from proxyset.errors import InputError
from proxyset.files import check_writable
from proxyset.methods.base import Method
from proxyset.methods.coreset import FeatureCoreset
from proxyset.methods.ranking import pick
from proxyset.progress import Progress
from proxyset.seeds import make_generator
from proxyset.settings import KeepAs


class Provider(ABC):
    """Where a task's memory comes from. It sees that task's own data and nothing else."""

    name: str
    bounded: ClassVar[bool] = True
    """Whether the budget limits what is kept, and a run's state holds it."""

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

    def formation(self, task: Task) -> int:
        """f: each image that `supply` gives holds f×f tiles, on each of which a network trains at full size."""
        return 1

    def keep_as(self, task: Task) -> KeepAs:
        """How a file keeps the images that are no pixels."""
        return "float32"

    @abstractmethod
    def supply(self, task: Task, ipc: int, net: nn.Module | None) -> tuple[ImageSet, float]:
        """`ipc` stored images per class of the task, ordered by class and rank, and the seconds it took to make them.

        They have the task's own labels and, where their maker gives them, soft targets over the task's own classes.

        Args:
            net: the network, where it has just learned the task from its full data; methods that rank by features
                use it in place of one of their own (EEIL).
        """


@dataclass(frozen=True)
class MethodProvider(Provider):
    """A method of the core, run on the task's training data. What it makes is kept by content and used again.

    Attributes:
        ranks_by_learner: whether `supply` will be given the network that is being learned.
        show: from the title of a piece of work to what shows its progress.
    """

    method: Method
    store: Path
    seed: int
    session: Session
    show: Callable[[str], Progress]
    ranks_by_learner: bool = False

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.method.name

    def settings(self, task: Task, ipc: int) -> dict[str, Any]:
        ranker = self._learner_method()
        if ranker is not None:
            tiles = {"formation": ranker.formation} if ranker.formation > 1 else {}
            return {"features": "of the network being learned", "l2_normalise": ranker.l2_normalise, **tiles}
        return self.method.resolved(self._spec(task, ipc).problem)

    def check(self, task: Task, ipc: int) -> None:
        self.method.check(self._spec(task, ipc).problem)
        try:
            check_writable(self.store)
        except InputError as error:
            raise InputError(str(error).replace("`out`", "`store`")) from None

    def estimate(self, task: Task, ipc: int) -> float:
        wanted = self._spec(task, ipc)
        if self._learner_method() is not None or self._is_stored(wanted, task):
            return 0.0
        engine = wanted.engine(self.session)
        estimate = self.method.estimate(wanted.problem, self.session, engine)
        engine.check_memory(estimate)
        return estimate.seconds

    def formation(self, task: Task) -> int:
        return self.method.tiles_across()

    def supply(self, task: Task, ipc: int, net: nn.Module | None) -> tuple[ImageSet, float]:
        wanted, ranker = self._spec(task, ipc), self._learner_method()
        if net is not None and ranker is not None:
            started = time.monotonic()
            generator = make_generator(self.seed, "condense", ranker.name)
            ranked = ranker.rank_by(net, wanted.problem, self.session.device, generator)
            data = pick(wanted.problem, ranked, ranker.formation)
            return _as_pixels(data, task), time.monotonic() - started
        path = self._path(wanted, task)
        options: Any = {"session": self.session, "progress": self.show(path.stem)}
        if path.exists() and not self._is_stored(wanted, task):  # stored with other facts
            proxy = build_file(wanted, path, force=True, **options)
        else:
            proxy = load_or_build(wanted, path, **options)
        data = _as_pixels(proxy.data, task) if self.method.picks_real else proxy.data
        return data, proxy.provenance["seconds"]

    def _spec(self, task: Task, ipc: int) -> ProxySpec:
        return ProxySpec(task.data, self.method, ipc, self.seed)

    def _path(self, wanted: ProxySpec, task: Task) -> Path:
        return store_path(wanted, self.session, self.store, task.name)

    def _is_stored(self, wanted: ProxySpec, task: Task) -> bool:
        path = self._path(wanted, task)
        return path.exists() and is_same(ProxySet.load(path), wanted, self.session)

    def _learner_method(self) -> FeatureCoreset | None:
        """The method, if its images are ranked by features of the network that is being learned, as EEIL does."""
        method = self.method
        return method if self.ranks_by_learner and isinstance(method, FeatureCoreset) and method.trains() else None


@dataclass
class FileProvider(Provider):
    """Proxy sets from files, one for each task, each made from exactly that task's training data."""

    stream: Stream
    paths: tuple[Path, ...]
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
        return self._proxy(task).keep_as

    def supply(self, task: Task, ipc: int, net: nn.Module | None) -> tuple[ImageSet, float]:
        proxy = self._proxy(task)
        data = first_of_each_class(proxy.data, len(task.classes), ipc)
        return data, proxy.provenance.get("seconds", 0.0)

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


def _as_pixels(data: ImageSet, task: Task) -> ImageSet:
    """Real images in a byte per value, as they take in a dataset."""
    return replace(data, images=to_pixels(data.images, task.data.spec))


def first_of_each_class(data: ImageSet, classes: int, count: int) -> ImageSet:
    """The first `count` images of each class of a set that is ordered by class and rank."""
    rows = torch.arange(len(data)).view(classes, len(data) // classes)
    return data[rows[:, :count].flatten()]
