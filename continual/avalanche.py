"""Condensed memories in Avalanche 0.6 (https://avalanche.continualai.org), the extra `proxyset[avalanche]`.

`ProxyBuffer` is a storage policy for its `ReplayPlugin`. `MemoryMask` says which images of a minibatch are remembered.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from continual.choose import method_for, split_memory
from continual.memory import rehearsed
from continual.providers import first_of_each_class
from continual.stream import Stream
from proxyset.artefact.build import build
from proxyset.artefact.proxy_set import ProxySet
from proxyset.compute.session import Session
from proxyset.data.images import ImageSet
from proxyset.data.spec import Dataset, DatasetSpec
from proxyset.data.vision import torchvision
from proxyset.errors import InputError
from proxyset.methods.base import DEFAULT_NET, Method

torchvision()  # under a CPU-only torch it has to be imported in this way first
try:
    from avalanche.benchmarks import CLScenario, benchmark_from_datasets
    from avalanche.benchmarks.scenarios.supervised import with_classes_timeline
    from avalanche.benchmarks.utils import AvalancheDataset, DataAttribute
    from avalanche.training.plugins import SupervisedPlugin
    from avalanche.training.storage_policy import ExemplarsBuffer
except ImportError as error:  # it needs more than its own package
    raise ImportError(f"{error}: `pip install 'proxyset[avalanche]'` brings Avalanche 0.6") from error

MASK = "from_memory"
"""Name of the data attribute that says which images are remembered; it comes before the task label in a minibatch."""


@dataclass(frozen=True)
class _Part:
    """What is kept of one experience: ordered by class and rank, labels from 0 on, and what they are outside."""

    data: ImageSet
    classes: tuple[int, ...]
    task: int


class ProxyBuffer(ExemplarsBuffer):
    """Keeps what a method makes of each experience's own data: a storage policy for `ReplayPlugin`.

    The images are taken as the experience's evaluation transforms give them, so that memory and new data are of one
    kind, and are remembered without transforms. Labels are hard: Avalanche's losses take no soft targets.

    Args:
        max_size: stored images in all, shared out equally over the classes of all experiences so far. As they grow in
            number, each keeps the head of its ranked list. With `formation` f each gives f² images to rehearse.
        method: its name, with settings such as "dm iterations=500 formation=2", `package.module:Class`, a method, or
            files of proxy sets, one for each experience in order.
        net: network of methods that need one.
        flip: whether a mirrored image keeps its label.
        mask: give every image of the buffer the attribute that `MemoryMask` reads.

    Raises:
        InputError: an unknown method or setting; later, where an experience cannot be condensed so.
    """

    def __init__(
        self,
        max_size: int,
        method: str | Method | Sequence[str | Path] = "dsa",
        *,
        net: str = DEFAULT_NET,
        seed: int = 0,
        flip: bool = False,
        mask: bool = False,
        session: Session | None = None,
    ) -> None:
        super().__init__(max_size)
        self.net, self.seed, self.flip, self.mask = net, seed, flip, mask
        self.session = session or Session()
        self._files = [Path(file) for file in method] if not isinstance(method, str | Method) else []
        self._method = method if isinstance(method, str | Method) else None
        self._parts: list[_Part] = []
        if isinstance(method, str):
            self._method_for(32)  # so that a slip in a name is said at once

    def post_adapt(self, agent_state: Any, exp: Any) -> None:
        """Remember an experience that was learned; those before it give up what the size needs."""
        classes = tuple(sorted({int(label) for label in exp.dataset.targets}))
        quota = self._quota(len(classes))
        data = (self._from_file if self._files else self._condensed)(exp, quota, classes)
        if data.targets is not None:
            self.session.say_once("soft targets are left out: the losses of Avalanche take labels")
        data = ImageSet(data.images, data.labels, formation=data.formation)
        self._parts.append(_Part(data, classes, int(exp.dataset.targets_task_labels[0])))
        self._fill()

    def resize(self, strategy: Any, new_size: int) -> None:
        """Change how many images are stored in all; what was given up does not come back."""
        self.max_size = new_size
        if self._parts:
            self._fill()

    def _quota(self, more: int = 0) -> int:
        slots = sum(len(part.classes) for part in self._parts) + more
        if self.max_size < slots:
            raise InputError(f"`max_size={self.max_size}` is smaller than the {slots} classes to remember")
        return self.max_size // slots

    def _fill(self) -> None:
        quota = self._quota()
        self._parts = [
            _Part(first_of_each_class(part.data, len(part.classes), quota), part.classes, part.task)
            for part in self._parts
        ]
        datasets = [_as_avalanche(part, self.mask) for part in self._parts]
        self.buffer = datasets[0]
        for dataset in datasets[1:]:
            self.buffer = self.buffer.concat(dataset)

    def _condensed(self, exp: Any, quota: int, classes: tuple[int, ...]) -> ImageSet:
        images, labels = read_experience(exp)
        local = torch.tensor([classes.index(label) for label in labels.tolist()])
        channels, size = images.shape[1], images.shape[2]
        zeros, ones = (0.0,) * channels, (1.0,) * channels  # the images are normalised already
        name = f"experience{len(self._parts)}"
        spec = DatasetSpec(name, channels, size, tuple(map(str, classes)), zeros, ones, self.flip)
        none = ImageSet(images[:0], local[:0])
        dataset, method = Dataset(ImageSet(images, local), none, spec), self._method_for(size)
        quota = min(quota, method.most(int(local.bincount().min())))
        return build(dataset, method, quota, seed=self.seed, session=self.session, progress=False).data

    def _from_file(self, exp: Any, quota: int, classes: tuple[int, ...]) -> ImageSet:
        place = len(self._parts)
        if place >= len(self._files):
            raise InputError(f"there are {len(self._files)} files of proxy sets, and more experiences than that")
        proxy = ProxySet.load(self._files[place])
        if proxy.spec.classes != len(classes):
            raise InputError(
                f"{str(self._files[place])!r} has {proxy.spec.classes} classes, experience {place + 1} {len(classes)}"
            )
        return first_of_each_class(proxy.data, len(classes), quota)

    def _method_for(self, size: int) -> Method:
        if isinstance(self._method, Method):
            return self._method
        name, own = split_memory(str(self._method))
        return method_for(name, own, self.net, size)


class MemoryMask(SupervisedPlugin):
    """Says for each image of a minibatch whether it is remembered: `MemoryMask.of(strategy)`, N bool.

    Give it before `ReplayPlugin`, and the buffer `mask=True`.
    """

    def after_train_dataset_adaptation(self, strategy: Any, **kwargs: Any) -> None:
        strategy.adapted_dataset = marked(strategy.adapted_dataset, remembered=False)

    @staticmethod
    def of(strategy: Any) -> Tensor:
        """The mask of the minibatch that is being learned."""
        return strategy.mbatch[2].bool()


def benchmark_of(stream: Stream) -> CLScenario:
    """A stream as a benchmark: an experience per task, images normalised task by task, labels of the stream."""
    seen = len(stream.class_names)
    parts = {
        name: [
            _as_avalanche(_Part(rehearsed(task, data, seen), tuple(range(seen)), 0), mask=False)
            for task, data in ((task, getattr(task.data, name)) for task in stream.tasks)
        ]
        for name in ("train", "test")
    }
    return with_classes_timeline(benchmark_from_datasets(**parts))


def marked(dataset: Any, *, remembered: bool) -> Any:
    """A dataset whose minibatches are [images, labels, mask, task labels]."""
    values = DataAttribute([int(remembered)] * len(dataset), MASK, use_in_getitem=True)
    return AvalancheDataset([dataset], data_attributes=[values])  # its attributes come before those of the dataset


def read_experience(exp: Any) -> tuple[Tensor, Tensor]:
    """All images of an experience (N×C×S×S float32) by its evaluation transforms, and their labels.

    Raises:
        InputError: its images are no square tensors of floats.
    """
    dataset = exp.dataset.eval()
    rows = [dataset[place] for place in range(len(dataset))]  # no loader, which would draw from the global generator
    first = rows[0][0]
    if not isinstance(first, Tensor) or not first.is_floating_point() or first.shape[-1] != first.shape[-2]:
        what = tuple(first.shape) if isinstance(first, Tensor) else type(first).__name__
        raise InputError(
            f"an experience gives images as {what}: give the benchmark an `eval_transform` to square float tensors"
        )
    return torch.stack([row[0] for row in rows]).float(), torch.tensor([int(row[1]) for row in rows])


def _as_avalanche(part: _Part, mask: bool) -> Any:
    """The images of a part as they are trained on, with their labels outside."""
    data = part.data.unfold()
    labels = torch.tensor(part.classes)[data.labels]
    tasks = [part.task] * len(labels)
    attributes = [
        DataAttribute(labels.tolist(), "targets"),
        *([DataAttribute([1] * len(labels), MASK, use_in_getitem=True)] if mask else []),
        DataAttribute(tasks, "targets_task_labels", use_in_getitem=True),
    ]
    return AvalancheDataset([_Rows(data.images, labels.tolist())], data_attributes=attributes)


class _Rows(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """Images and labels as a torch dataset; `targets` holds the labels."""

    def __init__(self, images: Tensor, labels: list[int]) -> None:
        self.images, self.targets = images, labels

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index], self.targets[index]
