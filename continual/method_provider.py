"""A memory that a method of the core makes from a task's own data."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from torch import nn

from continual.kept import WIDTHS, settled, target_width
from continual.learner import learner_state
from continual.providers import Provider
from continual.stream import Task
from proxyset.artefact.build import ProxySpec, build_file
from proxyset.artefact.outputs import keep_folder
from proxyset.artefact.proxy_set import ProxySet
from proxyset.artefact.store import is_same, load_or_build, store_path
from proxyset.checkpoint import State
from proxyset.compute.session import Session
from proxyset.data.images import ImageSet
from proxyset.data.spec import Dataset, to_pixels
from proxyset.errors import InputError
from proxyset.files import check_writable
from proxyset.methods.base import Method
from proxyset.methods.coreset import FeatureCoreset
from proxyset.methods.preparation import preparation_seconds
from proxyset.methods.ranking import pick
from proxyset.progress import Progress
from proxyset.seeds import make_generator
from proxyset.settings import KeepAs


@dataclass(frozen=True)
class MethodProvider(Provider):
    """A method of the core, run on the task's training data. What it makes is kept by content and used again.

    Attributes:
        ranks_by_learner: whether `supply` will be given the network that is being learned.
        show: from the title of a piece of work to what shows its progress.
        kept: how what is no pixels is kept.
        learner: whether the network that is being learned stands in for networks that the method would train.
    """

    recondenses: ClassVar[bool] = True

    method: Method
    store: Path
    seed: int
    session: Session
    show: Callable[[str], Progress]
    ranks_by_learner: bool = False
    kept: KeepAs = "float32"
    learner: bool = False

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.method.name

    def settings(self, task: Task, ipc: int) -> dict[str, Any]:
        ranker = self._learner_method()
        if ranker is not None:
            tiles = {"formation": ranker.formation} if ranker.formation > 1 else {}
            return {"features": "of the network being learned", "l2_normalise": ranker.l2_normalise, **tiles}
        return self.method.resolved(self._spec(task.data, ipc).problem)

    def check(self, task: Task, ipc: int) -> None:
        self.method.check(self._spec(task.data, ipc).problem)
        try:
            check_writable(self.store)
        except InputError as error:
            raise InputError(str(error).replace("`out`", "`store`")) from None

    def estimate(self, task: Task, ipc: int) -> float:
        wanted = self._spec(task.data, ipc)
        if self._learner_method() is not None or self._is_stored(wanted, task.name):
            return 0.0
        engine = wanted.engine(self.session)
        estimate = self.method.estimate(wanted.problem, self.session, engine)
        engine.check_memory(estimate)
        if self.learner:  # what it stands in for takes no time
            return estimate.seconds
        keep = keep_folder(store_path(wanted, self.session, self.store, task.name))
        return estimate.seconds + preparation_seconds(self.method, wanted.problem, self.session, keep)

    def missing(self, task: Task, ipc: int) -> Path | None:
        """None where it depends on the network that is being learned."""
        wanted = self._spec(task.data, ipc)
        if self.learner or self._learner_method() is not None or self._is_stored(wanted, task.name):
            return None
        return store_path(wanted, self.session, self.store, task.name)

    def formation(self, task: Task) -> int:
        return self.method.tiles_across()

    def keep_as(self, task: Task) -> KeepAs:
        return self.kept

    def has_targets(self, task: Task) -> bool:
        given = self.method.uses_targets and task.data.train.targets is not None
        return self.method.targets != "hard" or given

    def bytes_each(self, task: Task) -> int:
        spec, method = task.data.spec, self.method
        values = spec.channels * spec.size**2
        targets = method.tiles() * spec.classes * target_width(self.kept) if self.has_targets(task) else 0
        return values * (1 if method.picks_real else WIDTHS[self.kept]) + targets

    def most_of(self, task: Task) -> int:
        """Every class has that many real images; where real ones are stored or learned from, f² of them in each."""
        return self.method.most(super().most_of(task))

    def supply(self, task: Task, ipc: int, net: nn.Module | None) -> tuple[ImageSet, float]:
        ranker = self._learner_method()
        if net is not None and ranker is not None:
            return self._ranked(ranker, net, task, ipc)
        learner = learner_state(net, task) if self.learner and net is not None else None
        return self._made(self._spec(task.data, ipc, learner), task.name)

    def recondense(self, task: Task, data: ImageSet, ipc: int, net: nn.Module | None) -> tuple[ImageSet, float]:
        """The method on the images that are kept, tile by tile, in place of the task's, which are gone."""
        learner = learner_state(net, task) if self.learner and net is not None else None
        wanted = self._spec(replace_train(task.data, data), ipc, learner)
        try:
            self.method.check(wanted.problem)
        except InputError as error:
            raise InputError(f"`shrink=recondense`, {task.name}: {error}") from None
        return self._made(wanted, task.name)

    def _made(self, wanted: ProxySpec, name: str) -> tuple[ImageSet, float]:
        """A set from the store, built there first where it is missing."""
        path = store_path(wanted, self.session, self.store, name)
        options: Any = {"session": self.session, "progress": self.show(path.stem)}
        if path.exists() and not self._is_stored(wanted, name):  # stored with other facts
            proxy = build_file(wanted, path, force=True, **options)
        else:
            proxy = load_or_build(wanted, path, **options)
        data = _as_pixels(proxy.data, wanted.dataset) if self.method.picks_real else proxy.data
        return settled(data, self.kept), proxy.provenance["seconds"]

    def _ranked(self, ranker: FeatureCoreset, net: nn.Module, task: Task, ipc: int) -> tuple[ImageSet, float]:
        """Real images that the features of the network being learned rank first."""
        started, problem = time.monotonic(), self._spec(task.data, ipc).problem
        generator = make_generator(self.seed, "condense", ranker.name)
        ranked = ranker.rank_by(net, problem, self.session.device, generator)
        data = settled(_as_pixels(pick(problem, ranked, ranker.formation), task.data), self.kept)
        return data, time.monotonic() - started

    def _spec(self, dataset: Dataset, ipc: int, learner: State | None = None) -> ProxySpec:
        # stored as it was learned, and settled on the way out, so that other bytes need no second condensing
        return ProxySpec(dataset, self.method, ipc, self.seed, learner=learner)

    def _is_stored(self, wanted: ProxySpec, name: str) -> bool:
        path = store_path(wanted, self.session, self.store, name)
        return path.exists() and is_same(ProxySet.load(path), wanted, self.session)

    def _learner_method(self) -> FeatureCoreset | None:
        """The method, if its images are ranked by features of the network that is being learned, as EEIL does."""
        method = self.method
        return method if self.ranks_by_learner and isinstance(method, FeatureCoreset) and method.trains() else None


def replace_train(dataset: Dataset, kept: ImageSet) -> Dataset:
    """A dataset whose training images are those that are kept of it."""
    return replace(dataset, train=kept.unfold(), source=dataset.source | {"kept": str(len(kept))})


def _as_pixels(data: ImageSet, dataset: Dataset) -> ImageSet:
    """Real images in a byte per value, as they take in a dataset."""
    return replace(data, images=to_pixels(data.images, dataset.spec))
