"""What `proxyset build` says before it works: on what, how, where, and for how long."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from proxyset.advice import advice
from proxyset.artefact.outputs import checkpoint_path, keep_folder
from proxyset.cli.announce import smaller_build, where
from proxyset.cli.app import say

if TYPE_CHECKING:
    from proxyset.artefact.build import ProxySpec
    from proxyset.compute.session import Session


def announce_build(wanted: ProxySpec, session: Session) -> None:
    """Before the work: on what, how, and where; what was done to the images; whether the network suits them."""
    from proxyset.nets.depth import say_if_shallow

    spec, engine = wanted.dataset.spec, wanted.engine(session)
    how = f"{engine.precision}, compiled" if engine.compiled else engine.precision
    say(
        f"{spec.name}: {len(wanted.dataset.train)} training images {spec.channels}×{spec.size}×{spec.size}, "
        f"{spec.classes} classes → {wanted.method.name}, {wanted.ipc} per class, on {where(session)}, {how}"
    )
    if wanted.dataset.reading:
        say(wanted.dataset.reading)
    net, trains = getattr(wanted.method, "net", None), getattr(wanted.method, "trains", lambda: True)
    if isinstance(net, str) and trains():
        say_if_shallow(session.say_once, net, spec)


def estimate_build(todo: dict[Path, ProxySpec], session: Session, *, resume: bool) -> list[str]:
    """In lines: how long the sets that are missing will take, less what earlier runs have done, and how much memory;
    what would make it shorter.

    Raises:
        InputError: it needs more memory than the limit.
    """
    from proxyset.compute.memory import peak_memory
    from proxyset.methods.preparation import preparation_seconds
    from proxyset.progress import duration, size

    if not todo:
        return []
    path, wanted = next(iter(todo.items()))
    engine = wanted.engine(session)
    before = preparation_seconds(wanted.method, wanted.problem, session, keep_folder(path))  # once, for all of them
    estimate = wanted.method.estimate(wanted.problem, session, engine)
    engine.check_memory(estimate)
    share = sum(_share_left(path, spec) if resume else 1.0 for path, spec in todo.items())
    seconds = estimate.seconds * share + before
    if seconds < 1:
        return []
    scope = " for the rest" if share < len(todo) else ""
    if len(todo) > 1:
        scope = f"{scope} of {len(todo)} sets" if scope else f" for {len(todo)} sets"
    uncompiled = duration(estimate.uncompiled * share + before)
    without = f" ({uncompiled} without compiling)" if estimate.uncompiled else ""
    memory = max(estimate.memory, peak_memory(engine.device) if before else 0)
    line = f"estimated: {duration(seconds)}{without}{scope}, {size(memory)} of memory"
    shorter = advice(seconds, smaller_build(seconds, wanted.method, wanted.ipc))
    return [line, *filter(None, [shorter])]


def _share_left(path: Path, wanted: ProxySpec) -> float:
    """The share of the work on one set that is still to do."""
    from proxyset.checkpoint import read_step

    total = wanted.method.total_steps(wanted.problem)
    return 1 - min(1.0, read_step(checkpoint_path(path)) / total) if total else 1.0
