"""Tables for the terminal."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from proxyset.artefact.proxy_set import ProxySet
from proxyset.data.images import ImageSet, one_hot
from proxyset.data.spec import Dataset
from proxyset.report.scores import WHOLE, Contest, contenders, score_all
from proxyset.report.tables import print_provenance, print_scores, score_table, title_of
from proxyset.train.protocols import Evaluation, ProtocolName
from tests.proxyset.report.test_scores import CPU, built


@pytest.fixture(autouse=True)
def rich_draws_are_undone() -> Iterator[None]:
    """rich numbers its styles by the global generator."""
    state = random.getstate()
    yield
    random.setstate(state)


def test_tables_show_every_score(tiny: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, contest = tmp_path / "a.safetensors", Contest(tiny, Evaluation(nets=2, epochs=2), ("mlp",), whole_epochs=3)
    rows = score_all(contenders(built(tiny, path), [WHOLE], contest, CPU), contest, CPU)
    print_scores(rows, contest.nets)
    print_provenance(ProxySet.load(path))
    printed = capsys.readouterr()
    mean = 100 * sum(rows[0]["accuracies"]) / 2
    assert f"{mean:.1f}" in printed.err
    assert "whole" in printed.err
    assert f"{mean:.1f}" in printed.out
    assert tiny.sha256[:20] in printed.out
    assert "protocol paper but for epochs 2" in printed.err
    assert "protocol paper but for epochs 2" in " ".join(printed.out.replace("│", " ").split())


def row(name: str, protocol: ProtocolName, accuracy: float, file: str | None = None) -> dict[str, Any]:
    facts = {"net": "mlp", "accuracies": [accuracy], "seconds": 1.0, "images": 1438, "bytes": 92032, "work": "same"}
    return {"name": name, "file": file, "protocol": Evaluation(protocol=protocol).model_dump(), **facts}


def test_a_line_has_images_and_bytes_and_the_title_the_protocol() -> None:
    rows = [row("a", "strong", 0.5, "a"), row("b", "strong", 0.7, "b")]
    assert score_table(rows, ["mlp"]) == [
        ["training set", "images", "KiB", "mlp", "time"],
        ["a", "1,438", "89.9", "50.0 ± 0.0 (1)", "1 s"],
        ["b", "1,438", "89.9", "70.0 ± 0.0 (1)", "1 s"],
        ["all 2 sets", "", "", "60.0 ± 10.0 (2)", ""],
    ]
    assert title_of(rows) == "protocol strong"


def test_sets_of_other_work_have_no_mean() -> None:
    rows = [row("a", "strong", 0.5, "a"), row("b", "strong", 0.7, "b") | {"work": "other"}]
    assert [line[0] for line in score_table(rows, ["mlp"])[1:]] == ["a", "b"]


def test_protocols_are_never_mixed_without_a_word() -> None:
    rows = [row("a", "paper", 0.5, "a"), row("a", "strong", 0.7, "a"), row("b", "strong", 0.7, "b")]
    lines = score_table(rows, ["mlp"])[1:]
    assert [line[0] for line in lines] == ["a, paper", "a, strong", "b, strong"]  # and no mean over them
    assert title_of(rows) == "protocols paper, strong"


@pytest.mark.parametrize("formation", [1, 2])
@pytest.mark.parametrize("soft", [False, True])
def test_a_set_says_what_is_stored_and_what_is_trained_on(
    formation: int, soft: bool, tiny: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    labels, tiles = torch.arange(3).repeat_interleave(2), formation**2
    targets = one_hot(labels, 3)  # certain of the class, and right but for the first image
    targets[0] = torch.tensor([0.0, 1.0, 0.0])
    answers = targets if formation == 1 else targets[:, None].repeat(1, tiles, 1)
    data = ImageSet(torch.zeros(6, 1, 8, 8), labels, answers if soft else None, formation)
    proxy = ProxySet(data, tiny.spec, {"keep_as": "uint8", "bytes": 1}, "uint8")
    print_provenance(proxy)
    words = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "stored images 6 (2 per class), 1×8×8" in words
    assert (f"of {formation}×{formation} tiles" in words) == (formation > 1)
    assert f"training images {6 * tiles}" in words
    assert f"bytes {proxy.nbytes:,} as uint8" in words
    assert ("highest 1.00 on average; 83% have it" in words) == soft
    assert words.count("bytes") == 1
    assert f"{6 * tiles} training images, {proxy.nbytes:,} bytes" in proxy._repr_html_()
