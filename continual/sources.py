"""Where memories come from: any method of the core run on a task's own data, or proxy-set files."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
import yaml
from torch import nn

from continual.stream import Stream, Task
from proxyset.builder import build_file, engine_for, identity, is_same, store_path
from proxyset.data import ImageSet, to_pixels
from proxyset.engine import resolve_device
from proxyset.methods import METHODS, Method
from proxyset.methods.coreset import FeatureCoreset
from proxyset.progress import Progress, silent
from proxyset.proxy import ProxySet
from proxyset.settings import Compute, InputError, nearest

NONE, JOINT = "none", "joint"

Show = Callable[[str], Progress]
"""From the title of a piece of work to what shows its progress."""


def hide(title: str) -> Progress:
    return silent


SMALL = 16  # pixels; networks and condensation are scaled down below it, so that the embedded digits take minutes
SMALL_DEFAULTS: dict[str, dict[str, Any]] = {name: {"iterations": 30, "net_epochs": 10} for name in ("dc", "dsa")}


def method_for(name: str, choices: tuple[str, ...], net: str, size: int) -> Method:
    """A method with the learner's network, then the defaults for small images, then the user's `name=value` settings.

    Raises:
        InputError: an unknown method or setting, or a bad value.
    """
    fields = METHODS[name].model_fields
    values = {"net": net} if "net" in fields else {}
    values |= SMALL_DEFAULTS.get(name, {}) if size < SMALL else {}
    return METHODS[name](**values | {key: value for key, value in _settings(choices).items() if key in fields})


def check_settings(choices: tuple[str, ...], names: tuple[str, ...]) -> None:
    """Raise `InputError` for a setting that none of the named methods has."""
    known = {field for name in names if name in METHODS for field in METHODS[name].model_fields}
    for key in _settings(choices):
        if key not in known:
            hint = nearest(key, known) if known else f"{', '.join(names)} has none"
            raise InputError(f"--memory-settings: unknown setting {key!r}: {hint}")


def _settings(choices: tuple[str, ...]) -> dict[str, Any]:
    values = {}
    for choice in choices:
        key, sign, value = choice.partition("=")
        try:
            values[key.strip().replace("-", "_")] = yaml.safe_load(value)
        except yaml.YAMLError:
            sign = ""
        if not sign:
            raise InputError(f"--memory-settings takes name=value, got {choice!r}")
    return values


def label(memory: str) -> str:
    """A memory's name as it goes into file names: that of the method, or of the first file."""
    return Path(memory.split(",")[0]).stem


class Source(Protocol):
    """Where a task's memory comes from. It sees that task's own data and nothing else."""

    @property
    def name(self) -> str:
        """What results call it."""

    def settings(self, task: Task, count: int) -> dict[str, Any]:
        """Everything about it that determines what it gives."""

    def check(self, task: Task, count: int) -> None:
        """Raise `InputError` now for what `take` could not do."""

    def estimate(self, task: Task, count: int) -> float:
        """Seconds that `take` will need."""

    def take(self, task: Task, count: int, net: nn.Module | None) -> tuple[ImageSet, float]:
        """`count` images per class of the task, ordered by class and rank, and the seconds it took to make them.

        Args:
            net: the network, where it has just learned the task from its full data; methods that rank by features
                use it in place of one of their own (EEIL).
        """


@dataclass(frozen=True)
class Condensed:
    """A method of the core, run on the task's training data. What it makes is kept by content and used again."""

    method: Method
    store: Path
    seed: int
    compute: Compute
    at_hand: bool = False  # whether `take` will be given the network that is being learned
    show: Show = hide

    @property
    def name(self) -> str:
        return self.method.name

    def settings(self, task: Task, count: int) -> dict[str, Any]:
        if self._uses_learner():
            assert isinstance(self.method, FeatureCoreset)
            return {"features": "of the network being learned", "l2_normalise": self.method.l2_normalise}
        return self.method.resolved(task.data.spec, count)

    def check(self, task: Task, count: int) -> None:
        self.method.check(task.data.train, task.data.spec, count)

    def estimate(self, task: Task, count: int) -> float:
        if self._uses_learner() or self._stored(task, count)[1].exists():
            return 0.0
        engine = engine_for(task.data, self.method, count, self.compute)
        return self.method.estimate(task.data.train, task.data.spec, count, engine).seconds

    def take(self, task: Task, count: int, net: nn.Module | None) -> tuple[ImageSet, float]:
        data, spec = task.data.train, task.data.spec
        if net is not None and self._uses_learner():
            assert isinstance(self.method, FeatureCoreset)
            started = time.monotonic()
            ranked = self.method.rank_by(net, data, spec, count, resolve_device(self.compute.device))
            return data[torch.cat(ranked)], time.monotonic() - started
        proxy = self.condense(task, count)
        images = to_pixels(proxy.data.images, spec) if self.method.picks_real else proxy.data.images
        return ImageSet(images, proxy.data.labels), proxy.provenance["seconds"]

    def condense(self, task: Task, count: int) -> ProxySet:
        """The task's proxy set: read where it was made before, otherwise made now, going on where a run stopped."""
        facts, path = self._stored(task, count)
        if path.exists() and is_same(proxy := ProxySet.load(path), facts):
            return proxy
        return build_file(
            task.data, self.method, count, path, seed=self.seed, compute=self.compute, progress=self.show(path.stem)
        )

    def _uses_learner(self) -> bool:
        """Whether images are ranked by features of the network that is being learned, as EEIL does."""
        return self.at_hand and isinstance(self.method, FeatureCoreset) and self.method.trains()

    def _stored(self, task: Task, count: int) -> tuple[dict[str, Any], Path]:
        """What determines the task's proxy set, and where it is kept."""
        engine = engine_for(task.data, self.method, count, self.compute)
        facts = identity(task.data, self.method, count, self.seed, engine)
        return facts, store_path(facts, task.name, self.store)


