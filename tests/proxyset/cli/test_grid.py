"""`proxyset grid`: one table however often it is killed, on however many workers."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml

from proxyset.artefact.proxy_set import ProxySet
from proxyset.compute.plan import Estimate
from proxyset.compute.threads import threads
from proxyset.report.grid_jobs import Bench, Job
from proxyset.report.grid_run import GridFolder
from tests.proxyset.cli.made import Cli, save_npz
from tests.robust.kills import EVERY

NET = "convnet-w4-d1"
SMALL: dict[str, Any] = {
    "title": "tiny",
    "datasets": {"digits": {"dataset": "digits"}},
    "methods": {
        "random": {},
        "herding": {"net": NET, "epochs": 1},
        "dm": {"net": NET, "iterations": 2, "batch_real": 8},
        "whole": {"epochs": 1},
    },
    "ipc": [1, 2],
    "tests": {"quick": {"net": [NET], "nets": 2, "epochs": 2}},
}
CELLS, SETS = 7, 4
TABLES = ("results.csv", "table.md", "table.tex", "table.html")
TIMES = ["seconds", "set_seconds"]


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(SMALL | changes))
    return path


def accuracies(folder: Path) -> pd.DataFrame:
    """The results without what differs from run to run."""
    return pd.read_parquet(folder / "results.parquet").drop(columns=TIMES)


def test_a_grid_ends_with_its_tables(cli: Cli, tmp_path: Path) -> None:
    config = write(tmp_path, published={"digits 1": {"dm": 50}})
    result = cli("grid", "--config", config, "--json")
    assert result.code == 0, result.err
    folder = tmp_path / "grids/small"
    assert all((folder / name).stat().st_size for name in (*TABLES, "results.parquet"))
    frame = accuracies(folder)
    assert len(frame) == 2 * CELLS
    found = frame[(frame.method == "dm") & (frame.ipc == 1)].accuracy
    assert f"{100 * found.mean():.1f} ± {100 * found.std(ddof=0):.1f} (2) [50.0, " in (folder / "table.md").read_text()
    assert len(list((folder / "sets").glob("*.safetensors"))) == SETS
    assert cli("grid", "--config", config).code == 2  # it is there
    again = cli("grid", "--config", config, "--resume")
    assert again.code == 0
    assert f"{CELLS} are there; 0 sets to build, 0 cells to score" in again.err


def test_a_known_name_means_the_same_beside_a_folder_that_is_called_so(cli: Cli, tmp_path: Path) -> None:
    """The folder is no dataset: were it taken, the grid would end in a refusal."""
    (tmp_path / "digits").mkdir()
    assert cli("grid", "--config", write(tmp_path), "--dry-run").code == 0


def test_a_dry_run_says_what_there_is_to_do_and_does_nothing(cli: Cli, tmp_path: Path) -> None:
    result = cli("grid", "--config", write(tmp_path), "--dry-run")
    assert result.code == 0
    assert f"{CELLS} cells: 0 are there; {SETS} sets to build, {CELLS} cells to score" in result.err
    assert "estimated: " in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]


def test_the_estimate_is_timed_with_the_threads_of_a_worker(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[int] = set()
    estimate = Bench.estimate

    def spy(bench: Bench, job: Job) -> Estimate:
        seen.add(torch.get_num_threads())
        return estimate(bench, job)

    monkeypatch.setattr(Bench, "estimate", spy)
    config = write(tmp_path, ipc=[1])
    with threads(2):
        for more, wanted in (([], {2}), (["--workers", "2"], {1}), (["--workers", "2", "--cpus-per-job", "3"], {3})):
            assert cli("grid", "--config", config, "--dry-run", *more).code == 0
            assert (seen, torch.get_num_threads()) == (wanted, 2)
            seen.clear()


def test_a_failed_cell_is_a_cell_with_its_error_and_is_tried_again(cli: Cli, tmp_path: Path) -> None:
    methods = SMALL["methods"] | {"broken": {"method": "no_such_module:Method"}}
    assert "no_such_module" in cli("grid", "--config", write(tmp_path, methods=methods)).err
    config = write(tmp_path, ipc=[1, 500])
    result = cli("grid", "--config", config)
    assert result.code == 0
    folder = tmp_path / "grids/small"
    frame = accuracies(folder)
    assert set(frame[frame.ipc == 500].error.str.contains("500")) == {True}
    assert frame[frame.ipc == 1].error.isna().all()
    assert "failed" in (folder / "table.md").read_text()
    assert "4 are there" in cli("grid", "--config", config, "--resume").err


def test_a_grid_may_grow_and_look_otherwise_but_not_mean_something_else(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "grids/small"
    assert cli("grid", "--config", write(tmp_path, ipc=[1])).code == 0
    before = accuracies(folder)
    grown = cli("grid", "--config", write(tmp_path, title="other"), "--resume")
    assert grown.code == 0
    assert "4 are there; 2 sets to build" in grown.err
    after = accuracies(folder)
    pd.testing.assert_frame_equal(after[after.ipc.isna() | (after.ipc == 1)].reset_index(drop=True), before)
    tests = {"quick": SMALL["tests"]["quick"] | {"epochs": 3}}
    changed = write(tmp_path, tests=tests)
    for more in (["--resume"], ["--dry-run"]):
        refused = cli("grid", "--config", changed, *more)
        assert refused.code == 2
        assert "test 'quick'" in refused.err
    assert cli("grid", "--config", changed, "--resume", "--force").code == 2
    anew = cli("grid", "--config", changed, "--force")
    assert "0 are there; 0 sets to build, 7 cells to score" in anew.err
    assert accuracies(folder).set_bytes.notna().sum() == accuracies(folder).method.isin(["herding", "dm"]).sum()


def test_other_exceptions_score_their_cells_anew_and_more_tests_of_a_method_only_add(cli: Cli, tmp_path: Path) -> None:
    folder, slow = tmp_path / "grids/small", SMALL["tests"]["quick"] | {"epochs": 3}
    small = {"ipc": [1], "tests": SMALL["tests"] | {"slow": slow}}
    methods = {"random": {"tests": ["quick"]}, "dm": SMALL["methods"]["dm"] | {"tests": ["quick"]}}
    assert cli("grid", "--config", write(tmp_path, **small, methods=methods)).code == 0
    more = methods | {"random": {"tests": ["quick", "slow"]}}
    assert (
        "2 are there; 0 sets to build, 1 cells to score"
        in cli("grid", "--config", write(tmp_path, **small, methods=more), "--resume").err
    )
    exceptions = [{"where": {"method": "dm"}, "set": {"iterations": 3}}]
    assert (
        "2 are there; 1 sets to build, 1 cells to score"
        in cli("grid", "--config", write(tmp_path, **small, methods=more, exceptions=exceptions), "--resume").err
    )
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    scored = [row["settings"] for row in rows if row["score"] and "dm" in row["key"]]
    assert scored == [{}, {"iterations": 3}]


def test_other_data_under_the_same_name_is_refused(cli: Cli, tmp_path: Path) -> None:
    save_npz(tmp_path / "one.npz")
    save_npz(tmp_path / "two.npz", seed=1)
    config = write(tmp_path, datasets={"mine": {"dataset": "one.npz"}}, methods={"random": {}}, ipc=[1])
    assert cli("grid", "--config", config).code == 0
    result = cli("grid", "--config", config, "--resume", "--place", "mine=two.npz")
    assert result.code == 2
    assert "content of 'mine'" in result.err


def test_digits_from_another_place_are_not_mirrored(cli: Cli, tmp_path: Path) -> None:
    save_npz(tmp_path / "copy.npz")
    datasets: dict[str, Any] = {"svhn": {"dataset": "svhn"}, "mirrored": {"dataset": "svhn", "flip": True}}
    config = write(tmp_path, datasets=datasets, methods={"herding": {"net": NET, "epochs": 1}}, ipc=[1])
    assert cli("grid", "--config", config, "--place", "svhn=copy.npz", "mirrored=copy.npz").code == 0
    sets = [ProxySet.load(path) for path in (tmp_path / "grids/small").rglob("*.safetensors")]
    flips = {proxy.provenance["dataset"]["flip"] for proxy in sets}
    assert len(sets) == 2
    assert flips == {True, False}


def test_two_names_of_one_set_build_it_once(cli: Cli, tmp_path: Path) -> None:
    methods = {"one": {"method": "dd", "net": NET, "iterations": 1, "unroll": 1}}
    methods["ten"] = methods["one"] | {"unroll": 10}  # of one image per class there is one minibatch
    result = cli("grid", "--config", write(tmp_path, methods=methods, ipc=[1]))
    assert "1 sets to build, 2 cells to score" in result.err
    frame = accuracies(tmp_path / "grids/small")
    assert frame.error.isna().all()
    assert frame[frame.method == "one"].accuracy.tolist() == frame[frame.method == "ten"].accuracy.tolist()


def test_code_that_breaks_costs_its_own_cells(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "broken_net.py").write_text(
        "from torch import nn\n\n\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.layer = nn.Linear(64, 10)\n\n    def forward(self, x):\n        raise RuntimeError('boom')\n\n\n"
        "def net(*shape, **more):\n    return Net()\n"
    )
    tests = SMALL["tests"] | {"other": {"net": ["broken_net:net"], "nets": 1, "epochs": 1}}
    result = cli("grid", "--config", write(tmp_path, methods={"random": {}}, ipc=[1], tests=tests))
    assert result.code == 0, result.err
    frame = accuracies(tmp_path / "grids/small")
    assert frame[frame.test == "quick"].error.isna().all()
    assert frame[frame.test == "other"].error.str.contains("boom").all()


def test_interrupted_after_any_job_it_goes_on(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = write(tmp_path)
    assert cli("grid", "--config", config, "--out", "whole").code == 0
    append = GridFolder.append
    for stop in (1, 3, 2):
        left = [stop]

        def interrupted(folder: GridFolder, row: Any, left: list[int] = left) -> None:
            append(folder, row)
            left[0] -= 1
            if not left[0]:
                raise KeyboardInterrupt

        monkeypatch.setattr(GridFolder, "append", interrupted)
        result = cli("grid", "--config", config, "--out", "parts", "--resume")
        assert result.code == 130
        assert "--resume" in result.err
    monkeypatch.setattr(GridFolder, "append", append)
    assert cli("grid", "--config", config, "--out", "parts", "--resume").code == 0
    pd.testing.assert_frame_equal(accuracies(tmp_path / "parts"), accuracies(tmp_path / "whole"))


KILLS = 3 if EVERY == 1 else 1  # `make kills` has them all


@pytest.mark.slow
class TestKilled:
    @pytest.fixture(autouse=True)
    def global_generators_stay_put(self) -> None:
        """Ray draws from `random`."""

    def test_it_ends_with_the_same_table(self, cli: Cli, tmp_path: Path) -> None:
        """SIGKILL in the middle of the work; two worker processes for the rest, where all kills are tried."""
        methods = {name: SMALL["methods"][name] for name in ("random", "dm")}
        seeds = [0, 1, 2, 3] if KILLS > 1 else [0]
        config = write(tmp_path, methods=methods, ipc=[1, 2, 3, 4, 5], seeds=seeds)
        assert cli("grid", "--config", config, "--out", "whole").code == 0
        command = [sys.executable, "-m", "proxyset", "grid", "--config", str(config), "--out", "parts", "--resume"]
        rows, before = tmp_path / "parts/rows.jsonl", 0
        for _ in range(KILLS):
            process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL, env={**os.environ})
            while process.poll() is None and (not rows.exists() or len(rows.read_text().splitlines()) < before + 6):
                time.sleep(0.01)
            assert process.poll() is None
            process.send_signal(signal.SIGKILL)
            process.wait()
            before = len(rows.read_text().splitlines())
        workers = ["--workers", "2"] if KILLS > 1 else []
        assert cli("grid", "--config", config, "--out", "parts", "--resume", *workers).code == 0
        whole, parts = accuracies(tmp_path / "whole"), accuracies(tmp_path / "parts")
        assert len(whole) == 2 * 2 * 5 * len(seeds)
        pd.testing.assert_frame_equal(parts, whole)
        assert (tmp_path / "parts/table.md").read_text() == (tmp_path / "whole/table.md").read_text()


TWO_NODES = """
import sys, threading, time
from pathlib import Path
from proxyset.compute.ray_environment import prepare_ray
prepare_ray()
from ray.cluster_utils import Cluster

