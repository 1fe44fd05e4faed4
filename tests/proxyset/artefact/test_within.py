"""A time becomes a number of iterations once; whoever goes on takes the same number."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from proxyset.artefact import within
from proxyset.artefact.build import ProxySpec, build_claimed, build_file
from proxyset.artefact.clock import Clock
from proxyset.artefact.outputs import checkpoint_path
from proxyset.artefact.proxy_set import ProxySet
from proxyset.artefact.within import Pace, earlier_choice, fit_within
from proxyset.compute import plan
from proxyset.compute.session import Session
from proxyset.data.spec import Dataset
from proxyset.errors import InputError
from proxyset.methods import preparation
from proxyset.methods.coreset import Random
from proxyset.methods.dm import DM
from proxyset.methods.dsa import DSA

FAST: dict[str, Any] = {"net": "convnet-w4-d1", "batch_real": 4}


@pytest.fixture
def session() -> Session:
    return Session(device="cpu", compile="off")


def timing(monkeypatch: pytest.MonkeyPatch, first: float, others: float) -> list[int]:
    """Steps take so long, without taking any time; returns the list of those that are asked for."""
    asked: list[int] = []

    def timed(synthesis: Any, number: int, context: Any) -> float:
        asked.append(number)
        return first if number == 0 else others

    monkeypatch.setattr(within, "_timed", timed)
    monkeypatch.setattr(within, "_writing", lambda synthesis: 0.0)
    monkeypatch.setattr(within, "SHARE", 0.0)
    monkeypatch.setattr(within, "TIMED", 1)
    return asked


def test_iterations_fill_the_time_that_is_left(
    tiny: Dataset, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    timing(monkeypatch, 2.0, 2.0)
    fitted, _ = fit_within(ProxySpec(tiny, DM(**FAST), 1), 1000, session)
    clock = fitted.clock
    assert clock is not None
    assert clock.each == 2.0
    assert clock.iterations == fitted.method.iterations == int(0.97 * (1000 - clock.spent) / 2)  # type: ignore[attr-defined]
    assert 470 <= clock.iterations <= 485
    assert fitted.identity(fitted.engine(session))["within"]["seconds"] == 1000


def test_a_tenth_of_a_write_counts_for_every_iteration(
    tiny: Dataset, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    timing(monkeypatch, 2.0, 2.0)
    monkeypatch.setattr(within, "_writing", lambda synthesis: 20.0)
    for method in (DM(**FAST), DSA(**FAST, inner_steps=2)):
        fitted, _ = fit_within(ProxySpec(tiny, method, 1), 1000, session)
        assert fitted.clock is not None
        assert fitted.clock.each == 2.0 * method.steps_per_iteration(fitted.problem) + 2.0


def test_a_first_step_that_takes_longer_counts_once_a_round(
    tiny: Dataset, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    timing(monkeypatch, 11.0, 1.0)
    searches = DM(real_batches="k-means", refresh=10, **FAST)
    fitted, _ = fit_within(ProxySpec(tiny, searches, 1), 1000, session)
    assert fitted.clock is not None
    assert fitted.clock.each == pytest.approx(2.0)
    inner = DSA(net="convnet-w4-d1", inner_steps=10, net_epochs=1)
    fitted, _ = fit_within(ProxySpec(tiny, inner, 1), 1000, session)
    assert fitted.clock is not None
    assert fitted.clock.each == pytest.approx(20.0)  # nine steps of 1 s and one of 11 s


@pytest.mark.parametrize(("usual", "extra", "round"), [(1.0, 10.0, 10), (0.5, 100.0, 200), (2.0, 0.0, 1)])
def test_what_fits_takes_no_longer_and_one_more_would(usual: float, extra: float, round: int) -> None:
    pace = Pace(usual, extra, round)
    for seconds in (0.0, 1.0, 10.9, 11.0, 99.0, 150.5, 1000.0):
        found = pace.fit(seconds)
        took, more = (count * usual + math.ceil(count / round) * extra for count in (found, found + 1))
        assert took <= seconds < more


def test_the_last_step_of_an_iteration_is_timed_too(
    tiny: Dataset, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After it no network is trained."""
    asked = timing(monkeypatch, 11.0, 1.0)
    inner = DSA(net="convnet-w4-d1", inner_steps=10, net_epochs=1)
    fit_within(ProxySpec(tiny, inner, 1), 1000, session)
    assert {0, 1, 9} == set(asked)


def test_trainings_that_take_all_the_time_are_refused_before_they_begin(
    tiny: Dataset, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "training_seconds", lambda course, problem, session, images: 0.1 * images)
    method = DM(networks="trained", trainings=3, teacher_epochs=10, **FAST)
    with pytest.raises(InputError, match=r"trains first take about 1 min .* `trainings=3` or `teacher_epochs=10`"):
        fit_within(ProxySpec(tiny, method, 1), 60, session)
    assert not session.kept


