"""Proxy sets and baselines scored side by side."""

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxyset.artefact.outputs import is_artefact, keep_folder
from proxyset.artefact.proxy_set import ProxySet
from proxyset.artefact.storage import rounded, stored_bytes
from proxyset.claims import claim_file
from proxyset.compute.session import Session
from proxyset.data.images import ImageSet
from proxyset.data.spec import Dataset
from proxyset.errors import BusyError, InputError, RunError, nearest
from proxyset.methods.base import Context, Method, Problem
from proxyset.methods.registry import METHODS, get_method
from proxyset.methods.teacher import make, teacher_seconds
from proxyset.progress import Progress, closing
from proxyset.report.kinds import Kind, kinds_for
from proxyset.seeds import make_generator
from proxyset.settings import KeepAs
from proxyset.train.evaluate import evaluate
from proxyset.train.protocols import Evaluation
from proxyset.train.recipe import Recipe

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
    keep_as: KeepAs = "float32"  # in a file
    work: str | None = None  # of a file: see `score_each`

    def size(self) -> dict[str, int]:
        """Images that are stored, images that a network sees in an epoch, and bytes of images and soft targets."""
        data = self.train(0) if callable(self.train) else self.train
        return {"stored": len(data), "images": data.trained_on, "bytes": stored_bytes(data, self.keep_as)}


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


def check_baselines(names: Sequence[str], dataset: Dataset, proxies: Sequence[ProxySet] = ()) -> None:
    """Raise `InputError` for a baseline that is neither `whole` nor a method that picks real images, or that has not
    enough of them to stand beside one of the sets.
    """
    known = [*(name for name in METHODS if get_method(name).picks_real), WHOLE]
    for name in names:
        if name not in known and not (METHODS.knows(name) and get_method(name).picks_real):
            raise InputError(f"unknown baseline {name!r}: {nearest(name, known)}")
        for kind in kinds_for(name, proxies) if name != WHOLE else ():
            kind.method(name).check(Problem(dataset.train, dataset.spec, kind.ipc))


def sizes(proxies: Mapping[str, ProxySet], baselines: Sequence[str], contest: Contest) -> list[tuple[int, Recipe]]:
    """For each contender, before there is one, how many images an epoch has, and how a network trains on them."""
    protocol, classes = contest.protocol, contest.dataset.spec.classes
    pairs = [(len(proxy.data), proxy.data.formation) for proxy in proxies.values()]
    for name in baselines:
        if name != WHOLE:
            pairs += [(classes * kind.ipc, kind.formation) for kind in kinds_for(name, proxies.values())]
    scored = [(stored * formation**2, protocol.resolved(stored, formation)) for stored, formation in pairs]
    whole = [(len(contest.dataset.train), protocol.recipe(contest.whole_epochs))]
    return scored + whole * (WHOLE in baselines)


def teachers_missing(
    proxies: Mapping[str, ProxySet], baselines: Sequence[str], contest: Contest, session: Session
) -> float:
    """Seconds for the teachers of baselines that stand beside sets with such targets; those that are kept take none."""
    keep = _teachers_of(proxies)
    wanted = {
        kind.teacher: (kind.method(name), kind.ipc)
        for name in baselines
        if name != WHOLE
        for kind in kinds_for(name, proxies.values())
    }
    return sum(
        teacher_seconds(method, Problem(contest.dataset.train, contest.dataset.spec, ipc), session, keep)
        for method, ipc in wanted.values()
    )


def _teachers_of(proxies: Mapping[str, ProxySet]) -> Path | None:
    """Where the sets' teachers are."""
    return next((keep_folder(Path(name)) for name in proxies), None)


def contenders(
    proxies: dict[str, ProxySet], baselines: Sequence[str], contest: Contest, session: Session
) -> list[Contender]:
    """The proxy sets (by file), and each baseline in as many bytes, and with the same tiles and targets, as they."""
    alike = len({Path(name).stem for name in proxies}) < len(proxies)  # the same name in two folders
    entries = [
        Contender(
            name if alike else Path(name).stem, proxy.data, Path(name), keep_as=proxy.keep_as, work=_work_of(proxy)
        )
        for name, proxy in proxies.items()
    ]
    keep = _teachers_of(proxies)
    for name in baselines:
        if name == WHOLE:
            entries.append(Contender(WHOLE, contest.dataset.train, epochs=contest.whole_epochs))
            continue
        for kind in kinds_for(name, proxies.values()):
            train = _baseline(name, kind, contest, session, keep)
            entries.append(Contender(kind.title(name), train, keep_as=kind.keep_as))
    return entries