small = {"object_store_memory": 80 * 2**20, "num_cpus": 1}
cluster = Cluster(initialize_head=True, head_node_args=small)
second = cluster.add_node(**small)
config, out = sys.argv[1:]

def take_away():
    rows = Path(out) / "rows.jsonl"
    while not rows.exists() or len(rows.read_text().splitlines()) < 4:
        time.sleep(0.05)
    cluster.remove_node(second, allow_graceful=False)
    print("taken away", flush=True)

threading.Thread(target=take_away, daemon=True).start()
from proxyset.cli.app import main
main(["grid", "--config", config, "--out", out, "--address", cluster.address])
"""


@pytest.mark.slow
@pytest.mark.skipif(KILLS == 1, reason="a minute: `make kills` runs it")
def test_killed_machines_of_a_cluster_lose_nothing(cli: Cli, tmp_path: Path) -> None:
    """Two Ray nodes with a worker each, of which one goes away in the middle; the method is code of the user's own."""
    (tmp_path / "own_method.py").write_text(
        "from proxyset.methods.coreset import Random\n\n\nclass Own(Random):\n    name = 'own'\n"
    )
    methods = {"dm": SMALL["methods"]["dm"], "own": {"method": "own_method:Own"}}
    config = write(tmp_path, methods=methods, ipc=[1, 2], seeds=[0, 1, 2])
    assert cli("grid", "--config", config, "--out", "whole").code == 0
    command = [sys.executable, "-c", TWO_NODES, str(config), "parts"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}  # as every machine must have it
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "taken away" in done.stdout
    pd.testing.assert_frame_equal(accuracies(tmp_path / "parts"), accuracies(tmp_path / "whole"))
