"""The grid of runs: what is in it, in parallel and in turn, interrupted and gone on with, and its report."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from continual.compare import Cell, default_workers, draw, estimate_grid, grid, run_grid
from continual.experiment import learn_stream
from continual.learner import Learner
from continual.memory import Budget
from continual.recipe import Recipe
from continual.report import aggregate, print_report, read_runs
from continual.stream import StreamChoice
from proxyset.settings import Compute, InputError
from tests.continual.test_experiment import untimed

CPU = torch.device("cpu")


@pytest.fixture
def common(tmp_path: Path) -> dict[str, Any]:
    pixels = np.random.default_rng(0).integers(0, 255, (48, 8, 8), dtype=np.uint8)
    labels = np.arange(48) % 4
    np.savez(tmp_path / "data.npz", x_train=pixels, y_train=labels, x_test=pixels[:16], y_test=labels[:16])
    return {
        "stream": StreamChoice(dataset=str(tmp_path / "data.npz"), steps=2),
        "budget": Budget(ipc=2, store=tmp_path / "store"),
        "recipe": Recipe(net="convnet-w4-d1", epochs=2, balance_epochs=2, batch_size=16, gdumb_epochs=2),
        "data_root": tmp_path,
        "compute": Compute(device="cpu"),
        "folder": tmp_path / "runs",
    }


def test_the_grid_has_every_memory_with_and_without_distillation(common: dict[str, Any]) -> None:
    cells = grid(("none", "random", "joint", "random"), (0, 1), "both", **common)
    assert [(cell.memory, cell.kd, cell.seed) for cell in cells] == [
        *[("none", kd, seed) for kd in (False, True) for seed in (0, 1)],
        *[("random", kd, seed) for kd in (False, True) for seed in (0, 1)],
        *[("joint", False, seed) for seed in (0, 1)],  # starts afresh: there is nothing to distil
    ]
    assert len({cell.path for cell in cells}) == len(cells)
    assert all(cell.kd for cell in grid(("random",), (0,), "with", **common))
    afresh = common | {"recipe": common["recipe"].model_copy(update={"scheme": "gdumb"})}
    assert not any(cell.kd for cell in grid(("random",), (0,), "both", **afresh))


def test_the_estimate_counts_every_memory_once_for_each_seed(common: dict[str, Any]) -> None:
    assert estimate_grid(grid(("none", "random"), (0, 1), "both", **common))[0] == 0
    settings = Budget(ipc=2, store=common["budget"].store, memory_settings=("iterations=5",))
    condensing, learning = estimate_grid(grid(("dsa",), (0, 1), "both", **common | {"budget": settings}))
    assert condensing > 0
    assert learning > 0


def test_mistakes_show_before_any_training(common: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="unknown memory"):
        grid(("random", "rnadom"), (0,), "both", **common)
    with pytest.raises(InputError, match="smaller than the 4 classes"):
        grid(("random",), (0,), "both", **common | {"budget": Budget(budget=3)})
    with pytest.raises(InputError, match="same name"):
        grid(("a/x.safetensors", "b/x.safetensors"), (0,), "without", **common)
    assert not common["folder"].exists()


def test_an_interrupted_grid_goes_on_to_the_same_results(
    monkeypatch: pytest.MonkeyPatch, common: dict[str, Any], tmp_path: Path
) -> None:
    cells = grid(("random", "herding"), (0,), "both", **common)
    whole = run_grid(cells, 1)
    again = grid(("random", "herding"), (0,), "both", **common | {"folder": tmp_path / "again"})
    learn, learned = Learner.learn, []

    def counted(self: Learner, stage: int) -> None:
        learned.append(stage)
        if len(learned) == 6:
            raise KeyboardInterrupt
        learn(self, stage)

    monkeypatch.setattr(Learner, "learn", counted)
    with pytest.raises(KeyboardInterrupt):
        run_grid(again, 1)
    resumed = run_grid(again, 1)
    assert len(learned) == 6 + 8 - 5  # what was finished is not learned again
    assert [untimed(run) for run in resumed] == [untimed(run) for run in whole]


class TestParallel:
    @pytest.fixture(autouse=True)
    def global_generators_stay_put(self) -> None:
        """Ray draws the names of its sessions from the global generators."""

    @pytest.mark.slow
    def test_parallel_runs_give_what_runs_in_turn_give(
        self, monkeypatch: pytest.MonkeyPatch, common: dict[str, Any], tmp_path: Path
    ) -> None:
        in_turn = run_grid(grid(("random",), (0,), "both", **common), 1)
        parallel = run_grid(grid(("random",), (0,), "both", **common | {"folder": tmp_path / "parallel"}), 2)
        for one, two in zip(in_turn, parallel, strict=True):
            assert untimed(one) == untimed(two)


def test_workers_default_to_one_on_two_cores_and_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert default_workers(CPU) == 7
    assert default_workers(torch.device("cuda")) == 1
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    assert default_workers(CPU) == 1


def test_report_has_means_over_seeds_choices_and_definitions(
    common: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    runs = run_grid(grid(("none", "random"), (0, 1), "without", **common), 1)
    rows = aggregate(runs)
    assert [(row["memory"], row["seed"]) for row in rows] == [("none", [0, 1]), ("random", [0, 1])]
    draw(runs, common["folder"])
    for name in ("curves.png", "results.csv", "summary.json"):
        assert (common["folder"] / name).stat().st_size > 0
    capsys.readouterr()
    print_report(read_runs(common["folder"]))
    text = capsys.readouterr().out
    mean = 100 * np.mean([run["average"][-1] for run in runs if run["memory"] == "random"])
    assert f"{mean:.1f} ±" in text
    assert "all current data" in text
    assert "ipc 2" in text
    assert "a[i][j]" in text
    assert "paper" not in text
    assert len(read_runs(common["folder"] / "none-seed0")) == 1
    with pytest.raises(InputError, match="no results in"):
        read_runs(common["folder"] / "nowhere")


def test_the_papers_row_stands_beside_the_papers_stream(
    common: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    (run,) = run_grid(grid(("random",), (0,), "without", **common), 1)
    tasks = [run["stream"]["tasks"][0] | {"name": name} for name in ("svhn", "mnist", "usps")]
    matrix = [[0.9, None, None], [0.9, 0.9, None], [0.9] * 3]
    run |= {"memory": "dsa", "average": [0.9] * 3, "matrix": matrix, "budget": {"ipc": 10}}
    run["stream"] |= {"tasks": tasks}
    print_report([run])
    assert "paper, T3" in (text := capsys.readouterr().out)
    assert "94.4" in text


def test_a_cell_can_be_done_elsewhere(common: dict[str, Any]) -> None:
    import pickle

    (cell,) = grid(("random",), (3,), "with", **common)
    copy: Cell = pickle.loads(pickle.dumps(cell))
    assert copy == cell
    results = copy.run()
    same = learn_stream(cell.load(), "random", cell.budget, cell.learning(), seed=3)
    assert untimed(results) == untimed(same)
    assert json.loads((cell.path / "results.json").read_text())["seed"] == 3
