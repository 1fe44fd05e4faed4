"""`proxyset eval` from outside."""

import csv
import io
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import proxyset
from proxyset.artefact.proxy_set import ProxySet
from proxyset.data.spec import Dataset
from proxyset.errors import InputError
from proxyset.report.estimate import estimate_scores
from proxyset.report.scores import Contender, Contest, score_all
from proxyset.report.table_files import SUFFIXES, is_table, write_scores
from proxyset.train.evaluate import Score, evaluate
from proxyset.train.protocols import Evaluation
from tests.proxyset.cli.made import (
    FAST,
    Cli,
    assert_refused,
    save_npz,
    snapshot,
    tensor_bytes,
)


def test_eval_scores_sets_and_baselines_side_by_side(cli: Cli, built: Path) -> None:
    protocol = ["--nets", 2, "--epochs", 2, "--net", "mlp", "convnet-w4-d1"]
    result = cli("eval", built, *protocol, "--baseline", "random", "whole", "--whole-epochs", 1, "--json")
    assert result.code == 0, result.err
    rows = json.loads(result.out)
    assert [(row["name"], row["net"], row["n"], row["protocol"]["epochs"]) for row in rows] == [
        ("set", "mlp", 2, 2),
        ("set", "convnet-w4-d1", 2, 2),
        ("random ipc1", "mlp", 2, 2),
        ("random ipc1", "convnet-w4-d1", 2, 2),
        ("whole", "mlp", 2, 1),
        ("whole", "convnet-w4-d1", 2, 1),
    ]
    for row in rows:
        assert row["mean"] == pytest.approx(np.mean(row["accuracies"]))
        assert row["std"] == pytest.approx(np.std(row["accuracies"]))
        assert row["seconds"] > 0
    kept = ProxySet.load(built).provenance["scores"]
    assert [score["net"] for score in kept] == ["mlp", "convnet-w4-d1"]
    assert kept[0]["accuracies"] == rows[0]["accuracies"]
    for word in ("set", "random ipc1", "whole", "mlp", "convnet-w4-d1"):
        assert word in result.err


