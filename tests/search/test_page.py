"""The page of a search: every architecture in the plots and the table, from the run's files alone."""

from pathlib import Path

import pandas as pd
import pytest

from proxyset.report.page import is_page, render
from search.cli import report
from search.page import architectures, run_page, scatter
from search.report import summarise_run
from search.scores import mean_scores
from tests.proxyset.report.reading import Seen
from tests.search.test_report import NAMES, full_run, make_run, row


def test_a_run_and_its_report_have_the_same_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = full_run(tmp_path / "run")
    report(folder.record(), folder.path, as_json=False)
    first = (folder.path / "report.html").read_bytes()
    assert is_page(folder.path / "report.html")
    assert b"choices.png" not in first  # embedded, not linked
    assert first.count(b"data:image/png;base64,") == 2  # choices and regret
    report(folder.record(), folder.path, as_json=False)
    assert (folder.path / "report.html").read_bytes() == first
    assert "report.html" in capsys.readouterr().err


def test_every_architecture_is_a_point_of_every_ranking_and_a_row(tmp_path: Path) -> None:
    record = full_run(tmp_path / "run").record()
    scores = mean_scores(record.rows, record.names)
    page = run_page(record, summarise_run(record, scores), tmp_path)
    assert "24 architectures were ranked by dsa and params" in page.sentence
    assert "dsa agrees best, Spearman 1.00 [1.00, 1.00]" in page.sentence
    seen = Seen(render(page))
    keys = [values["data-key"] for values in seen.all("circle")]
    assert sorted(keys) == sorted(3 * NAMES)
    table = architectures(record, scores, {"dsa", "whole", "whole-again"})
    truth = [row[1].value or 0.0 for row in table.rows]
    assert truth == sorted(truth, reverse=True)
    assert [row[0].key for row in table.rows] == list(scores["whole"].sort_values(ascending=False).index)


def test_a_point_says_which_architecture_it_is_and_what_lies_far_below_is_named() -> None:
    truth = pd.Series([0.9, 0.91, 0.92, 0.93, 0.94, 0.1], index=list("abcdef"))
    plot = scatter("dsa", truth + 0.01, truth, room=100, share=True)
    assert [point.key for point in plot.series[0].points] == ["d", "c", "b", "a", "e"]
    chosen = plot.series[0].points[-1]
    assert chosen.strong
    assert chosen.text == "e: 95.0 % by dsa, 94.0 % on the whole set"
    assert plot.note == "In red its first choice, e. Too far below to be drawn: f."
    few = scatter("dsa", truth + 0.01, truth, room=2, share=True)
    assert {point.key for point in few.series[0].points} <= set("abcde")
    assert "of 5 are shown" in few.note


def test_scores_that_are_no_accuracies_stand_by_their_rank() -> None:
    truth = pd.Series([0.5, 0.6, 0.7], index=list("abc"))
    plot = scatter("params", pd.Series([1e6, 10.0, -1e9], index=list("abc")), truth, room=9, share=False)
    assert {point.key: point.x for point in plot.series[0].points} == {"a": 3, "b": 2, "c": 1}


def test_a_run_without_a_truth_has_a_page_too(tmp_path: Path) -> None:
    record = make_run(tmp_path / "run", [row("dsa", name, 0.5) for name in NAMES[:3]]).record()
    summary = summarise_run(record, mean_scores(record.rows, record.names))
    page = run_page(record, summary, tmp_path)
    assert "nothing says how far to trust" in page.sentence
    assert NAMES[0] in Seen(render(page)).text
