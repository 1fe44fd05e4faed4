"""Trials in workers of Ray: the same rows as in a plain loop, workers that die, machines that go away."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn

from proxyset.compute.parallel import Pool
from proxyset.compute.session import Session
from proxyset.data.spec import Dataset
from proxyset.errors import InputError
from search.api import rank_architectures
from search.placement import place
from search.settings import RankingSettings
from search.sources.registry import FREE
from search.space import Builder, Candidate
from search.trial import Job, Row, TrialContext, Workbench
from tests.search.conftest import make_context

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def global_generators_stay_put() -> None:
    """Not held here: Ray and Tune draw names from the global generators."""


def run(jobs: list[Job], context: TrialContext, session: Session | None = None, **pool: Any) -> list[Row]:
    from search.workers import run_trials

    rows: list[Row] = []
    placement = place(Pool(workers=None, **pool), session or Session(device="cpu"))
    run_trials(jobs, context, placement, lambda row, running: rows.append(row))
    return rows


def without_time(rows: list[Row]) -> list[Row]:
    return sorted(({**row, "seconds": 0} for row in rows), key=str)


def linear(channels: int, size: int, classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size**2, classes))


def dies_once(folder: Path, times: int = 1) -> Builder:
    """A builder that, the first `times` times, writes its process id and waits to be killed."""

    def build(channels: int, size: int, classes: int) -> nn.Module:
        attempt = len(list(folder.iterdir()))
        if attempt < times:
            (folder / f"{attempt}").write_text(str(os.getpid()))
            time.sleep(100)
        return nn.Sequential(nn.Flatten(), nn.Linear(channels * size**2, classes))

    return build


def kill_as_they_come(folder: Path, times: int) -> threading.Thread:
    """SIGKILL to every process that writes its id to `folder`."""

    def watch() -> None:
        for attempt in range(times):
            file = folder / f"{attempt}"
            while not (file.exists() and file.read_text()):
                time.sleep(0.05)
            os.kill(int(file.read_text()), signal.SIGKILL)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_the_same_rows_as_in_a_plain_loop(context: TrialContext) -> None:
    """Also with a precision and a memory limit, which `test_trial` shows to change the work: they reach the workers."""
    jobs = [Job(source, name) for source in context.sources for name in context.candidates]
    session = Session(device="cpu", precision="bf16", memory_limit=0.4376)  # a few images at a time
    bench = Workbench(context, session)
    expected = without_time([bench.run(job) for job in jobs])
    assert without_time(run(jobs, context, session)) == expected
    assert all(row["error"] is None for row in expected)


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_ranking_from_python_with_a_pool_gives_the_same_scores(
    make_dataset: Callable[..., Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = RankingSettings(
        ipc=2, epochs=2, whole_epochs=1, truth="none", free=False, promote=3, final_epochs=2, validation=0.25
    )
    rankings = [
        rank_architectures(
            make_dataset(counts=12),
            ["random"],
            space=["mlp", ("linear", linear), "convnet-w4"],
            settings=settings,
            session=Session(device="cpu"),
            pool=pool,
            progress=False,
            folder=tmp_path / f"run{number}",
        )
        for number, pool in enumerate((None, Pool(workers=2)))
    ]
    pd.testing.assert_frame_equal(rankings[0].scores, rankings[1].scores)
    for name in ("mlp", "linear", "convnet-w4"):
        here, there = (ranking.network(name) for ranking in rankings)
        assert all(torch.equal(here.weights[key], there.weights[key]) for key in here.weights)
        assert here.facts == there.facts
    assert not rankings[0].network("linear").build(linear).training


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_a_worker_killed_mid_trial_is_retried_and_nothing_else_lost(
    make_dataset: Callable[..., Dataset], tmp_path: Path
) -> None:
    candidates = (Candidate("dies", builder=dies_once(tmp_path)), Candidate("fine", builder=linear))
    context = make_context(make_dataset(counts=12), candidates)
    jobs = [Job("whole", "dies"), *(Job("whole", "fine", repeat) for repeat in range(4))]
    thread = kill_as_they_come(tmp_path, 1)
    rows = run(jobs, context)
    thread.join(1)
    assert not thread.is_alive()
    healthy = replace(context, candidates={**context.candidates, "dies": Candidate("dies", builder=linear)})
    bench = Workbench(healthy, Session(device="cpu"))
    expected = [bench.run(job) for job in jobs]
    assert without_time(rows) == without_time(expected)


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_a_trial_whose_workers_keep_dying_is_a_row(make_dataset: Callable[..., Dataset], tmp_path: Path) -> None:
    candidates = (Candidate("dies", builder=dies_once(tmp_path, 2)), Candidate("fine", builder=linear))
    context = make_context(make_dataset(counts=12), candidates)
    kill_as_they_come(tmp_path, 2)
    rows = {row["name"]: row for row in run([Job("whole", "dies"), Job("whole", "fine")], context, retries=1)}
    assert "the worker died 2 times" in rows["dies"]["error"]
    assert rows["fine"]["error"] is None


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_what_no_machine_has_room_for_is_refused(context: TrialContext) -> None:
    with pytest.raises(InputError, match="needs 64 CPU and 0 GPU, but no machine has that"):
        run([Job("whole", next(iter(context.candidates)))], context, cpus=64)


TWO_NODES = """
import sys, time
from dataclasses import dataclass, replace
from proxyset.compute.ray_environment import prepare_ray
prepare_ray()
import ray
from ray.cluster_utils import Cluster
from proxyset.compute.parallel import Pool
from proxyset.compute.session import Session
from search.api import rank_architectures
from search.placement import place
from search.settings import RankingSettings
from search.space import Candidate
from search.trial import Job
from tests.conftest import make_dataset
from search.workers import run_trials
from tests.search.conftest import make_context

