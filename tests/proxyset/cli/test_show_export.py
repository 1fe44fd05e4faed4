"""`proxyset show` and `proxyset export` from outside."""

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

from proxyset.errors import InputError
from tests.proxyset.cli.made import (
    FAST,
    Cli,
    assert_refused,
    snapshot,
)


def test_show_says_where_a_set_comes_from(cli: Cli, built: Path, tmp_path: Path) -> None:
    assert cli("eval", built, "--nets", 1, "--epochs", 1, "--net", "mlp").code == 0
    result = cli("show", built)
    assert result.code == 0
    for word in ("10 (1 per class), 1×8×8", "dsa", "iterations 2", "mlp, 1 epochs"):
        assert word in " ".join(result.out.split())
    facts = json.loads(cli("show", built, "--json").out)
    assert facts["settings"]["iterations"] == 2
    assert facts["scores"][0]["net"] == "mlp"
    built.with_suffix(".png").unlink()
    assert cli("show", built).code == 0
    assert built.with_suffix(".png").exists()  # drawn again
    assert cli("show", built, "--out", "picture.png").code == 0
    assert_refused(cli("show", built, "--out", "picture.png"), "picture.png", "exists")


@pytest.mark.parametrize(("form", "name"), [("folder", "set"), ("npz", "set.npz"), ("parquet", "set-parquet")])
def test_export_writes_a_dataset_that_builds_again(form: str, name: str, cli: Cli, built: Path, tmp_path: Path) -> None:
    assert cli("build", *FAST, "--method", "dc", "--ipc", 3, "--out", built, "--force").code == 0
    result = cli("export", built, "--format", form, "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["images"] == 30
    before = snapshot(tmp_path)
    assert_refused(cli("export", built, "--format", form), "exists", "--force")
    assert snapshot(tmp_path) == before
    assert cli("export", built, "--format", form, "--force").code == 0
    again = cli("build", "--dataset", name, "--method", "random", "--ipc", 3, "--out", "again.safetensors")
    assert again.code == 0, again.err
    assert_refused(cli("eval", "again.safetensors"), "no test images")


def test_export_removes_nothing_that_is_not_an_export(cli: Cli, built: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("ten years of work")
    before = snapshot(tmp_path)
    assert_refused(cli("export", built, "--out", mine), "exists")
    assert_refused(cli("export", built, "--out", mine, "--force"), "no export of this program")
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("command", ["eval", "show", "export"])
def test_a_damaged_or_foreign_artefact_is_refused(command: str, cli: Cli, built: Path, tmp_path: Path) -> None:
    whole = built.read_bytes()
    changed = bytearray(whole)
    changed[-5] ^= 1
    safetensors.torch.save_file({"weight": torch.zeros(2)}, tmp_path / "weights.safetensors")
    foreign = (tmp_path / "weights.safetensors").read_bytes()
    for content, words in (
        (whole[:-10], "not a whole .safetensors file"),
        (bytes(changed), "was changed after it was written"),
        (foreign, "not a proxy set"),
        (b"", "not a whole .safetensors file"),
    ):
        built.write_bytes(content)
        before = snapshot(tmp_path)
        assert_refused(cli(command, built), str(built), words)
        assert snapshot(tmp_path) == before


def test_a_set_in_a_folder_that_takes_no_picture_is_shown_all_the_same(
    cli: Cli, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise InputError("cannot write: Read-only file system")

    built.with_suffix(".png").unlink()
    monkeypatch.setattr("proxyset.report.figures.save_preview", refuse)
    result = cli("show", built)
    assert result.code == 0
    assert "digits" in result.out
    assert "no picture: cannot write" in result.err
    assert json.loads(cli("show", built, "--json").out)["method"]
    assert cli("show", built, "--out", "mine.png").code == 2  # this one was asked for
