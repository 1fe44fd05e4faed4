"""Ranking from Python: no command, no files unless asked for."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from torch import nn

import search
from proxyset.artefact.build import build
from proxyset.artefact.proxy_set import ProxySet
from proxyset.compute.session import Session
from proxyset.data.spec import Dataset
from proxyset.errors import InputError
from proxyset.methods.dsa import DC
from proxyset.nets.arch import Arch
from search import Ranking, RankingSettings, SpaceChoice, rank_architectures
from search.sources.registry import FREE
from tests.search.test_sources import MEAN

ARCHS = [Arch(4, 1), Arch(4, 2), Arch(8, 1, "none")]
SMALL = RankingSettings(ipc=2, epochs=2, whole_epochs=1, iterations=1, condense_net="mlp", batch_size=8)


def linear(channels: int, size: int, classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size**2, classes))


def rank(dataset: Dataset, *proxies: object, settings: RankingSettings = SMALL, **options: object) -> Ranking:
    options = {"space": ARCHS, "progress": False, "session": Session(device="cpu")} | options
    return rank_architectures(dataset, list(proxies), settings=settings, **options)  # type: ignore[arg-type]


@pytest.fixture
def dataset(make_dataset: Callable[..., Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    monkeypatch.chdir(tmp_path)
    return make_dataset(counts=12)


def test_the_public_names_are_seen_and_nothing_heavy_is_imported_for_them() -> None:
    assert {"rank_architectures", "Ranking", "RankingSettings", "SpaceChoice"} <= set(dir(search))
    code = "import sys, search; dir(search); search.RankingSettings, search.SpaceChoice\n"
    code += "assert not {'torch', 'ray', 'pandas', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_ranking_leaves_nothing_on_disk(dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = rank(dataset, "random", DC(iterations=1, net="mlp"), "early-stop", "whole")
    assert list(result.scores.index) == [str(arch) for arch in ARCHS]
    sources = ["random", "dc", "early-stop", *FREE, "whole-again", "whole"]
    assert list(result.scores) == list(result.summary["sources"]) == sources
    assert result.best == result.scores["whole"].idxmax()
    assert len(result.trials) == 3 * len(sources)
    assert result.trials["error"].isna().all()
    assert result.folder is None
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr() == ("", "")


def test_a_result_shows_itself_shortly_and_in_html(dataset: Dataset) -> None:
    result = rank(dataset, "random")
    assert len(repr(result).splitlines()) == 1
    assert "3 architectures" in repr(result)
    page = result._repr_html_()
    assert "data:image/png;base64," in page
    assert result.best in page
    without_truth = rank(dataset, "random", settings=SMALL.model_copy(update={"truth": "none"}))
    assert "img" not in without_truth._repr_html_()
    assert without_truth.best == without_truth.scores["random"].idxmax()


def test_in_a_folder_the_run_is_kept_and_goes_on(dataset: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    result = rank(dataset, "random", folder=folder)
    assert result.folder == folder
    rows = (folder / "rows.jsonl").read_text().splitlines(keepends=True)
    (folder / "rows.jsonl").write_text("".join(rows[:5]))
    again = rank(dataset, "random", folder=folder)
    assert (folder / "rows.jsonl").read_text().startswith("".join(rows[:5]))
    pd.testing.assert_frame_equal(again.scores, result.scores)
    assert {"results.csv", "summary.json", "scatter.png"} <= {path.name for path in folder.iterdir()}
    with pytest.raises(InputError, match="`epochs=2`"):
        rank(dataset, "random", folder=folder, settings=SMALL.model_copy(update={"epochs": 3}))
    with pytest.raises(InputError, match="space changed"):
        rank(dataset, "random", folder=folder, space=ARCHS[:2])
    with pytest.raises(InputError, match="`precision="):
        rank(dataset, "random", folder=folder, session=Session(device="cpu", precision="bf16"))


def test_the_same_scores_as_the_command_gives(images: Path) -> None:
    from search.cli import main

    flags = "--proxy random --where width<=32,depth<=1 --sample 3 --ipc 2 --epochs 2 --whole-epochs 1 --workers 0"
    with pytest.raises(SystemExit, match="0"):
        main(["run", "--dataset", str(images), *flags.split(), "--device", "cpu", "--out", "run"])
    settings = RankingSettings(ipc=2, epochs=2, whole_epochs=1)
    space = SpaceChoice(where="width<=32,depth<=1", sample=3)
    result = rank_architectures(
        images, ["random"], settings=settings, space=space, session=Session(device="cpu"), progress=False
    )
    rows = [json.loads(line) for line in Path("run", "rows.jsonl").read_text().splitlines()]
    scores = {(row["source"], row["name"]): row["score"] for row in rows}
    assert scores == {(source, name): result.scores.loc[name, source] for source, name in scores}


def test_builders_names_and_architectures_are_ranked_together(dataset: Dataset) -> None:
    result = rank(dataset, "random", space=[Arch(4, 1), "mlp", ("linear", linear)])
    assert list(result.scores.index) == [str(Arch(4, 1)), "mlp", "linear"]
    assert result.trials["error"].isna().all()


def test_soft_targets_are_trained_on(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """A set with targets and the same images without rank by different networks."""
    Path("my_targets.py").write_text(MEAN)
    monkeypatch.syspath_prepend(".")
    soft = build(dataset, "my_targets:Mean", 4, progress=False)
    assert soft.data.targets is not None
    flat = type(soft.data)(soft.data.images, soft.data.labels, soft.data.targets.roll(1, 1))
    wrong = ProxySet(flat, soft.spec, soft.provenance)
    settings = SMALL.model_copy(update={"epochs": 30, "augment": "none"})
    result = rank_architectures(dataset, {"soft": soft, "wrong": wrong}, space=ARCHS, settings=settings, progress=False)
    assert result.scores["soft"].mean() > 0.8
    assert result.scores["wrong"].mean() < 0.2  # it learns what the targets say, not the labels


def test_progress_is_told_to_a_function(dataset: Dataset) -> None:
    steps: list[tuple[float, int]] = []
    rank(dataset, "random", progress=lambda done, total, loss=None: steps.append((done, total)))
    assert steps[-1] == (3 * (2 + len(FREE)), 3 * (2 + len(FREE)))


@pytest.mark.parametrize(
    ("proxies", "options", "message"),
    [
        ("dsa", {}, "`proxies` is a list"),
        (["dsaa"], {}, "did you mean 'dsa'"),
        (["random"], {"space": ["mlp"]}, "at least two"),
        (["random"], {"settings": RankingSettings(augment="crup")}, "did you mean 'crop'"),
    ],
)
def test_a_mistake_is_an_input_error_and_leaves_nothing(
    dataset: Dataset, tmp_path: Path, proxies: list[str], options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        rank_architectures(dataset, proxies, **({"folder": tmp_path / "run"} | options))  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == []
