"""Configuration: default < YAML < flags."""

import json
from pathlib import Path

import pytest

from tests.proxyset.cli.made import (
    Cli,
    assert_refused,
    snapshot,
)


def test_yaml_sets_defaults_and_flags_win(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("method: dc\nipc: 2\nnet: convnet-w4-d1\niterations: 3\nlr-img: 0.5\njson: true\n")
    result = cli("build", "--config", "c.yaml", "--iterations", 1, "--seed", 4)
    assert result.code == 0, result.err
    (facts,) = json.loads(result.out)
    assert (facts["method"], facts["ipc"], facts["seed"]) == ("dc", 2, 4)
    settings = facts["settings"]
    assert (settings["iterations"], settings["lr_img"], settings["momentum_img"]) == (1, 0.5, 0.5)


def test_every_mistake_in_a_yaml_file_is_reported_at_once(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("itertions: 5\nlr_img: -1\ndistance: l2\nseed: x\n")
    before = snapshot(tmp_path)
    result = cli("build", "--config", "c.yaml")
    assert_refused(result, "c.yaml", "'itertions'", "did you mean 'iterations'", "lr_img", "distance", "seed")
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must be a mapping"),
        ("- dsa\n", "must be a mapping"),
        ("ipc: [1\n", "cannot read the config"),
        ("method: dsaa\n", "did you mean 'dsa'"),
        ("ipc: many\n", "ipc"),
        ("method: random\niterations: 5\n", "unknown setting 'iterations'"),
        ("lr_img: .nan\n", "lr_img"),
        ("1: 2\n", "unknown setting '1'"),
        ("method: [dsa]\n", "method"),
        ("ipc: true\n", "ipc: must be a number"),
        ("lr-img: 1\nlr_img: 2\n", "'lr_img' twice"),
        ("seed: 1\nipc: 2\nseed: 1\n", "'seed' is there twice"),
        ("lr_img: .inf\n", "lr_img: inf is no finite number"),
        ("seed: 99999999999999999999\n", "seed: the integer is too large"),
        ("config: c.yaml\n", "cannot name a config itself"),
        ("seed: !!python/name:os.getcwd\n", "could not determine a constructor"),
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "unknown setting 'a'"),
        ("a: &a [*a]\n", "nested too deeply"),
        ("a: " + "[" * 100 + "]" * 100, "nested too deeply"),
        ("# " + "x" * 100_000, "too large"),
    ],
)
def test_a_bad_yaml_file_is_refused(text: str, words: str, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(text)
    assert_refused(cli("build", "--config", "c.yaml"), words)


def test_switches_are_understood_in_both_directions_whatever_the_yaml_says(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        "method: herding\nfeatures: pixels\nl2-normalise: false\nforce: true\njson: true\n"
    )
    for flags, expected in (([], False), (["--l2-normalise"], True), (["--no-l2-normalise", "--force"], False)):
        result = cli("build", "--config", "c.yaml", *flags)
        assert result.code == 0, result.err
        assert json.loads(result.out)[0]["settings"]["l2_normalise"] == expected
    assert_refused(cli("build", "--config", "c.yaml", "--no-force"), "exists")
