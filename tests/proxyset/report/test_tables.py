"""Tables for the terminal."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxyset.artefact.proxy_set import ProxySet
from proxyset.data.spec import Dataset
from proxyset.report.scores import WHOLE, Contest, contenders, score_all
from proxyset.report.tables import print_provenance, print_scores
from proxyset.train.protocols import Evaluation
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
