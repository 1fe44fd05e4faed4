"""`proxyset grid`: one table however often it is killed, on however many workers."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from proxyset.report.grid_run import GridFolder
from tests.proxyset.cli.made import Cli
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


def test_a_dry_run_says_what_there_is_to_do_and_does_nothing(cli: Cli, tmp_path: Path) -> None:
    result = cli("grid", "--config", write(tmp_path), "--dry-run")
    assert result.code == 0
    assert f"{CELLS} cells: 0 are there; {SETS} sets to build, {CELLS} cells to score" in result.err
    assert "estimated: " in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]


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


def test_another_grid_does_not_go_on_in_its_folder(cli: Cli, tmp_path: Path) -> None:
    assert cli("grid", "--config", write(tmp_path, ipc=[1])).code == 0
    result = cli("grid", "--config", write(tmp_path, ipc=[2]), "--resume")
    assert result.code == 2
    assert "ipc" in result.err
    assert cli("grid", "--config", write(tmp_path, ipc=[2]), "--force").code == 0
    assert set(accuracies(tmp_path / "grids/small").ipc.dropna()) == {2}


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
