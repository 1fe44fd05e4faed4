"""The end of a search: its best architectures trained on the whole set, tested once, and kept with their weights."""

import contextlib
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from proxyset import __version__
from proxyset.compute.parallel import Pool, run_jobs
from proxyset.compute.session import Session
from proxyset.names import clean_name
from proxyset.registry import describe
from proxyset.seeds import make_generator
from proxyset.settings import Compute
from search.finals import append_final, network_path
from search.network import Network
from search.placement import Placement
from search.sources.trained import TEST, TRAIN, VALIDATION, FinalSet
from search.trial import LONGEST_ERROR, Row, TrialContext, Workbench
from search.within import Limit, TimeIsUp

if TYPE_CHECKING:
    from search.folder import RunFolder
    from search.preparation import Search

FINAL = "final"
Trained = tuple[Row, dict[str, Tensor]]
"""The row of a network that is kept, and its weights (empty where it failed)."""


class Kept:
    """The weights of the best epoch by the images that choose; of equally good epochs the last, which trained longest.

    Where none are held out, the test split must not choose: the last epoch is kept.
    """

    def __init__(self, bench: Workbench, show: Callable[[int], None], limit: Limit | None) -> None:
        self.bench, self.show, self.limit = bench, show, limit
        self.chooses = VALIDATION in bench.context.sets
        self.epoch, self.best, self.net = 0, -1.0, nn.Module()
        self.weights: dict[str, Tensor] = {}

    def __call__(self, net: nn.Module, done: int) -> None:
        value = self.bench.accuracy(net, VALIDATION) if self.chooses else 0.0
        if value >= self.best:
            self.epoch, self.best, self.net = done, value, net
            self.weights = {name: tensor.detach().clone() for name, tensor in net.state_dict().items()}
        self.show(done)
        if self.limit is not None and self.limit.left() < 0:
            raise TimeIsUp("the time is up")


class Finisher:
    """Trains one architecture after another to keep.

    Args:
        show: is given the epochs of the network that are done.
        until: `time.time()` at which a network ends with the epochs that it has, at least one (None: with all).
    """

    def __init__(
        self,
        context: TrialContext,
        session: Session,
        show: Callable[[int], None] = lambda done: None,
        until: float | None = None,
    ) -> None:
        self.bench, self.show = Workbench(context, session), show
        self.limit = None if until is None else Limit(until)

    def __call__(self, name: str) -> Trained:
        """The row and the weights of the best epoch. One that fails is a row with its error.

        Here alone, after every choice, the test split is looked at (where other images are held out to rank).
        """
        context, started = self.bench.context, time.monotonic()
        generator = make_generator(context.settings.seed, FINAL, name)
        kept, row = Kept(self.bench, self.show, self.limit), _empty(name)
        try:
            source = FinalSet(FINAL, len(context.sets[TRAIN][1]))
            with contextlib.suppress(TimeIsUp):
                self.bench.train(context.candidates[name], source, generator, kept)
            kept.net.load_state_dict(kept.weights)
            row["validation"], row["epoch"] = kept.best if kept.chooses else None, kept.epoch
            row["test"] = self.bench.accuracy(kept.net, TEST)
        except Exception as problem:  # as in a trial
            return row | {"error": _words(describe(problem)), "seconds": time.monotonic() - started}, {}
        row["seconds"] = time.monotonic() - started
        return row, {key: tensor.cpu() for key, tensor in kept.weights.items()}


def _empty(name: str) -> Row:
    """A row of which nothing is known yet."""
    facts = {"name": name, "place": 0, "validation": None, "test": None, "epoch": None}
    return facts | {"seconds": 0.0, "threads": torch.get_num_threads(), "error": None}


def _words(error: str) -> str:
    return clean_name(error, longest=LONGEST_ERROR)


def _finisher(context: TrialContext, compute: Compute, until: float | None) -> Finisher:
    """What a worker process makes."""
    return Finisher(context, Session(compute), until=until)


def train_finally(
    places: Mapping[str, int],
    context: TrialContext,
    search: "Search",
    folder: "RunFolder",
    show: Callable[[int, int], None],
) -> None:
    """Train the architectures, and keep each as it comes: first its weights, then its row.

    Args:
        places: by name, in the order of the work: see `Final`.
        show: is given the epochs that are done (of a network in a worker: all at once), and those of all.

    Raises:
        InputError, RunError: as `run_jobs`, and what writing raises.
        TimeIsUp: some are left.
    """
    names, epochs, done = list(places), context.settings.final_epochs or 1, 0
    limit = search.limit
    until = None if limit is None else limit.end

    def keep(number: int, trained: Trained) -> None:
        nonlocal done
        row, weights = trained
        row["place"] = places[row["name"]]
        if weights:
            _network(row, weights, context, search).save(network_path(folder.path, row["name"]))
        append_final(folder.path, row)
        done += 1
        show(done * epochs, len(names) * epochs)
        if limit is not None and limit.left() < 0 and done < len(names):
            raise TimeIsUp("the time is up")

    placement: Placement = search.placement
    if placement.here:

        def on_epoch(epoch: int) -> None:
            show(done * epochs + epoch, len(names) * epochs)

        finisher = Finisher(context, placement.session, on_epoch, until)
        run_jobs(lambda: finisher, names, Pool(), keep)
        return

    def lost(name: str, why: str) -> Trained:
        return _empty(name) | {"error": _words(why)}, {}

    make = partial(_finisher, context, placement.compute, until)
    run_jobs(make, names, placement.pool_for(context.nbytes), keep, lost)


def _network(row: Row, weights: dict[str, Tensor], context: TrialContext, search: "Search") -> Network:
    """What is kept of a trained network."""
    settings, dataset = context.settings, search.dataset
    facts: dict[str, Any] = {
        "validation": row["validation"],
        "test": row["test"],
        "epoch": row["epoch"],
        "recipe": settings.finally_().model_dump(mode="json"),
        "seed": settings.seed,
        "dataset": dataset.source | {"sha256": search.content, "images": len(dataset.train)},
        "given": context.candidates[row["name"]].builder is not None and search.space is None,
        "version": __version__,
    }
    return Network(row["name"], dataset.spec, weights, search.space, facts)
