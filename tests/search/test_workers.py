"""Trials in workers of Ray: the same rows as in a plain loop, workers that die, machines that go away."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
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
from proxyset.compute.ray_environment import prepare_ray
prepare_ray()
import ray
from ray.cluster_utils import Cluster
from proxyset.compute.parallel import Pool
from proxyset.compute.session import Session
from search.placement import place
from search.space import Candidate
from search.trial import Job
from tests.conftest import make_dataset
from search.workers import run_trials
from tests.search.conftest import make_context

SEEN = sys.argv[1]

def slow(channels, size, classes):  # waits for the other worker, however long a busy machine takes to start it
    import os, time
    from pathlib import Path
    from torch import nn
    Path(SEEN, str(os.getpid())).touch()
    for _ in range(2000):
        if len(list(Path(SEEN).iterdir())) > 1:
            break
        time.sleep(0.1)
    time.sleep(1)
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
for _ in range(600):  # Ray notices after a while
    if sum(node["Alive"] for node in ray.nodes()) == 1:
        print("all rows")
        break
    time.sleep(0.1)
"""


@pytest.mark.slow
def test_a_machine_that_goes_away_loses_nothing(tmp_path: Path) -> None:
    """Two Ray nodes with a worker each; one is removed mid-run. In a process of its own: one Ray per process."""
    done = subprocess.run(
        [sys.executable, "-c", TWO_NODES, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=500
    )
    assert "all rows" in done.stdout, done.stderr[-3000:]
