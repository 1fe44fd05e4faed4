"""Signals within the process, and going on after them."""

import shlex
import signal
from pathlib import Path

import pytest

from proxyset.compute.plan import Estimate
from proxyset.methods.dsa import DSA
from proxyset.progress import ProgressLine
from tests.proxyset.cli.made import (
    FAST,
    SLOW,
    Cli,
    assert_refused,
    interrupter,
    reference_set,
    save_npz,
    snapshot,
    tensor_bytes,
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("step", [1, 3, 8])
def test_an_interrupted_build_says_how_to_go_on_and_that_works(
    number: int, step: int, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = reference_set(cli, tmp_path, iterations=4)
    out = tmp_path / "with space" / "set.safetensors"
    argv = ["build", *SLOW, "--iterations", 4, "--out", out]
    with monkeypatch.context() as patch:
        patch.setattr(ProgressLine, "__call__", interrupter(step, number))
        result = cli(*argv)
    assert result.code == 130
    assert not out.exists()
    assert f"{step} steps" in result.err
    assert_refused(cli(*argv), "unfinished run", "--resume", "--force")
    command = shlex.split(result.err.splitlines()[-1].split("to go on: ")[1])
    assert command[0] == "proxyset"
    assert cli(*command[1:]).code == 0
    assert tensor_bytes(out) == whole
    assert sorted(path.name for path in out.parent.iterdir()) == ["set.png", "set.safetensors"]


def test_resume_of_a_finished_set_keeps_it(cli: Cli, built: Path, tmp_path: Path) -> None:
    before = snapshot(tmp_path)
    result = cli("build", *FAST, "--out", built, "--resume")
    assert result.code == 0
    assert "already built" in result.err
    assert snapshot(tmp_path) == before


def test_resume_does_not_take_a_set_of_other_work_for_its_own(cli: Cli, built: Path, tmp_path: Path) -> None:
    before = snapshot(tmp_path)
    assert_refused(cli("build", *FAST, "--seed", 1, "--out", built, "--resume"), "exists", "--force")
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("where", ["flag", "yaml"])
def test_an_interrupted_force_goes_on_with_the_new_set(
    step: int, where: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old set is neither lost before the new one is done, nor taken for it, nor is the work started over."""
    whole = reference_set(cli, tmp_path, iterations=2)
    old = tmp_path / "set.safetensors"
    assert cli("build", *SLOW, "--iterations", 1, "--out", old).code == 0
    before = tensor_bytes(old)
    (tmp_path / "c.yaml").write_text("force: true\n" if where == "yaml" else "seed: 0\n")
    argv = ["build", *SLOW, "--iterations", 2, "--out", old, "--config", tmp_path / "c.yaml"]
    argv += ["--force"] if where == "flag" else []
    with monkeypatch.context() as patch:
        patch.setattr(ProgressLine, "__call__", interrupter(step))
        result = cli(*argv)
    assert result.code == 130
    assert tensor_bytes(old) == before
    steps: list[float] = []
    with monkeypatch.context() as patch:
        patch.setattr(ProgressLine, "__call__", lambda line, done, total, loss=None: steps.append(done))
        assert cli(*shlex.split(result.err.splitlines()[-1].split("to go on: ")[1])[1:]).code == 0
    assert [2 * done for done in steps] == list(range(step + 1, 5))  # counted in iterations of two steps
    assert tensor_bytes(old) == whole


def test_resume_of_other_work_is_refused(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_npz(tmp_path / "three.npz")

    argv = ["build", *SLOW, "--out", "set.safetensors"]
    with monkeypatch.context() as patch:
        patch.setattr(ProgressLine, "__call__", interrupter(1))
        assert cli(*argv, "--iterations", 4).code == 130
    before = snapshot(tmp_path)
    result = cli(*argv, "--iterations", 5, "--resume")
    assert result.code == 2
    assert "of other work (different: settings)" in result.err
    assert snapshot(tmp_path) == before


def test_what_is_left_is_estimated_when_work_goes_on(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_npz(tmp_path / "three.npz")
    monkeypatch.setattr(DSA, "estimate", lambda *arguments: Estimate(seconds=4000, memory=2**30, uncompiled=8000))
    argv = ["build", *SLOW, "--iterations", 4, "--out", "set.safetensors"]
    with monkeypatch.context() as patch:
        patch.setattr(ProgressLine, "__call__", interrupter(6))
        whole = cli(*argv)
    assert whole.code == 130
    assert "estimated: 1 h 06 min (2 h 13 min without compiling), 1.0 GiB of memory" in whole.err
    rest = cli(*argv, "--resume")
    assert rest.code == 0
    assert "estimated: 16 min 40 s (33 min 20 s without compiling) for the rest, 1.0 GiB of memory" in rest.err
