"""Tables, result files and pictures from rows."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from proxyset.errors import InputError, RunError
from search.cli import report
from search.finals import append_final
from search.folder import SOURCES, RunFolder
from search.report import write_report
from search.scores import mean_scores
from search.space import CHOICES, space_720
from search.tables import lead_in_words

NAMES = [candidate.name for candidate in space_720("width<=32")][:24]
ARCHS = {candidate.name: candidate.arch for candidate in space_720("width<=32")}


def row(source: str, name: str, score: float | None, repeat: int = 0, error: str | None = None) -> dict[str, object]:
    free = source in ("params", "jacobian", "synflow")
    choices = {choice: getattr(ARCHS[name], choice) for choice in CHOICES}
    facts = {"source": source, "name": name, "repeat": repeat, "seed": 0, "parameters": 10, "score": score}
    return facts | choices | {"accuracy": None if free else score, "seconds": 1.0, "error": error}


def make_run(path: Path, rows: list[dict[str, object]], **settings: object) -> RunFolder:
    folder = RunFolder(path)
    folder.begin({"seed": 0, "repeats": 1, "promote": 0} | settings, {"data": "x", "names": NAMES})
    sources = dict.fromkeys([str(r["source"]) for r in rows])
    folder.write(
        SOURCES, {name: {"images": 100, "seconds": 2.0} for name in [*(s for s in sources if s != "whole"), "whole"]}
    )
    for one in rows:
        folder.append(one)
    return folder


def full_run(path: Path, **settings: object) -> RunFolder:
    rng = np.random.default_rng(0)
    truth = rng.random(len(NAMES))
    rows = [row("dsa", name, float(t), r) for r in range(2) for name, t in zip(NAMES, truth, strict=True)]
    rows += [row("params", name, 10.0) for name in NAMES]
    rows += [row("whole", name, float(t), r) for r in range(2) for name, t in zip(NAMES, truth, strict=True)]
    again = 1 / (1 + np.exp(-truth - rng.normal(size=(2, len(NAMES)))))
    rows += [row("whole-again", n, float(again[r, i]), r) for r in range(2) for i, n in enumerate(NAMES)]
    return make_run(path, rows, repeats=2, **settings)


def test_report_writes_tables_summary_and_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = full_run(tmp_path / "run", promote=3)
    report(folder.record(), folder.path, as_json=False)
    out = capsys.readouterr().out
    assert "dsa" in out
    assert "noise ceiling" in out
    summary = json.loads((folder.path / "summary.json").read_text())
    assert summary["sources"]["dsa"]["spearman"] == pytest.approx(1)
    assert summary["sources"]["dsa"]["regret"] == 0.0
    assert summary["sources"]["dsa"]["promoted"]["best"] == summary["truth"]["best"]
    assert summary["sources"]["dsa"]["trial_seconds"] == 2 * len(NAMES)
    assert summary["sources"]["params"]["spearman"] is None  # constant scores
    assert [entry["repeats"] for entry in summary["ceiling"]] == [1, 2]
    for name in ("results.csv", "results.parquet"):
        table = pd.read_csv(folder.path / name) if name.endswith("csv") else pd.read_parquet(folder.path / name)
        assert len(table) == 7 * len(NAMES)
        assert {*CHOICES, "parameters", "accuracy", "seconds", "seed", "error"} <= set(table.columns)
    assert (folder.path / "scatter.png").read_bytes()[:4] == b"\x89PNG"
    assert (folder.path / "choices.png").read_bytes()[:4] == b"\x89PNG"


def test_report_is_the_same_again_and_json_is_alone_on_stdout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = full_run(tmp_path / "run")
    report(folder.record(), folder.path, as_json=False)
    first = (folder.path / "summary.json").read_text()
    capsys.readouterr()
    report(folder.record(), tmp_path / "elsewhere", as_json=True)
    assert json.loads(capsys.readouterr().out) == json.loads(first)
    assert (tmp_path / "elsewhere" / "scatter.png").exists()


def test_random_images_are_a_rival_under_successive_halving_too(
    tmp_path: Path,
) -> None:
    """Both rank as the truth does: the set is not worth its making."""
    truth = {name: place / 100 for place, name in enumerate(NAMES)}
    names = ["dsa-halving/1", "random-halving/1", "whole"]
    folder = make_run(tmp_path / "run", [row(source, name, truth[name]) for source in names for name in NAMES])
    facts = {"images": 100, "seconds": 2.0}
    rungs = {
        f"{of}-halving/1": facts | {"kind": "Rung", "ranking": f"{of}-halving", "of": of} for of in ("dsa", "random")
    }
    (folder.path / SOURCES).unlink()
    folder.write(SOURCES, rungs | {"whole": facts})
    (verdict, _) = write_report(folder.record(), tmp_path / "out")[0]["verdicts"]
    assert verdict["name"] == "dsa-halving"
    assert "random" in verdict["why"]


@pytest.mark.parametrize("there", [1, 3])
def test_a_noise_ceiling_that_is_only_begun_decides_nothing(there: int, tmp_path: Path) -> None:
    rows = full_run(tmp_path / "run").record().rows
    without = [one for one in rows if one["source"] != "whole-again"]
    begun = without + [one for one in rows if one["source"] == "whole-again" and one["name"] in NAMES[:there]]
    summaries = []
    for place, part in enumerate((without, begun)):
        folder = make_run(tmp_path / str(place), part, repeats=2)
        summaries.append(write_report(folder.record(), folder.path)[0])
    assert summaries[0]["verdicts"]
    assert summaries[0]["verdicts"] == summaries[1]["verdicts"]


def test_what_was_kept_is_chosen_by_validation_and_the_test_only_said(tmp_path: Path) -> None:
    folder = full_run(tmp_path / "run", promote=2)
    best, second = mean_scores(folder.rows(), NAMES)["dsa"].sort_values(ascending=False).index[:2]
    for place, (name, validation, test) in enumerate([(best, 0.8, 0.9), (second, 0.9, 0.7)]):
        kept = {"name": name, "place": place, "validation": validation, "test": test, "epoch": 1, "error": None}
        append_final(folder.path, kept | {"seconds": 1.0, "threads": 1})
    summary, _ = write_report(folder.record(), tmp_path / "out")
    assert summary["sources"]["dsa"]["promoted"] == {"best": second, "accuracy": 0.7}


def test_failed_trials_are_left_out_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row("dsa", name, i / 10) for i, name in enumerate(NAMES[:5])]
    rows += [row("whole", name, i / 10) for i, name in enumerate(NAMES[:4])]
    rows += [row("whole", NAMES[4], None, error="Diverged: the logits are not finite")]
    folder = make_run(tmp_path / "run", rows)
    report(folder.record(), folder.path, as_json=False)
    assert "1 trials failed and are left out" in capsys.readouterr().out
    facts = json.loads((folder.path / "summary.json").read_text())["sources"]
    assert (facts["dsa"]["n"], facts["whole"]["failed"]) == (4, 1)


def test_without_truth_there_is_still_a_ranking(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", [row("dsa", name, i / 10) for i, name in enumerate(NAMES[:5])])
    report(folder.record(), folder.path, as_json=False)
    summary = json.loads((folder.path / "summary.json").read_text())
    assert summary["truth"] == {"n": 0}
    assert "spearman" not in summary["sources"]["dsa"]


def test_a_ranking_of_other_architectures_than_the_truth_has_no_picture_but_a_report(tmp_path: Path) -> None:
    rows = [row("dsa", name, 0.5) for name in NAMES[:3]] + [row("whole", name, 0.6) for name in NAMES[:3]]
    folder = make_run(tmp_path, [*rows, row("whole-again", NAMES[5], 0.6)])
    report(folder.record(), folder.path, as_json=False)
    assert (tmp_path / "report.html").exists()


def test_nothing_to_report_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no finished trial"):
        report(make_run(tmp_path / "empty", []).record(), tmp_path, as_json=False)
    failed = [row("dsa", name, None, error="RuntimeError: no") for name in NAMES[:3]]
    folder = make_run(tmp_path / "failed", [*failed, row("params", NAMES[0], 3.0)])
    with pytest.raises(RunError, match="every training failed"):
        report(folder.record(), folder.path, as_json=False)


def test_mean_scores_by_repeats_in_the_plans_order() -> None:
    rows = [row("dsa", NAMES[1], 0.2), row("dsa", NAMES[0], 0.4), row("dsa", NAMES[1], 0.6, 1)]
    rows += [row("dsa", NAMES[0], None, 1, "RuntimeError: no")]
    scores = mean_scores(rows, NAMES)["dsa"]
    assert scores.index.tolist() == NAMES[:2]
    assert math.isclose(scores[NAMES[1]], 0.4)
    assert scores[NAMES[0]] == 0.4
    assert mean_scores(rows, NAMES, repeats=1)["dsa"][NAMES[1]] == 0.2


def test_a_lead_is_said_with_its_interval_and_what_it_means() -> None:
    row = {"first": "dsa", "other": "random", "spearman": 0.11, "low": -0.01, "high": 0.29, "verdict": "suggestive"}
    assert lead_in_words(row) == (
        "dsa against random: ρ is 0.11 higher (95 % CI −0.01 to 0.29): suggestive, not significant."
    )
    worse = row | {"spearman": -0.3, "low": -0.5, "high": -0.1, "verdict": "significant"}
    assert "ρ is 0.30 lower (95 % CI −0.50 to −0.10): significant." in lead_in_words(worse)
    assert "no significant difference" in lead_in_words(row | {"verdict": "no difference"})
    assert "cannot be compared" in lead_in_words(row | {"spearman": math.nan, "verdict": "unknown"})


def test_the_printed_report_says_each_lead_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = full_run(tmp_path / "run")
    report(folder.record(), folder.path, as_json=False)
    summary = json.loads((folder.path / "summary.json").read_text())
    assert [row["verdict"] for row in summary["leads"]] == ["unknown", "significant"]  # params are constant
    out = capsys.readouterr().out
    assert "dsa and params: a ranking is constant" in out
    assert "dsa against whole-again: ρ is" in out


def test_which_sources_train_nothing_is_kept_with_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """So that their scores, whatever they are, are drawn as ranks and need no training to have succeeded."""
    rows = [row("synflow", name, 1e9 * i) for i, name in enumerate(NAMES[:5])]
    rows += [row("whole", name, i / 10) for i, name in enumerate(NAMES[:5])]
    folder = make_run(tmp_path / "run", rows)
    facts = folder.record().sources
    folder.write(SOURCES, facts | {"synflow": facts["synflow"] | {"free": True}})
    report(folder.record(), folder.path, as_json=False)
    summary = json.loads((folder.path / "summary.json").read_text())
    assert summary["sources"]["synflow"]["free"]
    assert not summary["sources"]["whole"]["free"]