def _work_of(proxy: ProxySet) -> str:
    """What is the same in sets that differ in their seed alone."""
    facts = [proxy.provenance.get(name) for name in ("method", "settings")]
    return hashlib.sha256(json.dumps([*facts, proxy.ipc, proxy.keep_as], sort_keys=True).encode()).hexdigest()[:16]


def _baseline(
    name: str, kind: Kind, contest: Contest, session: Session, keep: Path | None
) -> ImageSet | Callable[[int], ImageSet]:
    """A coreset as it reads back from a file; `random` is drawn anew for every network, so that its spread is over
    draws too.
    """
    pick = picks(kind.method(name), kind.ipc, contest, session, name=name, keep_as=kind.keep_as, keep=keep)
    first = pick(0)
    return (lambda number: pick(number) if number else first) if name == "random" else first


def picks(
    method: Method,
    ipc: int,
    contest: Contest,
    session: Session,
    *,
    name: str | None = None,
    keep_as: KeepAs = "float32",
    keep: Path | None = None,
) -> Callable[[int], ImageSet]:
    """What gives a fresh set of real images, picked by a method, for every number.

    Args:
        name: by which the method was asked for (None: its own); random choices derive from it.
        keep: see `Context`.

    Raises:
        InputError: there are not enough images.
    """
    problem = Problem(contest.dataset.train, contest.dataset.spec, ipc)
    method.check(problem)
    engine = session.plan(method.work(problem, session))

    def pick(number: int) -> ImageSet:
        generator = make_generator(contest.seed, "baseline", name or method.name, number)
        return rounded(make(method, problem, Context(generator, session, engine, keep=keep)), keep_as)

    return pick


def score_all(
    entries: Sequence[Contender], contest: Contest, session: Session, progress: ProgressOf = lambda title: False
) -> list[dict[str, Any]]:
    """The rows of `score_each`, once there are all."""
    return list(score_each(entries, contest, session, progress))


def score_each(
    entries: Sequence[Contender], contest: Contest, session: Session, progress: ProgressOf = lambda title: False
) -> Iterator[dict[str, Any]]:
    """Score every contender with every network; scores of files are kept in them as they come.

    Yields:
        A row per contender and network: name, file, work (of a file: what is the same in sets that differ in their
        seed alone), what `Contender.size` and `Score.to_dict` give, protocol (its `epochs` are those of a set without
        a formation), the epochs that were trained, which test images there were and how many, seed and device.
    """
    for entry in entries:
        epochs, size = entry.epochs or contest.protocol.resolved().epochs, entry.size()
        protocol = contest.protocol.model_copy(update={"epochs": epochs})
        formation = math.isqrt(size["images"] // size["stored"])
        for net in contest.nets:
            line = progress(f"{entry.name} on {net}")
            with closing(line):
                score = evaluate(
                    entry.train,
                    contest.dataset.test,
                    contest.dataset.spec,
                    protocol,
                    net=net,
                    seed=contest.seed,
                    session=session,
                    progress=line,
                )
            result = score.to_dict() | {
                "protocol": protocol.model_dump(),
                "epochs": protocol.resolved(size["stored"], formation).epochs,
                "test_images": len(contest.dataset.test),
                "test_sha256": contest.dataset.test_sha256,
                "seed": contest.seed,
                "device": session.device.type,
            }
            if entry.file is not None:
                try:
                    _keep(result, entry)
                except (InputError, RunError) as error:  # a folder of somebody else's, or a full disk
                    session.say_once(f"the score of {entry.name} is not kept in its file: {error}")
            which = {"name": entry.name, "file": str(entry.file) if entry.file else None, "work": entry.work}
            yield {**which, **size, **result}


def _keep(score: dict[str, Any], entry: Contender) -> None:
    """Add a score to the file of a set, after whoever is adding another at the moment.

    Raises:
        InputError: another set is there by now.
    """
    assert entry.file is not None
    assert isinstance(entry.train, ImageSet)
    for turn in reversed(range(TURNS)):
        try:
            with claim_file(entry.file, kind="proxy set", made_by_us=is_artefact, force=True) as claim:
                there = ProxySet.load(claim.path)
                if there.data.sha256() != entry.train.sha256():
                    raise InputError("another set is there by now")
                there.with_scores([score]).save(claim.path)
            return
        except BusyError:
            if not turn:
                raise
            time.sleep(TURN_SECONDS)
