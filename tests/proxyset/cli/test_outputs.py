"""What `build` leaves: links followed, pictures seen to, nothing after a refusal."""

import os
from pathlib import Path

import numpy as np
import pytest

from proxyset.artefact.outputs import is_picture
from tests.proxyset.cli.made import Cli, Result, assert_refused, save_npz, snapshot, tensor_bytes


def build(cli: Cli, *argv: object) -> Result:
    return cli("build", "--dataset", "three.npz", "--method", "random", *argv)


def test_a_link_to_a_set_of_ours_is_followed_with_a_line(
    cli: Cli, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_npz(tmp_path / "three.npz")
    assert build(cli, "--out", "there/set.safetensors").code == 0
    (tmp_path / "link.safetensors").symlink_to("there/set.safetensors")
    before = tensor_bytes(tmp_path / "link.safetensors")
    result = build(cli, "--out", "link.safetensors", "--seed", 3, "--force")
    assert result.code == 0
    assert sum("link.safetensors is a symbolic link" in record.getMessage() for record in caplog.records) == 1
    assert (tmp_path / "link.safetensors").is_symlink()
    assert tensor_bytes(tmp_path / "there" / "set.safetensors") != before
    assert sorted(os.listdir(tmp_path)) == ["link.png", "link.safetensors", "there", "three.npz"]
    assert sorted(os.listdir(tmp_path / "there")) == ["set.png", "set.safetensors"]


@pytest.mark.parametrize(
    ("counts", "said"), [((15, 15), False), ((25, 5), True), ((10, 10, 10), False), ((24, 3, 3), True)]
)
def test_a_test_set_that_one_answer_would_score_well_on_is_said(
    counts: tuple[int, ...], said: bool, cli: Cli, tmp_path: Path
) -> None:
    save_npz(tmp_path / "three.npz", labels=np.repeat(np.arange(len(counts)), counts))
    assert build(cli, "--out", "set.safetensors").code == 0
    result = cli("eval", "set.safetensors", "--net", "mlp", "--nets", 1, "--epochs", 1)
    assert result.code == 0, result.err
    assert ("always answering the largest class would score" in result.err) == said


def test_what_is_there_is_refused_before_images_are_read(cli: Cli, tmp_path: Path) -> None:
    save_npz(tmp_path / "three.npz")
    assert build(cli, "--out", "set.safetensors").code == 0
    before = snapshot(tmp_path)
    for out, words in (("set.safetensors", "exists"), ("set", "ends in .safetensors")):
        assert_refused(cli("build", "--dataset", "not-there.npz", "--out", out), words)
    assert snapshot(tmp_path) == before


def test_resume_of_nothing_says_so_and_builds(cli: Cli, tmp_path: Path) -> None:
    save_npz(tmp_path / "three.npz")
    result = build(cli, "--out", "set.safetensors", "--resume")
    assert result.code == 0
    assert sum("nothing to go on from" in line for line in result.err.splitlines()) == 1
    assert sorted(os.listdir(tmp_path)) == ["set.png", "set.safetensors", "three.npz"]


@pytest.mark.parametrize("picture", [None, b""], ids=["missing", "of another set"])
def test_resume_of_a_finished_set_sees_to_its_picture(picture: bytes | None, cli: Cli, tmp_path: Path) -> None:
    save_npz(tmp_path / "three.npz")
    assert build(cli, "--out", "other.safetensors", "--seed", 5).code == 0
    assert build(cli, "--out", "set.safetensors").code == 0
    before = snapshot(tmp_path)
    if picture is None:
        (tmp_path / "set.png").unlink()
    else:
        (tmp_path / "set.png").write_bytes((tmp_path / "other.png").read_bytes())
    result = build(cli, "--out", "set.safetensors", "--resume")
    assert result.code == 0
    assert "already built" in result.err
    assert snapshot(tmp_path) == before
    assert is_picture(tmp_path / "set.png")


def test_one_refused_seed_of_several_leaves_nothing_of_the_others(cli: Cli, tmp_path: Path) -> None:
    save_npz(tmp_path / "three.npz")
    (tmp_path / "set-2.png").write_bytes(b"holidays")
    before = snapshot(tmp_path)
    result = build(cli, "--out", "set-{seed}.safetensors", "--seeds", 0, 1, 2)
    assert result.code == 2, result.err
    assert "set-2.png" in result.err
    assert snapshot(tmp_path) == before


def test_the_default_folder_is_not_left_by_a_refusal(cli: Cli, tmp_path: Path) -> None:
    save_npz(tmp_path / "three.npz")
    before = snapshot(tmp_path)
    assert build(cli, "--ipc", 10_000).code == 2
    assert build(cli, "--method", "nothing").code == 2
    assert snapshot(tmp_path) == before
