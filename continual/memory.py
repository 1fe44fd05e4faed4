"""What is remembered of earlier tasks: a budget of images, filled by any method of the core or from proxy-set files."""

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
import yaml
from pydantic import Field
from torch import nn

from continual.stream import Stream, Task
from proxyset.build import build, identity
from proxyset.checkpoint import Checkpoint, State
from proxyset.data import ImageSet, normalise, to_pixels
from proxyset.methods import METHODS, Method
from proxyset.methods.coreset import FeatureCoreset
from proxyset.progress import ProgressLine
from proxyset.proxy import ProxySet
from proxyset.settings import InputError, Settings, nearest

NONE, JOINT = "none", "joint"


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
            raise InputError(f"--memory-settings: no setting {key!r} here: {nearest(key, known) if known else names}")


def _settings(choices: tuple[str, ...]) -> dict[str, Any]:
    values = {}
    for choice in choices:
        key, sign, value = choice.partition("=")
        if not sign:
            raise InputError(f"--memory-settings takes name=value, got {choice!r}")
        values[key.strip().replace("-", "_")] = yaml.safe_load(value)
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
    device: torch.device

    @property
    def name(self) -> str:
        return self.method.name

    def settings(self, task: Task, count: int) -> dict[str, Any]:
        return self.method.resolved(task.data.spec, count)

    def check(self, task: Task, count: int) -> None:
        self.method.check(task.data.train, task.data.spec, count)

    def estimate(self, task: Task, count: int) -> float:
        if self._path(task, count).exists():
            return 0.0
        return self.method.estimate(task.data.train, task.data.spec, count, self.device).seconds

    def take(self, task: Task, count: int, net: nn.Module | None) -> tuple[ImageSet, float]:
        data, spec = task.data.train, task.data.spec
        if net is not None and isinstance(self.method, FeatureCoreset):
            started = time.monotonic()
            own = net if self.method.trains() else None
            ranked = self.method.rank_by(own, data, spec, count, self.device)
            return data[torch.cat(ranked)], time.monotonic() - started
        proxy = self.condense(task, count)
        images = to_pixels(proxy.data.images, spec) if self.method.picks_real else proxy.data.images
        return ImageSet(images, proxy.data.labels), proxy.provenance["seconds"]

    def condense(self, task: Task, count: int) -> ProxySet:
        """The task's proxy set: read where it was made before, otherwise made now, going on where a run stopped."""
        path = self._path(task, count)
        wanted = self._identity(task, count)
        if path.exists():
            proxy = ProxySet.load(path)
            if {key: proxy.provenance.get(key) for key in wanted} == wanted:
                return proxy
        checkpoint = Checkpoint(path.with_suffix(".checkpoint"), 10 * self.method.steps(count), wanted)
        line = ProgressLine(path.stem)
        try:
            proxy = build(
                task.data,
                self.method,
                count,
                seed=self.seed,
                device=self.device,
                progress=line,
                checkpoint=checkpoint,
            )
        except KeyboardInterrupt:
            checkpoint.write()
            raise
        finally:
            line.close()
        proxy.save(path)
        checkpoint.remove()
        return proxy

    def _identity(self, task: Task, count: int) -> dict[str, Any]:
        values = identity(task.data, self.method, count, self.seed, self.device)
        return json.loads(json.dumps(values))  # as it reads back from a file

    def _path(self, task: Task, count: int) -> Path:
        content = json.dumps(self._identity(task, count), sort_keys=True)
        digest = hashlib.sha256(content.encode()).hexdigest()[:10]
        return self.store / f"{task.name}-{self.method.name}-ipc{count}-seed{self.seed}-{digest}.safetensors"


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
    name: str, budget: Budget, stream: Stream, *, net: str, seed: int, device: torch.device
) -> Source | None:
    """What `--memory` names: `none`, `joint`, a method, or files separated by commas.

    Raises:
        InputError: neither a method nor a file.
    """
    if name == NONE:
        return None
    if name == JOINT:
        return Everything()
    if name in METHODS:
        method = method_for(name, budget.memory_settings, net, stream.tasks[0].data.spec.size)
        return Condensed(method, budget.store, seed, device)
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
