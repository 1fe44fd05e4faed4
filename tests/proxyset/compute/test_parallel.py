"""An ordered map over jobs, in this process and on Ray."""

import functools
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from proxyset.compute.parallel import Pool, cores, default_workers, run_jobs
from proxyset.errors import InputError, RunError

HERE, RAY = Pool(), Pool(workers=2)
Job = tuple[str, float]
"""What to do, and a number."""


def make_worker(folder: Path) -> Callable[[Job], tuple[float, int]]:
    """A worker that leaves a file in `folder` when it is made, and squares numbers; gives its process too."""
    (folder / f"made-{os.getpid()}-{time.monotonic_ns()}").touch()

    def work(job: Job) -> tuple[float, int]:
        kind, number = job
        if kind == "slow":
            time.sleep(0.5)
        if kind == "dies once" and not (folder / "died").exists():
            (folder / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "dies":
            os._exit(3)
        if kind == "wrong input":
            raise InputError("`net` is unknown")
        if kind == "cannot go on":
            raise RunError("the loss became nan")
        if kind == "bug":
            raise ZeroDivisionError("division by\nzero")
        return number**2, os.getpid()

    return work


def makers(folder: Path) -> list[int]:
    """The process of each worker that was made."""
    return [int(file.name.split("-")[1]) for file in folder.glob("made-*")]


def squares(*numbers: float) -> list[Job]:
    return [("square", number) for number in numbers]


def no_worker() -> Callable[[Job], None]:
    raise InputError("`data_root` is empty")


# In this process.


def test_in_this_process_jobs_are_done_one_after_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # as on a machine that has none
    seen: list[tuple[int, tuple[float, int]]] = []
    results = run_jobs(
        functools.partial(make_worker, tmp_path),
        squares(3, 1, 2),
        HERE,
        lambda number, result: seen.append((number, result)),
    )
    assert [result for result, _ in results] == [9, 1, 4]
    assert seen == list(enumerate(results))
    assert makers(tmp_path) == [os.getpid()]
    assert run_jobs(functools.partial(make_worker, tmp_path), [], HERE) == []


@pytest.mark.parametrize(
    ("kind", "error"), [("wrong input", InputError), ("cannot go on", RunError), ("bug", ZeroDivisionError)]
)
def test_in_this_process_errors_come_as_they_are(kind: str, error: type[Exception], tmp_path: Path) -> None:
    done: list[int] = []
    jobs = [*squares(1), (kind, 0.0), *squares(2)]
    with pytest.raises(error):
        run_jobs(functools.partial(make_worker, tmp_path), jobs, HERE, lambda number, result: done.append(number))
    assert done == [0]


def test_as_many_workers_as_there_are_cores_to_spare() -> None:
    assert cores() >= 1
    assert default_workers(torch.device("cpu")) == max(1, cores() - 1 if cores() > 2 else 1)
    assert default_workers(torch.device("cuda")) == 1
    assert Pool().in_process
    assert not Pool(workers=2).in_process
    assert not Pool(address="auto").in_process
    assert not Pool(workers=None).in_process


# On Ray, which is started once for all of these.


@pytest.mark.usefixtures("local_ray")
class TestOnRay:
    @pytest.fixture(autouse=True)
    def global_generators_stay_put(self) -> None:
        """Ray draws from Python's."""

    def test_results_come_as_they_are_ready_and_are_returned_in_order(self, tmp_path: Path) -> None:
        seen: list[int] = []
        jobs = [("slow", 5.0), *squares(1, 2, 3, 4)]
        results = run_jobs(
            functools.partial(make_worker, tmp_path), jobs, RAY, lambda number, result: seen.append(number)
        )
        assert [result for result, _ in results] == [25, 1, 4, 9, 16]
        assert sorted(seen) == [0, 1, 2, 3, 4]
        assert seen[0] != 0  # the slow one is not waited for
        processes = {process for _, process in results}
        assert os.getpid() not in processes
        assert len(processes) <= 2
        assert len(makers(tmp_path)) == len(set(makers(tmp_path)))  # a worker is made once in a process

    def test_a_worker_that_is_killed_is_replaced_and_its_job_done_again(self, tmp_path: Path) -> None:
        jobs = [("dies once", 3.0), *squares(1, 2)]
        results = run_jobs(functools.partial(make_worker, tmp_path), jobs, Pool(workers=2, retries=1))
        assert [result for result, _ in results] == [9, 1, 4]
        assert (tmp_path / "died").exists()

    def test_a_job_whose_workers_keep_dying_is_given_up(self, tmp_path: Path) -> None:
        with pytest.raises(RunError, match="job 1 of 1: its worker died 2 times") as raised:
            run_jobs(functools.partial(make_worker, tmp_path), [("dies", 0.0)], Pool(workers=2, retries=1))
        assert "\n" not in str(raised.value)

    @pytest.mark.parametrize(
        ("kind", "error", "words"),
        [
            ("cannot go on", RunError, "^the loss became nan$"),
            ("bug", RunError, "a job failed: ZeroDivisionError: division by zero"),
        ],
    )
    def test_errors_of_a_job_reach_this_process(
        self, kind: str, error: type[Exception], words: str, tmp_path: Path
    ) -> None:
        with pytest.raises(error, match=words) as raised:
            run_jobs(functools.partial(make_worker, tmp_path), [(kind, 0.0)], RAY)
        assert "\n" not in str(raised.value)

    def test_a_worker_that_cannot_be_made_says_why(self) -> None:
        """And a mistake in the input stays one."""
        with pytest.raises(InputError, match=r"^`data_root` is empty$"):
            run_jobs(no_worker, squares(1), RAY)

    def test_a_worker_that_no_machine_has_room_for_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="a worker needs 1000 CPU"):
            run_jobs(functools.partial(make_worker, tmp_path), squares(1), Pool(workers=2, cpus=1000))