def slow(channels, size, classes):
    import time
    from torch import nn
    time.sleep(2)
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size**2, classes))

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 80 * 2**20})
second = cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
ray.init(address=cluster.address, log_to_driver=False)
context = make_context(make_dataset(counts=12), (Candidate("slow", builder=slow),))
rows, gone = [], []

def on_row(row, running):
    rows.append(row)
    if running and not gone:  # both machines are at work
        gone.append(len(rows))
        cluster.remove_node(second, allow_graceful=False)

placement = place(Pool(workers=None, retries=3), Session(device="cpu"))
run_trials([Job("whole", "slow", repeat) for repeat in range(8)], context, placement, on_row)
assert sorted(row["repeat"] for row in rows) == list(range(8)), rows
assert all(row["error"] is None for row in rows), rows
assert gone
assert sum(node["Alive"] for node in ray.nodes()) == 1
print("all rows")
"""


@pytest.mark.slow
def test_a_machine_that_goes_away_loses_nothing() -> None:
    """Two Ray nodes with a worker each; one is removed mid-run. In a process of its own: one Ray per process."""
    done = subprocess.run([sys.executable, "-c", TWO_NODES], cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert "all rows" in done.stdout, done.stderr[-3000:]


SLOW_SPACE = """
import time
from torch import nn

def build(channels, size, classes):
    time.sleep(0.3)
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size**2, classes))

def space():
    for number in range(8):
        yield f"net-{number}", build
"""


ROWS = 8 * (2 + len(FREE))
FLAGS = "--space slow_space:space --ipc 2 --epochs 1 --whole-epochs 1 --proxy random --out run"


@dataclass
class Driver:
    """`search run` with two workers, with a home that cannot be written."""

    folder: Path

    @property
    def rows(self) -> str:
        path = self.folder / "run" / "rows.jsonl"
        return path.read_text() if path.exists() else ""

    def start(self, *argv: str) -> "subprocess.Popen[bytes]":
        (self.folder / "slow_space.py").write_text(SLOW_SPACE)
        plain = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        environment = plain | {"HOME": "/proc/nowhere", "PYTHONPATH": f"{self.folder}:{ROOT}"}
        command = [sys.executable, "-m", "search", "run", *argv, "--workers", "2"]
        return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def wait_for_rows(self, count: int, process: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and process.poll() is None and self.rows.count("\n") < count:
            time.sleep(0.01)


@pytest.mark.slow
def test_a_driver_killed_with_its_workers_goes_on(images: Path, tmp_path: Path) -> None:
    """SIGKILL to the driver of a local Ray; --resume does only the rest."""
    run = Driver(tmp_path)
    driver = run.start("--dataset", str(images), *FLAGS.split())
    run.wait_for_rows(3, driver)
    driver.kill()
    _, error = driver.communicate()
    before = run.rows
    assert before, error.decode()[-3000:]
    before = before[: before.rindex("\n") + 1]
    assert 3 <= before.count("\n") < ROWS
    again = run.start("--resume", "run", "--trust")
    _, error = again.communicate(timeout=300)
    assert again.returncode == 0, error.decode()[-3000:]
    assert run.rows.startswith(before)
    assert run.rows.count("\n") == ROWS
    assert f"{before.count(chr(10))} of {ROWS} trials are already done" in error.decode()
    assert not (tmp_path / ".run.lock").exists()


@pytest.mark.slow
def test_where_ray_dies_the_last_line_says_how_to_go_on(images: Path, tmp_path: Path) -> None:
    import ray  # noqa: F401 (brings psutil)
    import psutil  # type: ignore[import-not-found, import-untyped, unused-ignore]  # isort: skip

    run = Driver(tmp_path)
    driver = run.start("--dataset", str(images), *FLAGS.split())
    run.wait_for_rows(3, driver)
    for process in psutil.Process(driver.pid).children():
        if process.name() == "raylet":
            process.kill()
    _, error = driver.communicate(timeout=300)
    assert driver.returncode == 1, error.decode()[-3000:]
    assert error.decode().splitlines()[-1].endswith("to go on: search run --resume run --trust")
    assert "Traceback" not in error.decode()
    assert 3 <= run.rows.count("\n") < ROWS
