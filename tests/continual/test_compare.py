"""The grid of runs: what is in it, in parallel and in turn, interrupted and gone on with."""

import json
import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from continual import compare
from continual.api import learn_stream
from continual.compare import Cell, Common, Distils, check_cells, make_cells, run_cells
from continual.estimate import Estimate
from continual.loading import load_stream
from continual.results import StreamResult
from continual.schemes.eeil import Eeil
from continual.settings import Budget, StreamChoice, TaskTraining
from proxyset.compute.parallel import Pool
from proxyset.compute.session import Session
from proxyset.data.images import ImageSet
from proxyset.data.load import load
from proxyset.data.spec import Dataset
from proxyset.errors import InputError, RunError
from proxyset.methods.base import Context, Method, Problem
from proxyset.settings import Compute
from tests.continual.conftest import SOFT, untimed

SESSION = Session(device="cpu")


@pytest.fixture
def common(tmp_path: Path) -> Common:
    pixels = np.random.default_rng(0).integers(0, 255, (48, 8, 8), dtype=np.uint8)
    labels = np.arange(48) % 4
    np.savez(tmp_path / "data.npz", x_train=pixels, y_train=labels, x_test=pixels[:16], y_test=labels[:16])
    return Common(
        tmp_path / "runs",
        StreamChoice(dataset=str(tmp_path / "data.npz"), steps=2),
        Budget(ipc=2, store=tmp_path / "store"),
        TaskTraining(net="convnet-w4-d1", epochs=2, balance_epochs=2, batch_size=16, gdumb_epochs=2),
        Compute(device="cpu"),
        tmp_path,
    )


def test_the_grid_has_every_memory_with_and_without_distillation(common: Common) -> None:
    cells = make_cells(("none", "random", "joint", "random"), (0, 1), "both", common)
    assert [(cell.memory, cell.kd, cell.seed) for cell in cells] == [
        *[("none", kd, seed) for kd in (False, True) for seed in (0, 1)],
        *[("random", kd, seed) for kd in (False, True) for seed in (0, 1)],
        *[("joint", False, seed) for seed in (0, 1)],  # starts afresh: there is nothing to distil
    ]
    assert len({cell.path for cell in cells}) == len(cells)
    assert all(cell.kd for cell in make_cells(("random",), (0,), "with", common))
    afresh = replace(common, training=common.training.model_copy(update={"scheme": "gdumb"}))
    assert not any(cell.kd for cell in make_cells(("random",), (0,), "both", afresh))


