"""The usual streams: datasets one after another, and one dataset split by class."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from continual.settings import StreamChoice, steps_name
from continual.stream import Stream, Task
from proxyset.data.images import ImageSet
from proxyset.data.load import load
from proxyset.data.spec import Dataset
from proxyset.errors import InputError, nearest
from proxyset.progress import Progress
from proxyset.seeds import make_generator

LOG = logging.getLogger("continual")


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
    return make_stream(read_data(choice, data_root=data_root, progress=progress), choice, seed=seed)


def read_data(
    choice: StreamChoice, *, data_root: Path | str = "data", progress: Progress | bool | None = False
) -> list[Dataset]:
    """The datasets of a stream, which are the same for every seed: what takes long where images are decoded.

    Raises:
        InputError: no such data, or settings that go with other streams.
    """
    if choice.validation:
        raise InputError("`validation` holds images out for a choice, and a stream makes none: leave it out")
    if choice.new_classes and not choice.tasks:
        raise InputError("`new_classes` is for `tasks`, of which none is named")
    if choice.class_order and choice.tasks:
        raise InputError("`class_order` is for one `dataset` split by class; `tasks` come in the order that they name")

    def read(name: str, **form: Any) -> Dataset:
        return load(name, data_root=data_root, progress=progress, **choice.form() | form)

    if not choice.tasks:
        return [read(choice.dataset)]
    return _told_apart(_in_one_shape([read(name) for name in choice.tasks], choice, read), choice.tasks)


def make_stream(data: Sequence[Dataset], choice: StreamChoice, *, seed: int = 0) -> Stream:
    """The stream of what `read_data` read.

    Raises:
        InputError: tasks that do not share their classes, more steps than classes.
    """
    if choice.tasks:
        stream = join_domains(data, limit=choice.limit, new_classes=choice.new_classes)
    else:
        stream = split_classes(data[0], choice.split(), seed=seed, limit=choice.limit, order=choice.class_order)
    return replace(stream, reading=tuple(dataset.reading for dataset in data if dataset.reading))


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


def _told_apart(datasets: list[Dataset], places: Sequence[str]) -> list[Dataset]:
    """Those of the same name, such as siteA/train and siteB/train, with the folder that they lie in before it."""
    names = [dataset.spec.name for dataset in datasets]
    return [
        replace(dataset, spec=replace(dataset.spec, name=f"{Path(place).absolute().parent.name}-{name}"))
        if names.count(name) > 1
        else dataset
        for dataset, name, place in zip(datasets, names, places, strict=True)
    ]


def join_domains(datasets: Sequence[Dataset], *, limit: int | None = None, new_classes: bool = False) -> Stream:
    """Datasets learned one after another; each keeps its own normalisation.

    Args:
        new_classes: classes of their own are new ones, which take the next labels; classes of the same name are the
            same. Otherwise all must share one label set, and one head.

    Raises:
        InputError: their classes differ, and `new_classes` is false.
    """
    _check_limit(limit, datasets)
    if not new_classes:
        for dataset in datasets[1:]:
            _check_shared(datasets[0], dataset)
    labels: dict[str, int] = {}
    tasks = []
    for dataset in datasets:
        names = _bare(dataset.spec.class_names)
        if len(set(names)) < len(names):
            raise InputError(f"{dataset.spec.name} has two classes of one name: {_few(tuple(names))}")
        classes = tuple(labels.setdefault(name, len(labels)) for name in names)
        tasks.append(Task(dataset.spec.name, _limited(dataset, limit), classes))
    return Stream("-".join(dataset.spec.name for dataset in datasets), tuple(tasks), tuple(labels))


def _check_shared(first: Dataset, other: Dataset) -> None:
    one, two = (tuple(_bare(dataset.spec.class_names)) for dataset in (first, other))
    if one != two:
        raise InputError(
            f"{first.spec.name} and {other.spec.name} do not share their classes ({_few(one)} and {_few(two)}): "
            "`tasks` names datasets with one label set; `new_classes=True` learns classes of other names as new ones"
        )


def _bare(names: Sequence[str], of: Sequence[str] = ()) -> list[str]:
    """Class names without what some sets add to them: torchvision's MNIST has '7 - seven' where others have '7'.

    In small letters, where those still tell the names `of` a dataset (by default these) apart.
    """
    short, known = ([name.split(" - ")[0].strip() for name in some] for some in (names, of or names))
    fold = len({name.lower() for name in known}) == len(set(known))
    return [name.lower() for name in short] if fold else short


def _few(names: tuple[str, ...]) -> str:
    return f"{len(names)}: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"


def split_classes(
    dataset: Dataset,
    steps: int | Sequence[int],
    *,
    seed: int = 0,
    limit: int | None = None,
    order: Sequence[str] = (),
) -> Stream:
    """One dataset split by class.

    The order of the classes is `np.random.RandomState(seed).permutation(classes)`, which for CIFAR-100 and seeds 0 to 4
    gives the field's orders (Zhao & Bilen, "Dataset condensation with distribution matching", its public code).

    Args:
        steps: how many of equal size (the first ones get one class more where it does not fit), or the classes of each.
        order: the names of all classes in the order in which they come, in place of that of the seed.

    Raises:
        InputError: more steps than classes, an order that does not name every class once, or a seed that numpy's
            generator does not take.
    """
    spec = dataset.spec
    if not 0 <= seed < 2**32:
        raise InputError(f"`seed` must be 0 to {2**32 - 1}, got {seed}")
    sizes = _sizes(spec.name, spec.classes, steps)
    if dataset.train.targets is not None:
        LOG.warning("%s: its soft targets cover classes of later steps, so only its labels are used", spec.name)
    drawn = np.random.RandomState(seed).permutation(spec.classes).tolist()
    labels = _ordered(spec.class_names, order) if order else drawn
    places = [tuple(part.tolist()) for part in torch.arange(spec.classes).split(sizes)]
    parts = [_restricted(dataset, [labels[place] for place in step]) for step in places]
    _check_limit(limit, parts)
    tasks = tuple(
        Task(f"{spec.name}-step{step + 1}", _limited(part, limit), classes)
        for step, (part, classes) in enumerate(zip(parts, places, strict=True))
    )
    name = f"{spec.name}-{steps_name(steps)}"
    return Stream(name, tasks, tuple(spec.class_names[label] for label in labels))


def _sizes(name: str, classes: int, steps: int | Sequence[int]) -> list[int]:
    """How many classes each step has."""
    if isinstance(steps, int):
        if not 2 <= steps <= classes:
            raise InputError(f"{name} has {classes} classes: `steps` must be 2 to {classes}, got {steps}")
        return [len(part) for part in np.array_split(np.arange(classes), steps)]
    if sum(steps) != classes or len(steps) < 2 or min(steps) < 1:
        words = " ".join(map(str, steps))
        raise InputError(
            f"{name} has {classes} classes: the classes of all `steps` must add up to that, got {words} ({sum(steps)})"
        )
    return list(steps)


def _ordered(names: Sequence[str], order: Sequence[str]) -> list[int]:
    """The labels of the classes in the given order."""
    known = {name: label for label, name in enumerate(_bare(names))}
    wanted = _bare(order, names)
    for name in wanted:
        if name not in known:
            raise InputError(f"`class_order`: there is no class {name!r}: {nearest(name, known)}")
    if sorted(wanted) != sorted(known):
        missing = next((name for name in known if name not in wanted), None)
        raise InputError(
            "`class_order` must name every class once: "
            + (f"{missing!r} is missing" if missing is not None else "a class is named twice")
        )
    return [known[name] for name in wanted]


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
