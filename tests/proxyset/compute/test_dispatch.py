"""Which jobs share a call, who is to blame for a dead worker, and what workers of Ray see."""

import time
from collections import deque
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from proxyset.compute.dispatch import MOST_JOBS, Assignment, Dispatcher, Enough, _Actor
from proxyset.compute.parallel import Pool, stream_jobs
from proxyset.errors import RunError


class Told(list[tuple[int, Any, int]]):
    """What a driver was told."""

    def __call__(self, number: int, result: Any, running: int) -> None:
        self.append((number, result, running))


def dispatcher(jobs: list[str], workers: int = 2, retries: int = 2, **work: Any) -> "Dispatcher[str, Any]":
    made: Dispatcher[str, Any] = Dispatcher(
        Assignment(lambda: str, jobs, Told(), kind=str, **work), 1, 0.0, retries, lambda: 1
    )
    made.waiting = deque(range(len(jobs)))
    made.idle = [object()] * workers
    return made


def test_a_kind_of_which_nothing_is_known_goes_alone_and_short_jobs_share_a_call() -> None:
    made = dispatcher(["a"] * 100)
    assert made._next_jobs() == [0]
    made._learn(0, 0.1)
    assert made._next_jobs() == list(range(1, 11))  # of a tenth of a second each, about a second
    made._learn(1, 1e-6)
    made.seconds["a"] = 1e-6
    assert len(made._next_jobs()) == 45  # half of the 89 that are left: the other worker has the rest


def test_long_jobs_and_other_kinds_go_alone() -> None:
    made = dispatcher(["long", "long", "new", "short", "short", "short"], workers=1)
    made.seconds.update({"long": 30.0, "short": 0.01})
    assert [made._next_jobs() for _ in range(4)] == [[0], [1], [2], [3, 4, 5]]


def test_a_call_is_never_larger_than_what_its_answer_may_be() -> None:
    made = dispatcher(["a"] * 10_000, workers=1)
    made.seconds["a"] = 1e-9
    assert len(made._next_jobs()) == MOST_JOBS


def test_only_a_job_that_was_alone_is_given_up() -> None:
    made = dispatcher(["a", "bad", "a"], retries=0, workers=1, on_lost=lambda job, why: f"{job}: {why}")
    made.seconds.update({"a": 0.0, "bad": 0.0})
    assert made._next_jobs() == [0, 1, 2]
    made._died([0, 1, 2])
    assert [made._next_jobs() for _ in range(3)] == [[0], [1], [2]]
    made._died([1])
    told = made.work.on_result
    assert isinstance(told, Told)
    assert [(number, result[:27]) for number, result, _ in told] == [(1, "bad: the worker died 2 times"[:27])]
    assert not made.waiting


class Full(Told):
    """A driver that has enough after some results."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def __call__(self, number: int, result: Any, running: int) -> None:
        super().__call__(number, result, running)
        if len(self) >= self.after:
            raise Enough("the time is up")


def test_where_it_is_enough_nothing_begins_and_every_result_is_handed_on() -> None:
    made = dispatcher(["a"] * 5, workers=1)
    told = Full(after=1)
    made.work = replace(made.work, on_result=told)
    assert made._next_jobs() == [0]
    made._hand_on(0, "first")
    made._hand_on(1, "second")
    made._died([2])
    assert [result for _, result, _ in told] == ["first", "second"]
    assert not made.waiting
    assert made.dropped == 5


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_on_ray_what_runs_when_it_is_enough_is_finished(tmp_path: Path) -> None:
    told = Full(after=1)
    with pytest.raises(Enough, match="the time is up"):
        stream_jobs(Assignment(partial(Together, tmp_path), list(range(6)), told), Pool(workers=2))
    assert {number for number, _, _ in told} == {0, 1}


class Together:
    """A worker whose first two jobs begin at the same time; the second takes longer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, job: int) -> int:
        (self.folder / str(job)).touch()
        while len(list(self.folder.iterdir())) < 2:
            time.sleep(0.01)
        time.sleep(job)
        return job


def test_without_a_result_for_lost_jobs_the_work_ends() -> None:
    made = dispatcher(["bad"], retries=0)
    made._next_jobs()
    with pytest.raises(RunError, match=r"job 1 of 1: the worker died 1 times .* `workers=1`"):
        made._died([0])


def test_results_before_a_job_that_raises_are_kept() -> None:
    def work(job: int) -> int:
        return 6 // job

    actor: _Actor[int, int] = _Actor(lambda: work, 1)
    assert [result for result, _ in actor.run([1, 2, 0, 3])] == [6, 3]
    with pytest.raises(ZeroDivisionError):
        actor.run([0, 3])


def test_in_this_process_each_result_is_handed_on_with_what_still_runs() -> None:
    told = Told()
    stream_jobs(Assignment(lambda: lambda job: 2 * job, [1, 2, 3], told), Pool())
    assert told == [(0, 2, 1), (1, 4, 1), (2, 6, 0)]


class SharedImages:
    """A worker that says whether its images are its own copy."""

    def __init__(self, images: np.ndarray) -> None:
        self.images = images

    def __call__(self) -> "SharedImages.Look":
        return self.Look(self.images)

    class Look:
        def __init__(self, images: np.ndarray) -> None:
            self.images = images

        def __call__(self, job: int) -> tuple[bool, bool]:
            return self.images.flags.owndata, self.images.flags.writeable


@pytest.fixture
def global_generators_stay_put() -> None:
    """Ray draws from the global generator of `random`."""


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_on_ray_images_are_shared_and_every_short_job_is_done_once() -> None:
    """Large arrays are read where Ray keeps them; a thousand jobs take few calls."""
    told = Told()
    images = np.zeros((1000, 3, 32, 32), dtype=np.uint8)
    stream_jobs(Assignment(SharedImages(images), list(range(1000)), told, kind=lambda job: "look"), Pool(workers=2))
    assert sorted(number for number, _, _ in told) == list(range(1000))
    assert {result for _, result, _ in told} == {(False, False)}
