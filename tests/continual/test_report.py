"""Results on paper: means over seeds, choices, definitions, the paper's row, pictures, results of older versions."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from continual.api import learn_stream
from continual.metrics import DEFINITIONS
from continual.report import aggregate, print_report, write_summary
from continual.results import RESULTS, StreamResult, read_results, write_results
from continual.settings import Budget, Learning
from continual.stream import Stream
from proxyset.errors import InputError


@pytest.fixture
def results(growing: Stream, quick: Learning, tmp_path: Path) -> list[StreamResult]:
    """Two memories with two seeds, each run in its folder."""
    budget = Budget(ipc=2, store=tmp_path / "store")
    return [
        learn_stream(growing, memory, budget, quick, seed=seed, folder=tmp_path / "runs" / f"{memory}-seed{seed}")
        for memory in ("none", "random")
        for seed in (0, 1)
    ]


def test_a_report_has_means_over_seeds_choices_and_definitions(
    results: list[StreamResult], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "runs"
    rows = aggregate(results)
    assert [(row["memory"], row["seed"]) for row in rows] == [("none", [0, 1]), ("random", [0, 1])]
    write_summary(results, folder)
    for name in ("curves.png", "results.csv", "summary.json"):
        assert (folder / name).stat().st_size > 0
    print_report(read_results(folder))
    text = capsys.readouterr().out
    mean = 100 * np.mean([result.average[-1] for result in results if result["memory"] == "random"])
    assert f"{mean:.1f} ±" in text
    assert "all current data" in text
    assert "ipc 2" in text
    assert all(words.split("(")[0] in text for words in DEFINITIONS.values())
    assert "paper" not in text


def test_results_are_read_back_from_one_folder_or_from_all(results: list[StreamResult], tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    assert [result.to_dict() for result in read_results(folder)] == [result.to_dict() for result in results]
    assert len(read_results(folder / "none-seed0")) == 1
    with pytest.raises(InputError, match="no results in"):
        read_results(folder / "nowhere")
    (folder / "none-seed0" / RESULTS).write_text("{")
    with pytest.raises(InputError, match=r"none-seed0/results.json'.* not JSON"):
        read_results(folder)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [("budget", {"ipc": 3}, "budget"), ("learning", {"epochs": 7}, "`epochs`"), ("learning", {"lr": 0.5}, "`lr`")],
)
def test_runs_that_differ_in_more_than_the_memory_are_not_averaged(
    results: list[StreamResult], tmp_path: Path, name: str, value: dict[str, Any], words: str
) -> None:
    folder = tmp_path / "runs"
    other = results[0].to_dict()
    other[name] = (other[name] if name == "learning" else {}) | value
    write_results(folder / "other", StreamResult(other))
    with pytest.raises(InputError, match=f"has another {words} than"):
        read_results(folder)


def test_the_papers_row_stands_beside_the_papers_stream(
    results: list[StreamResult], capsys: pytest.CaptureFixture[str]
) -> None:
    values = results[0].to_dict()
    tasks = [values["stream"]["tasks"][0] | {"name": name} for name in ("svhn", "mnist", "usps")]
    matrix = [[0.9, None, None], [0.9, 0.9, None], [0.9] * 3]
    values |= {"memory": "dsa", "average": [0.9] * 3, "matrix": matrix, "budget": {"ipc": 10}}
    values["stream"] |= {"tasks": tasks}
    print_report([StreamResult(values)])
    text = capsys.readouterr().out
    assert "paper, T3" in text
    assert "94.4" in text


def test_results_of_the_version_before_are_still_reported(
    results: list[StreamResult], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = results[-1].to_dict()
    del values["compute"], values["memory_kept"]["soft_targets"]
    for name in ("optimiser", "schedule", "loss"):
        del values["learning"][name]
    old = tmp_path / "old"
    old.mkdir()
    (old / RESULTS).write_text(json.dumps(values))
    (result,) = read_results(old)
    print_report([result])
    assert "after T3" in capsys.readouterr().out
    write_results(old, result)
    assert (old / "matrix.png").read_bytes().startswith(b"\x89PNG")
