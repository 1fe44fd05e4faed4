"""A full disk is one line and exit code 1; what was there before is whole, and the work goes on from there."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from tests.proxyset.cli.made import SLOW, Cli, Result, reference_set, save_npz, snapshot, tensor_bytes

WORDS = "No space left on device"


class FullDisk:
    """In place of `os.fsync`: from the n-th call on the disk is full."""

    def __init__(self, calls: int) -> None:
        self.left = calls

    def __call__(self, handle: int) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ENOSPC, WORDS)


def failed(result: Result) -> None:
    assert result.code == 1, result
    assert WORDS in result.err.splitlines()[-1]
    assert "Traceback" not in result.err


def with_full_disk(cli: Cli, calls: int, monkeypatch: pytest.MonkeyPatch, *argv: Any) -> Result:
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", FullDisk(calls))
        return cli(*argv)


def test_a_build_goes_on_from_wherever_the_disk_was_full(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = reference_set(cli, tmp_path, iterations=2)
    out = tmp_path / "sets" / "mine.safetensors"
    argv = ["build", *SLOW, "--iterations", 2, "--checkpoint-every", 1, "--out", out]
    for calls in range(100):
        result = with_full_disk(cli, calls, monkeypatch, *argv, "--resume")
        if result.code == 0:
            break
        failed(result)
        names = {"mine.safetensors", "mine.checkpoint", "mine.png"}
        assert not out.parent.exists() or set(os.listdir(out.parent)) <= names
    assert calls > 3
    assert tensor_bytes(out) == whole
    assert sorted(os.listdir(out.parent)) == ["mine.png", "mine.safetensors"]


@pytest.mark.parametrize("form", ["folder", "npz", "parquet"])
def test_an_export_leaves_the_old_one_where_the_disk_is_full(
    form: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_npz(tmp_path / "three.npz")
    for name, seed in (("old", 0), ("new", 1)):
        argv = ["--method", "random", "--seed", seed, "--out", f"{name}.safetensors"]
        assert cli("build", "--dataset", "three.npz", *argv).code == 0
    out = ["--format", form, "--out", "out.npz" if form == "npz" else "out"]
    assert cli("export", "old.safetensors", *out).code == 0
    before = snapshot(tmp_path)
    for calls in range(100):
        result = with_full_disk(cli, calls, monkeypatch, "export", "new.safetensors", *out, "--force")
        if result.code == 0:
            break
        failed(result)
        if snapshot(tmp_path) != before:  # replaced, and only the sync of the folder failed
            assert snapshot(tmp_path).keys() == before.keys()
            break
    assert calls > 0
    assert cli("export", "new.safetensors", *out, "--force").code == 0
    assert snapshot(tmp_path).keys() == before.keys()
    assert snapshot(tmp_path) != before
