"""`proxyset eval --protocol dd-ranking`."""

import json
from dataclasses import asdict, fields

import pytest

from proxyset.report.fair import Fair, Measured
from tests.proxyset.cli.made import FAST, Cli


@pytest.fixture
def scores(cli: Cli) -> dict[str, float]:
    quick = ["--net", "convnet-w8", "--nets", "1", "--epochs", "60", "--whole-epochs", "30"]
    soft = ["--method", "krr", "--net", "convnet-w8", "--iterations", "20", "--batch-real", "64", "--formation", "2"]
    assert cli("build", *soft, "--ipc", "2", "--out", "set.safetensors").code == 0
    result = cli("eval", "set.safetensors", "--protocol", "dd-ranking", "--json", *quick)
    assert result.code == 0, result.err
    (row,) = json.loads(result.out)
    return dict(row)


def test_every_part_is_measured_on_its_own(scores: dict[str, float]) -> None:
    parts = Measured(**{name: scores[name] for name in (each.name for each in fields(Measured))})
    assert asdict(Fair.of(parts)) == {each.name: scores[each.name] for each in fields(Fair)}
    assert parts.whole > parts.random
    assert parts.as_many > parts.random  # 8 whole images a class beside 8 tiles of 2
    assert parts.hard != parts.own
    assert parts.plain != parts.own


def test_it_has_its_own_baselines(cli: Cli) -> None:
    assert cli("build", *FAST, "--out", "set.safetensors").code == 0
    for more in (("--baseline", "random"), ("--out", "table.md")):
        result = cli("eval", "set.safetensors", "--protocol", "dd-ranking", *more)
        assert result.code == 2
        assert "dd-ranking" in result.err
