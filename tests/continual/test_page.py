"""The page of a stream, and of a comparison, from the results alone."""

from pathlib import Path

import numpy as np
import pytest

from continual.api import learn_stream
from continual.page import results_page, save_results_page
from continual.settings import Budget, Learning
from continual.stream import Stream
from proxyset.report.page import is_page, render
from proxyset.report.plots import Plot
from tests.proxyset.report.reading import Seen


def test_pages_of_a_run_and_of_a_comparison(growing: Stream, quick: Learning, tmp_path: Path) -> None:
    budget = Budget(ipc=2, store=tmp_path / "store")
    results = [
        learn_stream(growing, memory, budget, quick, seed=seed) for memory in ("none", "random") for seed in (0, 1)
    ]
    page = results_page(results[2:3], tmp_path)
    last = 100 * results[2].average[-1]
    assert f"right on {last:.1f} %" in page.sentence
    average, each = [part for part in page.sections[0].parts if isinstance(part, Plot)]
    assert [point.y for point in average.series[0].points] == [100 * value for value in results[2].average]
    assert [len(one.points) for one in each.series] == [3, 2, 1]  # a task has no accuracy before it came
    assert each.series[0].points[2].y == 100 * (results[2].matrix[2][0] or 0)
    compared = results_page(results, tmp_path)
    (plot,) = [part for part in compared.sections[0].parts if isinstance(part, Plot)]
    assert [one.name for one in plot.series] == ["none", "random"]
    spread = 100 * np.std([result.average[-1] for result in results[:2]])
    assert plot.series[0].points[-1].spread == pytest.approx(spread)
    text = Seen(render(compared)).text
    assert "forgetting" in text
    assert "seed 1" in text
    assert is_page(save_results_page(results, tmp_path))
