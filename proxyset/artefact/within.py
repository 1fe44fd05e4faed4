"""A clock for building: how many iterations a time allows, decided once, before the work, from a few timed steps."""

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from proxyset.artefact.build import ProxySpec
from proxyset.artefact.clock import Clock
from proxyset.artefact.outputs import checkpoint_path
from proxyset.artefact.proxy_set import ProxySet
from proxyset.checkpoint import EVERY, Checkpoint, copied, read_identity
from proxyset.compute.clock import synchronise
from proxyset.compute.session import Session
from proxyset.errors import InputError
from proxyset.methods.base import Context, Method
from proxyset.methods.preparation import preparation_seconds, smaller_preparation
from proxyset.methods.synthesis import LearnedMethod, Synthesis
from proxyset.methods.teacher import find_teacher
from proxyset.progress import Progress, duration, silent

WORTH_COMPILING = 300.0  # seconds of work from which compiling it pays, where the user left that open
TIMED = 3  # steps, at least
SHARE = 0.03  # of the time that timing goes on for
MARGIN = 0.97  # of what is left that is planned for, because machines are noisy


def fit_within(
    wanted: ProxySpec, seconds: float, session: Session, keep: Path | None = None, progress: Progress = silent
) -> tuple[ProxySpec, Session]:
    """The same work with as many iterations as `seconds` allow, and the session that it runs in.

    Learning-rate schedules end with the last of them. The choice depends on the machine and the moment; everything
    after it does not.

    Args:
        keep: as `Context.keep`.
        progress: its part shows how far trainings that come first are.

    Raises:
        InputError: the method has no iterations to choose; not even one fits.
    """
    method = check_within(wanted.method).for_time(seconds, wanted.dataset.spec.size)
    wanted = replace(wanted, method=method)
    started = time.monotonic()
    if session.compute.compile == "auto":
        choice = "on" if seconds >= WORTH_COMPILING else "off"
        session = Session(session.compute.model_copy(update={"compile": choice}))
    engine = wanted.engine(session)
    context = Context(torch.Generator(), session, engine, progress, keep=keep)
    _check_preparation(method, wanted, seconds, session, keep)
    if method.targets == "teacher":
        find_teacher(method, wanted.problem, context)
    pace = _pace(method, wanted, context, SHARE * seconds)
    engine.check_memory(engine.estimate(0))
    spent = time.monotonic() - started
    iterations = pace.fit(MARGIN * (seconds - spent))
    if iterations < 1:
        raise InputError(
            f"`within={duration(seconds)}` is too short for {method.name}: one iteration takes {pace.first:.2g} s, "
            f"after {duration(spent)} of preparation"
        )
    clock = Clock(seconds, iterations, pace.mean, spent, engine.compiled)
    return replace(wanted, method=method.model_copy(update={"iterations": iterations}), clock=clock), session


def check_within(method: Method) -> LearnedMethod:
    """The method, if it has iterations to choose.

    Raises:
        InputError: it has none.
    """
    if not isinstance(method, LearnedMethod) or "iterations" not in type(method).model_fields:
        raise InputError(f"`within` is for methods that learn step by step; {method.name} takes what it takes")
    return method


def _check_preparation(
    method: LearnedMethod, wanted: ProxySpec, seconds: float, session: Session, keep: Path | None
) -> None:
    """Refuse trainings that come first and take all the time, before they take it."""
    before = preparation_seconds(method, wanted.problem, session, keep)
    if before > seconds:
        raise InputError(
            f"`within={duration(seconds)}` is too short for {method.name}: the networks that it trains first take "
            f"about {duration(before)}; fewer than {smaller_preparation(method, wanted.problem)} shorten that"
        )
    if before >= 1:
        session.say_once(f"networks are trained first, for about {duration(before)} of {duration(seconds)}")


@dataclass(frozen=True)
class Pace:
    """How long iterations take, in seconds.

    Attributes:
        usual: of one.
        extra: of the first of a round besides.
        round: iterations in a round.
    """

    usual: float
    extra: float = 0.0
    round: int = 1

    @property
    def first(self) -> float:
        return self.usual + self.extra

    @property
    def mean(self) -> float:
        return self.usual + self.extra / self.round

    def fit(self, seconds: float) -> int:
        """How many iterations fit, every round begun counted with all of its extra time."""
        rounds, left = divmod(max(0.0, seconds), self.extra + self.round * self.usual)
        return int(rounds) * self.round + max(0, min(self.round, int((left - self.extra) / self.usual)))


def _pace(method: LearnedMethod, wanted: ProxySpec, context: Context, patience: float) -> Pace:
    """From a few steps on throwaway state: the first and the last of an iteration, or the first of a round (see
    `period`), apart from the others.
    """
    problem = wanted.problem
    synthesis = method.start(problem, context)
    _timed(synthesis, 0, context)  # warms up: compiles, measures, fills caches
    period, each = method.period(problem), method.steps_per_iteration(problem)
    first = _timed(synthesis, 0, context) if period > 1 else 0.0
    others: list[float] = []
    began = time.monotonic()
    while (
        not others
        or time.monotonic() - began < patience
        or (len(others) < TIMED and time.monotonic() - began < 10 * patience)
    ):
        others.append(_timed(synthesis, 1 if period > 1 else 0, context))
    usual, write = sum(others) / len(others), _writing(synthesis) / EVERY
    if each > 1:
        last = _timed(synthesis, each - 1, context) if each > 2 else usual
        return Pace(first + (each - 2) * usual + last + write)
    return Pace(usual + write, max(0.0, first - usual), period) if period > 1 else Pace(usual + write)


def _writing(synthesis: Synthesis) -> float:
    """Seconds that it takes to hash the state and to write it, into the system's folder for temporary files."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Checkpoint(Path(folder) / "timed.checkpoint", 1, {})
        started = time.perf_counter()
        checkpoint.offer(synthesis.state())
        return time.perf_counter() - started


def _timed(synthesis: Synthesis, number: int, context: Context) -> float:
    """Seconds of a step, and of the copy of the state that is kept after it."""
    started = time.perf_counter()
    synthesis.step(number)
    copied(synthesis.state())
    synchronise(context.engine.device)
    return time.perf_counter() - started


def earlier_choice(wanted: ProxySpec, seconds: float, path: Path, session: Session) -> tuple[ProxySpec, Session] | None:
    """What an earlier call for `path` with the same time had chosen; None where there was none.

    A checkpoint, or a finished set, says it.
    """
    unfinished = checkpoint_path(path)
    if unfinished.exists():
        facts = read_identity(unfinished)
    elif path.exists():
        facts = ProxySet.load(path).provenance
    else:
        return None
    clock, settings = Clock.read(facts.get("within")), facts.get("settings", {})
    if clock is None or clock.seconds != seconds or not isinstance(settings, dict):
        return None
    left_open = {"net"} - wanted.method.model_fields_set  # another that the user gives now is refused as other work
    chosen = {name: settings[name] for name in {"iterations"} | left_open if name in settings}
    method = type(wanted.method)(**wanted.method.model_dump() | chosen)
    if session.compute.compile == "auto":
        session = Session(session.compute.model_copy(update={"compile": "on" if clock.compiled else "off"}))
    return replace(wanted, method=method, clock=clock), session