@dataclass(frozen=True)
class Files:
    """Proxy sets from files, one for each task, each made from exactly that task's training data."""

    stream: Stream
    paths: tuple[Path, ...]
    name: str = "file"

    def settings(self, task: Task, count: int) -> dict[str, Any]:
        return {str(path): ProxySet.load(path).data.sha256() for path in self.paths}

    def check(self, task: Task, count: int) -> None:
        proxy = self._find(task)
        if proxy.ipc < count:
            raise InputError(f"the proxy set of {task.name} has {proxy.ipc} images per class: give --ipc {proxy.ipc}")

    def estimate(self, task: Task, count: int) -> float:
        return 0.0

    def take(self, task: Task, count: int, net: nn.Module | None) -> tuple[ImageSet, float]:
        proxy = self._find(task)
        return head(proxy.data, task, count), proxy.provenance.get("seconds", 0.0)

    def _find(self, task: Task) -> ProxySet:
        """The proxy set that was made from the task's own data, and from that alone."""
        hashes = {task.data.train.sha256(): task.name for task in self.stream.tasks}
        found = None
        for path in self.paths:
            proxy = ProxySet.load(path)
            made_from = hashes.get(proxy.provenance.get("dataset", {}).get("sha256"))
            if made_from is None:
                raise InputError(self._refusal(path, proxy))
            if made_from == task.name:
                if proxy.spec.class_names != task.data.spec.class_names:
                    raise InputError(f"{str(path)!r} has other class names than {task.name}")
                found = proxy
        if found is None:
            raise InputError(f"no proxy set for task {task.name} among {', '.join(map(str, self.paths))}")
        return found

    def _refusal(self, path: Path, proxy: ProxySet) -> str:
        """Why a proxy set that belongs to no task of the stream cannot be its memory."""
        source = proxy.provenance.get("dataset", {})
        whole = {task.data.source.get("source") for task in self.stream.tasks} == {source.get("source")}
        if self.stream.grows and whole and "classes" not in source:
            return (
                f"{str(path)!r} was made from all of {source['source']}, so it has seen later tasks: "
                "a memory may hold only what its own task showed"
            )
        if self.stream.grows and whole:
            return f"{str(path)!r} was made from classes {source['classes']}, which are no step of this stream"
        names = {task.data.source.get("source") for task in self.stream.tasks}
        if source.get("source") in names:
            return f"{str(path)!r} was made from {source['source']} at another --size, --channels or --limit"
        other = source.get("source", "unknown data")
        return f"{str(path)!r} was made from {other}, which is no task of {self.stream.name}"


@dataclass(frozen=True)
class Everything:
    """All data of every task: not a memory but joint training, the ceiling."""

    name: str = JOINT

    def settings(self, task: Task, count: int) -> dict[str, Any]:
        return {}

    def check(self, task: Task, count: int) -> None:
        """Always possible."""

    def estimate(self, task: Task, count: int) -> float:
        return 0.0

    def take(self, task: Task, count: int, net: nn.Module | None) -> tuple[ImageSet, float]:
        return task.data.train, 0.0


def open_source(
    name: str,
    stream: Stream,
    *,
    settings: tuple[str, ...],
    store: Path,
    net: str,
    seed: int,
    compute: Compute,
    at_hand: bool = False,
    show: Show = hide,
) -> Source | None:
    """What `--memory` names: `none`, `joint`, a method, or files separated by commas.

    Args:
        settings: of the method, as name=value.
        store: where what is condensed is kept.
        net: the network that methods condense with.
        at_hand: whether the memory of a task is made when the network has just learned it from its full data; methods
            that rank by features then use that network in place of one of their own.

    Raises:
        InputError: neither a method nor a file.
    """
    if name == NONE:
        return None
    if name == JOINT:
        return Everything()
    if name in METHODS:
        method = method_for(name, settings, net, stream.tasks[0].data.spec.size)
        return Condensed(method, store, seed, compute, at_hand, show)
    if name.endswith(".safetensors"):
        return Files(stream, tuple(Path(part).expanduser() for part in name.split(",")))
    raise InputError(
        f"unknown memory {name!r}: {nearest(name, [*METHODS, NONE, JOINT])} (or proxy-set files, separated by commas)"
    )


def head(data: ImageSet, task: Task, count: int) -> ImageSet:
    """The first `count` images of each class of a set that is ordered by class and rank."""
    classes = len(task.classes)
    rows = torch.arange(len(data)).view(classes, len(data) // classes)
    return data[rows[:, :count].flatten()]
