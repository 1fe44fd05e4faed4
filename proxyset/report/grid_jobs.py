"""The work of a grid: sets to build and networks to train, each in whichever process it is given to."""

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from proxyset.artefact.build import ProxySpec
from proxyset.artefact.outputs import keep_folder
from proxyset.artefact.proxy_set import ProxySet
from proxyset.artefact.store import load_or_build, store_path
from proxyset.compute.plan import Estimate
from proxyset.compute.session import Session
from proxyset.data.advice import no_test_images
from proxyset.data.images import ImageSet
from proxyset.data.load import load
from proxyset.data.spec import NO_FLIP, Dataset
from proxyset.errors import InputError, RunError, interruptible
from proxyset.methods.coreset import Random
from proxyset.methods.preparation import preparation_seconds
from proxyset.report.estimate import estimate_scores
from proxyset.report.grid_cell import GridCell
from proxyset.report.grid_file import GridFile
from proxyset.report.scores import Contender, Contest, picks, score_all
from proxyset.settings import Compute
from proxyset.train.protocols import Evaluation
from proxyset.train.recipe import Recipe

Row = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """A set to build (`score` is false), or a cell to score.

    Attributes:
        also: names of other sets of the grid that are the same, so that it is built once.
    """

    cell: GridCell
    score: bool
    also: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return self.cell.key if self.score else self.cell.set_key


@dataclass(frozen=True)
class Places:
    """Where a grid finds what it needs.

    Attributes:
        sets: folder of the proxy sets.
        data_root: where torchvision's datasets lie.
        datasets: by their names in the grid, other places than the grid says.
    """

    sets: Path
    data_root: Path
    datasets: tuple[tuple[str, str], ...] = ()


def explained(error: Exception) -> str:
    """An error in words; of code that is not ours with the place."""
    if isinstance(error, InputError | RunError):
        return str(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})"


class Bench:
    """Does jobs one after another; datasets are read once."""

    def __init__(self, grid: GridFile, places: Places, compute: Compute) -> None:
        self.grid, self.places, self.compute = grid, places, compute
        self._datasets: dict[str, Dataset] = {}

    @cached_property
    def session(self) -> Session:
        return Session(self.compute)

    def __call__(self, job: Job) -> Row:
        """What came of a job; what a user's settings or data led to is an `error`, and the others go on."""
        row = {"key": job.key, "score": job.score, "error": None}
        try:
            with interruptible():
                return row | (self.score(job.cell) if job.score else self.build(job.cell))
        except Exception as error:  # also of a method or network of the user's own
            return row | {"error": explained(error)}

    def dataset(self, name: str) -> Dataset:
        if name not in self._datasets:
            choice = self.grid.datasets[name]
            place = dict(self.places.datasets).get(name, choice.dataset)
            form = choice.form()
            if form["flip"] is None and choice.dataset in NO_FLIP:  # a copy elsewhere is of the same digits
                form["flip"] = False
            self._datasets[name] = load(place, data_root=self.places.data_root, progress=False, **form)
        return self._datasets[name]

    def wanted(self, cell: GridCell) -> ProxySpec:
        """The set of a cell."""
        assert cell.ipc is not None
        assert cell.seed is not None
        return ProxySpec(self.dataset(cell.dataset), self.grid.method(cell.method, cell.settings), cell.ipc, cell.seed)

    def path(self, cell: GridCell) -> Path:
        return store_path(self.wanted(cell), self.session, self.places.sets)

    def is_built(self, cell: GridCell) -> bool:
        """Whether there is nothing to build: the set is there, or the cell needs none."""
        try:
            return not self.needs_set(cell) or self.path(cell).exists()
        except Exception:  # its job will say why
            return False

    def needs_set(self, cell: GridCell) -> bool:
        """The whole set is there, and random images are drawn anew for every network."""
        return cell.ipc is not None and not isinstance(self.grid.method(cell.method, cell.settings), Random)

    def build(self, cell: GridCell) -> Row:
        path = self.path(cell)
        proxy = load_or_build(self.wanted(cell), path, session=self.session, progress=False)
        facts = proxy.provenance
        return {"file": path.name, **{name: facts[name] for name in ("seconds", "bytes", "peak_memory_bytes")}}

    def score(self, cell: GridCell) -> Row:
        epochs = None if cell.ipc is not None else self.grid.whole_epochs(cell.method, cell.settings)
        entry = Contender(cell.key, self.training_set(cell), epochs=epochs)
        (row,) = score_all([entry], self.contest(cell), self.session)
        return {"accuracies": row["accuracies"], "seconds": row["seconds"], "settings": cell.shown()}

    def contest(self, cell: GridCell) -> Contest:
        """How the cell's networks are trained and tested.

        Raises:
            InputError: there are no test images.
        """
        dataset = self.dataset(cell.dataset)
        if not len(dataset.test):
            raise no_test_images(dataset.spec.name, dataset.source)
        return Contest(dataset, self.grid.tests[cell.test].evaluation(), (cell.net,), cell.seed or 0)

    def training_set(self, cell: GridCell) -> ImageSet | Callable[[int], ImageSet]:
        """The cell's set, or what draws one for every network."""
        if cell.ipc is None:
            return self.dataset(cell.dataset).train
        if self.needs_set(cell):
            return ProxySet.load(self.path(cell)).data
        method, keep = self.grid.method(cell.method, cell.settings), keep_folder(self.places.sets / "random")
        return picks(method, cell.ipc, self.contest(cell), self.session, keep=keep)

    def estimate(self, job: Job) -> Estimate:
        """Time and memory of a job."""
        cell = job.cell
        if job.score:
            if not self.needs_set(cell):
                self.training_set(cell)  # refuses what cannot be drawn
            contest, (images, recipe) = self.contest(cell), self.size(cell)
            return estimate_scores([(images, recipe)], contest, self.session)
        wanted = self.wanted(cell)
        engine = wanted.engine(self.session)
        found = wanted.method.estimate(wanted.problem, self.session, engine)
        before = preparation_seconds(wanted.method, wanted.problem, self.session, keep_folder(self.path(cell)))
        return found.model_copy(update={"seconds": found.seconds + before})

    def size(self, cell: GridCell) -> tuple[int, Recipe]:
        """Images that a network sees in an epoch, and how it trains on them."""
        protocol: Evaluation = self.grid.tests[cell.test].evaluation()
        if cell.ipc is None:
            epochs = self.grid.whole_epochs(cell.method, cell.settings)
            return len(self.dataset(cell.dataset).train), protocol.recipe(epochs)
        stored = cell.ipc * self.dataset(cell.dataset).spec.classes
        formation = self.grid.method(cell.method, cell.settings).tiles_across()
        return stored * formation**2, protocol.resolved(stored, formation)