def test_a_memory_limit_holds_here_too(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session(device="cpu", compile="off", memory_limit=1)
    monkeypatch.setattr(plan, "peak_memory", lambda device: 2**40)
    with pytest.raises(InputError, match="are needed, more than"):
        fit_within(ProxySpec(tiny, DM(**FAST), 1), 3, session)


def test_another_network_is_other_work(tiny: Dataset, session: Session, tmp_path: Path) -> None:
    """What was left open is as it was chosen; what is given stays, and so is found to differ."""
    path, clock = tmp_path / "set.safetensors", Clock(60.0, 2, 0.1, 1.0, compiled=False)
    made = DM(net="convnet-w4-d1", iterations=2, batch_real=4)
    build_file(ProxySpec(tiny, made, 1, clock=clock), path, session=session, progress=False)
    for given, expected in (({}, made.net), ({"net": "convnet-w8-d1"}, "convnet-w8-d1")):
        again = earlier_choice(ProxySpec(tiny, DM(batch_real=4, **given), 1), 60.0, path, session)
        assert again is not None
        assert again[0].method.net.startswith(expected)  # type: ignore[attr-defined]


def test_real_steps_are_timed(tiny: Dataset, session: Session) -> None:
    fitted, _ = fit_within(ProxySpec(tiny, DM(**FAST), 1), 3.0, session)
    assert fitted.clock is not None
    assert 0 < fitted.clock.each < 1
    assert fitted.clock.iterations > 2


def test_compiling_is_chosen_by_the_time_unless_it_is_said(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    timing(monkeypatch, 1.0, 1.0)
    monkeypatch.setattr(Session, "_has_compiler", lambda self: True)
    for seconds, given, compiled in ((60, "auto", False), (600, "auto", True), (600, "off", False)):
        session = Session(device="cpu", compile=given)
        fitted, chosen = fit_within(ProxySpec(tiny, DM(**FAST), 1), seconds, session)
        assert fitted.engine(chosen).compiled == compiled
        assert fitted.clock is not None
        assert fitted.clock.compiled == compiled


def test_what_cannot_be_timed_is_refused(tiny: Dataset, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="random"):
        fit_within(ProxySpec(tiny, Random(), 1), 60, session)
    timing(monkeypatch, 100.0, 100.0)
    with pytest.raises(InputError, match="too short"):
        fit_within(ProxySpec(tiny, DM(**FAST), 1), 60, session)


@pytest.mark.parametrize("stop", [0, 1, 3])
def test_who_goes_on_takes_the_same_choice_and_gets_the_same_bits(
    stop: int, tiny: Dataset, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped before the first state was written, after the first step, and later."""
    wanted, path = ProxySpec(tiny, DM(**FAST), 1), tmp_path / "set.safetensors"
    clock = Clock(60.0, 5, 0.1, 1000.0, compiled=False)
    fitted = replace(wanted, method=DM(iterations=5, **FAST), clock=clock)
    whole = build_file(fitted, tmp_path / "whole.safetensors", session=session, progress=False)

    def interrupt(done: float, total: int, loss: float | None = None) -> None:
        if done >= stop:
            raise KeyboardInterrupt

    if stop:
        with pytest.raises(KeyboardInterrupt):
            build_claimed(fitted, path, session=session, progress=interrupt)
    else:
        monkeypatch.setattr(DM, "start", lambda *arguments: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            build_claimed(fitted, path, session=session, progress=False)
        monkeypatch.undo()
    assert checkpoint_path(path).exists()
    again = earlier_choice(wanted, 60.0, path, session)
    assert again is not None
    assert again[0].clock == clock
    assert build_file(again[0], path, session=again[1], progress=False).data.sha256() == whole.data.sha256()
    finished = earlier_choice(wanted, 60.0, path, session)  # now the set says it
    assert finished is not None
    assert finished[0].method.resolved(wanted.problem) == fitted.method.resolved(wanted.problem)
    made = ProxySet.load(path).provenance
    assert made["within"] == clock.facts()
    assert made["seconds"] > clock.spent  # what was spent before the first step is part of it, once
    assert made["seconds"] < clock.spent + 60


def test_another_time_is_another_choice(tiny: Dataset, session: Session, tmp_path: Path) -> None:
    wanted, path = ProxySpec(tiny, DM(**FAST), 1), tmp_path / "set.safetensors"
    assert earlier_choice(wanted, 60.0, path, session) is None
    build_file(replace(wanted, method=DM(iterations=2, **FAST)), path, session=session, progress=False)
    assert earlier_choice(wanted, 60.0, path, session) is None  # without a clock
    clock = Clock(60.0, 2, 0.1, 1.0, compiled=False)
    fitted = replace(wanted, method=DM(iterations=2, **FAST), clock=clock)
    build_file(fitted, path, session=session, progress=False, force=True)
    assert earlier_choice(wanted, 90.0, path, session) is None
    assert earlier_choice(wanted, 60.0, path, session) is not None


@pytest.mark.parametrize("facts", [None, 3, {}, {"seconds": 60}, {**Clock(60, 1, 1, 1, True).facts(), "iterations": 0}])
def test_what_is_no_clock_reads_as_none(facts: Any) -> None:
    assert Clock.read(facts) is None
    assert Clock.read(Clock(60, 1, 1.0, 1.0, True).facts()) == Clock(60, 1, 1.0, 1.0, True)
