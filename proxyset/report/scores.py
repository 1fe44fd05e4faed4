"""Proxy sets and baselines scored side by side."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxyset.artefact.outputs import is_artefact
from proxyset.artefact.proxy_set import ProxySet
from proxyset.claims import claim_file
from proxyset.compute.session import Session
from proxyset.data.images import ImageSet
from proxyset.data.spec import Dataset
from proxyset.errors import BusyError, InputError, nearest
from proxyset.methods.base import Context, Problem
from proxyset.methods.registry import METHODS, get_method
from proxyset.methods.teacher import make
from proxyset.progress import Progress
from proxyset.seeds import make_generator
from proxyset.train.evaluate import evaluate
from proxyset.train.protocols import Evaluation

WHOLE = "whole"
TURNS, TURN_SECONDS = 100, 0.1  # for a lock that is held while a few kilobytes are written
ProgressOf = Callable[[str], "Progress | bool"]
"""From the title of a piece of work to what shows its progress."""


@dataclass(frozen=True)
class Contender:
    """One row of a comparison: a training set, or a function from a network's number to its set."""

    name: str
    train: ImageSet | Callable[[int], ImageSet]
    file: Path | None = None  # where its scores are kept
    epochs: int | None = None  # in place of the protocol's


@dataclass(frozen=True)
class Contest:
    """What all contenders share.

    Attributes:
        dataset: the real data; networks are tested on its test split.
        protocol: how they are trained.
        nets: networks, by name.
        seed: weights, orders and augmentations derive from it.
        whole_epochs: of the baseline `whole`, in place of the protocol's.
    """

    dataset: Dataset
    protocol: Evaluation
    nets: Sequence[str]
    seed: int = 0
    whole_epochs: int = 100


def check_baselines(names: Sequence[str], dataset: Dataset, ipcs: Sequence[int] = ()) -> None:
    """Raise `InputError` for a baseline that is neither `whole` nor a method that picks real images, or that has not
    enough of them.
    """
    known = [*(name for name in METHODS if get_method(name).picks_real), WHOLE]
    for name in names:
        if name not in known and not (METHODS.knows(name) and get_method(name).picks_real):
            raise InputError(f"unknown baseline {name!r}: {nearest(name, known)}")
        if name != WHOLE and ipcs:
            get_method(name)().check(Problem(dataset.train, dataset.spec, max(ipcs)))


def sizes(proxies: Mapping[str, ProxySet], baselines: Sequence[str], contest: Contest) -> list[tuple[int, int]]:
    """For each contender, before there is one, its number of images and the epochs for which a network trains on it."""
    epochs, classes = contest.protocol.resolved().epochs, contest.dataset.spec.classes
    scored = [(proxy.data.trained_on, epochs) for proxy in proxies.values()]
    for name in baselines:
        if name == WHOLE:
            scored.append((len(contest.dataset.train), contest.whole_epochs))
        else:
            scored += [(classes * ipc, epochs) for ipc in sorted({proxy.ipc for proxy in proxies.values()})]
    return scored


def contenders(
    proxies: dict[str, ProxySet], baselines: Sequence[str], contest: Contest, session: Session
) -> list[Contender]:
    """The proxy sets (by file), and each baseline at each of their images per class."""
    alike = len({Path(name).stem for name in proxies}) < len(proxies)  # the same name in two folders
    entries = [Contender(name if alike else Path(name).stem, proxy.data, Path(name)) for name, proxy in proxies.items()]
    for name in baselines:
        if name == WHOLE:
            entries.append(Contender(WHOLE, contest.dataset.train, epochs=contest.whole_epochs))
            continue
        for ipc in sorted({proxy.ipc for proxy in proxies.values()}):
            entries.append(Contender(f"{name} ipc{ipc}", _baseline(name, ipc, contest, session)))
    return entries


def _baseline(name: str, ipc: int, contest: Contest, session: Session) -> ImageSet | Callable[[int], ImageSet]:
    """A coreset; `random` is drawn anew for every network, so that its spread is over draws too."""
    method = get_method(name)()
    problem = Problem(contest.dataset.train, contest.dataset.spec, ipc)
    method.check(problem)
    engine = session.plan(method.work(problem, session))

    def pick(number: int) -> ImageSet:
        generator = make_generator(contest.seed, "baseline", name, number)
        return make(method, problem, Context(generator, session, engine))

    return pick if name == "random" else pick(0)


def score_all(
    entries: Sequence[Contender], contest: Contest, session: Session, progress: ProgressOf = lambda title: False
) -> list[dict[str, Any]]:
    """Score every contender with every network; scores of files are kept in them as they come.

    Returns:
        A row per contender and network: name, file, and what `Score.to_dict` gives, with protocol, seed and device.
    """
    rows = []
    for entry in entries:
        epochs = entry.epochs or contest.protocol.resolved().epochs
        protocol = contest.protocol.model_copy(update={"epochs": epochs})
        for net in contest.nets:
            score = evaluate(
                entry.train,
                contest.dataset.test,
                contest.dataset.spec,
                protocol,
                net=net,
                seed=contest.seed,
                session=session,
                progress=progress(f"{entry.name} on {net}"),
            )
            result = score.to_dict() | {
                "protocol": protocol.model_dump(),
                "seed": contest.seed,
                "device": session.device.type,
            }
            if entry.file is not None:
                _keep(result, entry.file)
            rows.append({"name": entry.name, "file": str(entry.file) if entry.file else None, **result})
    return rows


def _keep(score: dict[str, Any], file: Path) -> None:
    """Add a score to an artefact, after whoever is adding another at the moment."""
    for turn in reversed(range(TURNS)):
        try:
            with claim_file(file, kind="proxy set", made_by_us=is_artefact, force=True) as claim:
                ProxySet.load(claim.path).with_scores([score]).save(claim.path)
            return
        except BusyError:
            if not turn:
                raise
            time.sleep(TURN_SECONDS)