def test_an_interrupted_eval_shows_what_it_has(cli: Cli, built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The set is scored by both networks, random images by the first."""
    protocol = ["--nets", 1, "--epochs", 1, "--net", "mlp", "convnet-w4-d1"]
    calls: list[object] = []

    def score(*arguments: Any, **more: Any) -> Score:
        calls.append(more["net"])
        if len(calls) == 4:
            signal.raise_signal(signal.SIGINT)
        return evaluate(*arguments, **more)

    monkeypatch.setattr("proxyset.report.scores.evaluate", score)
    table = built.parent / "scores.md"
    result = cli("eval", built, *protocol, "--baseline", "random", "whole", "--json", "--out", table)
    assert result.code == 130
    assert not result.out
    assert table.read_text().count("(1)") == 3
    lines = [line for line in result.err.splitlines() if "│" in line]
    assert len(lines) == 2
    assert lines[0].count("(1)") == 2
    assert lines[1].count("(1)") == lines[1].count("–") == 1


def test_scoring_keeps_the_tensors(cli: Cli, built: Path) -> None:
    before = tensor_bytes(built)
    assert cli("eval", built, "--nets", 1, "--epochs", 1, "--net", "mlp").code == 0
    assert tensor_bytes(built) == before


def test_eval_of_equally_named_sets_in_two_folders(cli: Cli, built: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / built.name
    assert cli("build", *FAST, "--seed", 1, "--out", other).code == 0
    result = cli("eval", built, other, "--nets", 1, "--epochs", 1, "--net", "mlp")
    assert result.code == 0, result.err
    assert len({line.count("│") + line.count("┃") for line in result.err.splitlines() if "(1)" in line}) == 1
    assert sum("(1)" in line for line in result.err.splitlines()) == 2  # a row each, besides "all 2 sets"
    assert "(2)" in result.err


def test_eval_refuses_what_does_not_fit(cli: Cli, built: Path, tmp_path: Path) -> None:
    before = snapshot(tmp_path)
    assert_refused(cli("eval"), "no proxy set given")
    assert_refused(cli("eval", built, "--baseline", "dsa"), "unknown baseline 'dsa'")
    assert_refused(cli("eval", built, "--net", "mlp", "lenet"), "lenet", "at least 16 pixels, got 8")
    assert_refused(cli("eval", built, "--nets", 0), "nets")
    assert_refused(cli("eval", built, "--augment", "crop_shear"), "unknown augmentation 'shear'")
    assert_refused(cli("eval", built, "missing.safetensors"), "missing.safetensors", "no such file")
    assert snapshot(tmp_path) == before


def test_eval_notices_that_the_data_are_others(cli: Cli, built: Path, tmp_path: Path) -> None:
    save_npz(tmp_path / "other.npz")
    assert cli("build", "--dataset", "other.npz", "--method", "random", "--out", "other.safetensors").code == 0
    assert_refused(cli("eval", built, "other.safetensors"), "different data")
    assert_refused(cli("eval", built, "--dataset", "other.npz"), "is not the data that", "set.safetensors")
    save_npz(tmp_path / "other.npz", seed=1)
    assert_refused(cli("eval", "other.safetensors"), "is not the data that", "--dataset")


def test_a_set_without_provenance_is_refused_for_scoring_and_shown(cli: Cli, built: Path, tmp_path: Path) -> None:
    proxy = ProxySet.load(built)
    ProxySet(proxy.data, proxy.spec).save(tmp_path / "bare.safetensors")
    assert_refused(cli("eval", "bare.safetensors"), "bare.safetensors")
    assert cli("show", "bare.safetensors").code == 0


def test_a_set_made_from_images_in_memory_is_scored_where_they_are_named(
    cli: Cli, tmp_path: Path, make_dataset: Callable[..., Dataset]
) -> None:
    """It has no place to load them from, and the normalisation that its `Dataset` was given."""
    made = make_dataset(channels=3)
    dataset = Dataset(made.train, made.test, made.spec)
    proxyset.build(dataset, "random", 2).save(tmp_path / "set.safetensors")
    pixels = {"x_train": made.train.images, "x_test": made.test.images}
    labels = {"y_train": made.train.labels, "y_test": made.test.labels}
    arrays = {name: images.permute(0, 2, 3, 1).numpy() for name, images in pixels.items()}
    arrays |= {name: values.numpy() for name, values in labels.items()}
    np.savez(tmp_path / "mine.npz", **arrays)  # type: ignore[arg-type]
    score = ["--nets", 1, "--epochs", 30, "--net", "mlp", "--json"]
    assert_refused(cli("eval", "set.safetensors", *score), "in memory", "--dataset")
    result = cli("eval", "set.safetensors", "--dataset", "mine.npz", *score)
    assert result.code == 0, result.err
    direct = proxyset.evaluate(
        ProxySet.load(tmp_path / "set.safetensors").data,
        dataset.test,
        dataset.spec,
        Evaluation(nets=1, epochs=30),
        net="mlp",
        progress=False,
    )
    assert json.loads(result.out)[0]["accuracies"] == list(direct.accuracies)


def test_a_set_is_scored_from_another_folder(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_npz(tmp_path / "mine.npz")
    argv = ["build", "--dataset", "mine.npz", "--method", "random", "--size", 8, "--channels", 3, "--flip"]
    assert cli(*argv, "--out", "set.safetensors").code == 0
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    score = ["eval", "../set.safetensors", "--nets", 1, "--epochs", 1, "--net", "mlp"]
    assert cli(*score).code == 0
    (tmp_path / "mine.npz").rename(tmp_path / "moved.npz")
    assert_refused(cli(*score), "mine.npz", "--dataset names another place")
    assert cli(*score, "--dataset", "../moved.npz").code == 0


def test_sets_that_describe_their_data_differently_are_not_compared(cli: Cli) -> None:
    assert cli("build", "--method", "random", "--out", "plain.safetensors").code == 0
    assert cli("build", "--method", "random", "--flip", "--out", "flipped.safetensors").code == 0
    assert_refused(cli("eval", "plain.safetensors", "flipped.safetensors"), "different data")


FEW = ["--nets", 2, "--epochs", 2, "--net", "mlp"]


def test_eval_says_first_what_it_will_do_and_how_long_it_takes(cli: Cli, built: Path) -> None:
    result = cli("eval", built, *FEW, "--baseline", "random", "whole", "--whole-epochs", 1)
    header, estimate, *_ = result.err.splitlines()
    for words in ("digits", "3 training sets", "random", "whole", "2 networks of mlp", "1 and 2 epochs", "359 images"):
        assert words in header
    assert "estimated:" in estimate
    assert "less time" not in result.err


def test_eval_that_takes_long_names_what_would_make_it_shorter(
    cli: Cli, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def score_nothing(*arguments: object) -> None:
        raise InputError("nothing is scored in this test")

    monkeypatch.setattr("proxyset.report.scores.contenders", score_nothing)
    result = cli("eval", built, "--net", "convnet", "--nets", 1000)
    (line,) = [line for line in result.err.splitlines() if line.startswith("less time: ")]
    for flag in ("--nets 5 (", "--epochs 300 (", "--net convnet-w32 ("):
        assert flag in line


def test_an_estimate_is_near_the_time_that_scoring_takes(built: Path) -> None:
    data, proxy = proxyset.load("digits"), ProxySet.load(built)
    contest = Contest(data, Evaluation(nets=3, epochs=60), ["convnet-w16-d2"])
    session = proxyset.Session(device="cpu")
    estimate = estimate_scores([(len(proxy.data), contest.protocol.resolved())], contest, session).seconds
    started = time.monotonic()
    score_all([Contender("set", proxy.data)], contest, session)
    assert 0.2 < estimate / (time.monotonic() - started) < 5


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_eval_writes_its_table(suffix: str, cli: Cli, built: Path, tmp_path: Path) -> None:
    out = tmp_path / f"scores{suffix}"
    result = cli("eval", built, *FEW, "--json", "--out", out)
    assert result.code == 0, result.err
    assert is_table(out)
    (row,) = json.loads(result.out)
    text = out.read_text()
    if suffix == ".csv":
        (read,) = csv.DictReader(io.StringIO(text))
        assert float(read["mean"]) == row["mean"]
        assert (read["name"], read["net"], read["n"], read["epochs"]) == ("set", "mlp", "2", "2")
        assert (read["stored"], read["images"], read["bytes"]) == ("10", "10", "2560")
        assert read["protocol"] == "paper but for epochs 2"
    elif suffix == ".json":
        assert json.loads(text)["scores"] == [row]
    else:
        assert f"{100 * row['mean']:.1f}" in text
        assert ("±" in text) == (suffix == ".md")
        assert "protocol paper but for epochs 2" in text
    assert_refused(cli("eval", built, *FEW, "--out", out), out.name, "--force")
    assert out.read_text() == text
    assert cli("eval", built, *FEW, "--out", out, "--force").code == 0
    out.write_text("mine")
    assert_refused(cli("eval", built, *FEW, "--out", out, "--force"), out.name)
    assert out.read_text() == "mine"


def test_names_in_tables_stay_text(tmp_path: Path) -> None:
    """What has a meaning in TeX or Markdown has none in a table."""
    facts = {"accuracies": [0.5], "seconds": 1.0, "protocol": Evaluation().model_dump(), "images": 2000, "bytes": 512}
    rows = [{"name": "a_b|c%\\d", "file": None, "net": "x&y", **facts}]
    write_scores(rows, ["x&y"], tmp_path / "t.tex")
    write_scores(rows, ["x&y"], tmp_path / "t.md")
    assert r"a\_b|c\%\textbackslash{}d & 2,000 & 0.5 & 50.0 $\pm$ 0.0 (1) & 1 s \\" in (tmp_path / "t.tex").read_text()
    assert "| a_b\\|c%\\d | 2,000 | 0.5 | 50.0 ± 0.0 (1) | 1 s |" in (tmp_path / "t.md").read_text()


def test_sets_made_with_different_networks_need_one_named(cli: Cli, tmp_path: Path) -> None:
    save_npz(tmp_path / "mine.npz")
    argv = ["build", "--dataset", "mine.npz", "--size", 8, "--channels", 3, "--flip"]
    assert cli(*argv, "--method", "random", "--out", "one.safetensors").code == 0
    assert cli(*argv, "--method", "herding", "--net", "convnet-w4-d1", "--out", "two.safetensors").code == 0
    score = ["eval", "one.safetensors", "two.safetensors", "--nets", 1, "--epochs", 1]
    assert_refused(cli(*score), "one.safetensors: convnet", "two.safetensors: convnet-w4-d1", "--net")
    assert cli(*score, "--net", "mlp").code == 0


def test_a_score_that_its_file_cannot_take_is_told_and_not_lost(
    cli: Cli, built: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*arguments: object) -> None:
        raise InputError("cannot write: Read-only file system")

    monkeypatch.setattr("proxyset.report.scores._keep", refuse)
    result = cli("eval", built, "--nets", 1, "--epochs", 1, "--net", "mlp", "--out", "scores.csv")
    assert result.code == 0, result.err
    assert "is not kept in its file: cannot write" in caplog.text
    assert Path("scores.csv").exists()


def test_show_draws_again_where_it_is_forced(cli: Cli, built: Path) -> None:
    picture = built.with_suffix(".png")
    os.utime(picture, (1, 1))
    assert cli("show", built).code == 0
    assert picture.stat().st_mtime == 1
    assert cli("show", built, "--force").code == 0
    assert picture.stat().st_mtime > 1


def test_code_that_a_set_names_is_run_only_if_trusted(cli: Cli, built: Path, tmp_path: Path) -> None:
    """Sets are what people hand on; a flag of the user's own says what is run."""
    (tmp_path / "their_net.py").write_text(
        "from torch import nn\nopen('ran', 'w')\nmake = lambda **shape: nn.Identity()\n"
    )
    proxy = ProxySet.load(built)
    settings = proxy.provenance["settings"] | {"net": "their_net:make"}
    replace(proxy, provenance=proxy.provenance | {"settings": settings}).save(built)
    assert_refused(cli("eval", built, "--nets", 1, "--epochs", 1), "their_net:make", "--trust")
    assert not (tmp_path / "ran").exists()
    assert cli("eval", built, "--nets", 1, "--epochs", 1, "--net", "mlp").code == 0
    cli("eval", built, "--nets", 1, "--epochs", 1, "--trust")
    assert (tmp_path / "ran").exists()