def test_the_estimate_counts_every_memory_once_for_each_seed(common: Common, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = make_cells(("none", "random"), (0, 1), "both", common)
    assert check_cells(cells, SESSION)[0].making == 0
    monkeypatch.setattr(compare, "seconds_to_learn", lambda scheme, finished: 1.0)
    seconds = iter([10.0, 10.0, 10.0, 10.0, 0.0, 0.0, 10.0, 10.0])  # of seed 1 one memory is there already
    monkeypatch.setattr("continual.memory.Memory.estimate", lambda memory, finished: next(seconds))
    assert check_cells(cells, SESSION) == (Estimate(30.0, 8.0), 0)


def test_the_estimate_leaves_out_what_is_finished(common: Common) -> None:
    (cell,) = make_cells(("none",), (0,), "without", common)
    run_cells([cell])
    assert check_cells([cell], SESSION, resume=True) == (Estimate(0.0, 0.0), 2)
    assert check_cells([cell], SESSION)[1] == 0


@pytest.mark.parametrize("domains", [True, False])
def test_the_data_is_read_once_for_all_memories_and_seeds(
    common: Common, monkeypatch: pytest.MonkeyPatch, domains: bool
) -> None:
    """To check and to run; a split by class has an order for each seed. Whoever watches sees the reading."""
    read, watched = [], []

    def counted(name: str, *, progress: Any, **form: Any) -> Dataset:
        read.append(Path(name).stem)
        watched.append(progress)
        return load(name, progress=False, **form)

    monkeypatch.setattr("continual.loading.load", counted)
    choice = common.stream
    if domains:
        other = shutil.copy(choice.dataset, common.data_root / "other.npz")
        choice = StreamChoice(tasks=(choice.dataset, str(other)))
    cells = make_cells(("none", "random"), (0, 1, 2), "without", replace(common, stream=choice))
    streams = compare.Streams(progress=True)
    check_cells(cells, SESSION, streams=streams)
    results = run_cells(cells, streams=streams)
    assert read == (["data", "other"] if domains else ["data"])
    assert set(watched) == {True}
    if not domains:
        orders = {result["seed"]: result["stream"]["tasks"] for result in results}
        alone = {seed: load_stream(choice, seed=seed).describe()["tasks"] for seed in (0, 1, 2)}
        assert orders == alone


def test_a_job_whose_worker_dies_is_named(common: Common, monkeypatch: pytest.MonkeyPatch) -> None:
    def dying(make: Any, jobs: Any, pool: Pool, on_result: Any, on_lost: Any) -> None:
        on_lost(jobs[1], "the worker died 3 times")

    monkeypatch.setattr(compare, "run_jobs", dying)
    both = r"^random \(with or without distillation\), seed 7: the worker died 3 times; .*`resume=True` with fewer"
    for kd, message in (("both", both), ("with", r"^random \+ KD, seed 7: "), ("without", "^random, seed 7: ")):
        with pytest.raises(RunError, match=message):
            run_cells(make_cells(("random",), (0, 7), kd, common), Pool(workers=2))  # type: ignore[arg-type]


class Fatal(Method):
    """Takes its process down, as one does that needs more memory than there is."""

    name: ClassVar[str] = "fatal"

    def condense(self, problem: Problem, context: Context) -> ImageSet:
        os._exit(1)


def test_each_memory_takes_the_settings_that_it_has(common: Common) -> None:
    budget = common.budget.model_copy(update={"memory_settings": ("iterations=5", "share=0.7")})
    cells = make_cells(("none", "random", "dsa", SOFT), (0,), "without", replace(common, budget=budget))
    check_cells(cells, SESSION)
    assert [cell.budget.memory_settings for cell in cells] == [(), (), ("iterations=5",), ("share=0.7",)]


def test_mistakes_show_before_any_training(common: Common) -> None:
    settings = Budget(memory_settings=("iteration=3",))

    def check(*memories: str, kd: Distils = "both", budget: Budget = common.budget) -> None:
        check_cells(make_cells(memories, (0,), kd, replace(common, budget=budget)), SESSION)

    with pytest.raises(InputError, match="unknown memory"):
        check("random", "rnadom")
    with pytest.raises(InputError, match="smaller than the 4 classes"):
        check("random", budget=Budget(budget=3))
    with pytest.raises(InputError, match="same name"):
        check("a/x.safetensors", "b/x.safetensors", kd="without")
    with pytest.raises(InputError, match="did you mean 'iterations'"):
        check("random", "dsa", budget=settings)
    with pytest.raises(InputError, match="nothing to compare"):
        check()
    assert not common.folder.exists()


def test_an_interrupted_grid_goes_on_to_the_same_results(
    monkeypatch: pytest.MonkeyPatch, common: Common, tmp_path: Path
) -> None:
    whole = run_cells(make_cells(("random", "herding"), (0,), "both", common))
    again = make_cells(("random", "herding"), (0,), "both", replace(common, folder=tmp_path / "again"))
    learn, learned = Eeil.learn, []

    def counted(self: Eeil, stage: int) -> None:
        learned.append(stage)
        if len(learned) == 6:
            raise KeyboardInterrupt
        learn(self, stage)

    monkeypatch.setattr(Eeil, "learn", counted)
    with pytest.raises(KeyboardInterrupt):
        run_cells(again)
    resumed = run_cells(again)
    assert len(learned) == 6 + 8 - 5  # what was finished is not learned again
    assert [untimed(result) for result in resumed] == [untimed(result) for result in whole]


def test_results_come_as_they_are_done(common: Common) -> None:
    cells = make_cells(("none", "random"), (0,), "both", common)
    come = []

    def note(number: int, result: StreamResult) -> None:
        assert result["memory"] == cells[number].memory
        come.append(result.name)

    run_cells(cells, on_result=note)
    assert come == ["none", "none + KD", "random", "random + KD"]


def test_a_memory_is_condensed_without_distillation_first(common: Common) -> None:
    """And not a second time for the run with it, which is done after it in the same process."""
    come: list[str] = []
    cells = make_cells((SOFT,), (0, 1), "both", common)[::-1]
    results = run_cells(cells, on_result=lambda number, result: come.append(f"{result['seed']} {result['kd']}"))
    assert come == ["1 False", "1 True", "0 False", "0 True"]
    assert [(result["seed"], result["kd"]) for result in results] == [(cell.seed, cell.kd) for cell in cells]
    assert len(list(common.budget.store.glob("*.safetensors"))) == 4  # a file for each seed and step


class TestParallel:
    @pytest.fixture(autouse=True)
    def global_generators_stay_put(self) -> None:
        """Ray draws the names of its sessions from the global generators."""

    @pytest.mark.slow
    def test_parallel_runs_give_what_runs_in_turn_give(self, common: Common, tmp_path: Path) -> None:
        in_turn = run_cells(make_cells(("none", SOFT), (0,), "both", common))
        come: list[int] = []
        parallel = run_cells(
            make_cells(("none", SOFT), (0,), "both", replace(common, folder=tmp_path / "parallel")),
            Pool(workers=2),
            lambda number, result: come.append(number),
        )
        assert [untimed(result) for result in parallel] == [untimed(result) for result in in_turn]
        assert sorted(come) == [0, 1, 2, 3]

    @pytest.mark.slow
    def test_the_memory_that_takes_a_worker_down_is_named(self, common: Common) -> None:
        cells = make_cells((f"{__name__}:Fatal",), (7,), "without", common)
        with pytest.raises(RunError, match=r"Fatal, seed 7: the worker died 3 times .*: `resume=True` with fewer"):
            run_cells(cells, Pool(workers=2))


def test_a_cell_can_be_done_elsewhere(common: Common) -> None:
    (cell,) = make_cells(("random",), (3,), "with", common)
    copy: Cell = pickle.loads(pickle.dumps(cell))
    assert copy == cell
    result = copy.run(compare.Streams().of(copy), SESSION)
    stream = load_stream(common.stream, seed=3)
    same = learn_stream(stream, "random", cell.budget, cell.learning, seed=3, session=SESSION)
    assert untimed(result) == untimed(same)
    assert pickle.loads(pickle.dumps(result)).to_dict() == result.to_dict()
    assert json.loads((cell.path / "results.json").read_text())["seed"] == 3
