"""`proxyset build` from outside."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from proxyset.artefact.proxy_set import ProxySet
from proxyset.data.load import load
from proxyset.methods.registry import METHODS
from proxyset.train.protocols import Evaluation
from tests.proxyset.cli.made import (
    FAST,
    Cli,
    assert_refused,
    save_folder,
    snapshot,
    tensor_bytes,
)


@pytest.mark.draws
def test_build_needs_no_flag_but_patience(cli: Cli, tmp_path: Path) -> None:
    result = cli("build", *FAST)
    assert result.code == 0
    path = tmp_path / "proxysets" / "digits-dsa-ipc1-seed0.safetensors"
    assert sorted(snapshot(tmp_path / "proxysets")) == [f"{path.stem}.png", path.name]
    assert Image.open(path.with_suffix(".png")).size[0] > 100
    proxy = ProxySet.load(path)
    assert proxy.data.images.shape == (10, 1, 8, 8)
    assert "1438 training images 1×8×8, 10 classes → dsa, 1 per class, on cpu" in result.err
    assert str(path.relative_to(tmp_path)) in result.err
    assert result.out == ""


def test_provenance_says_everything_that_made_the_set(cli: Cli, built: Path) -> None:
    proxy = ProxySet.load(built)
    facts, dataset = proxy.provenance, load("digits")
    assert facts["dataset"]["source"] == "digits"
    assert facts["dataset"]["sha256"] == dataset.train.sha256()
    assert facts["dataset"]["images"] == len(dataset.train)
    assert (facts["method"], facts["ipc"], facts["seed"]) == ("dsa", 1, 0)
    left_out_while_off = {"formation", "targets", "teacher_net", "teacher_epochs"}
    assert set(facts["settings"]) == set(METHODS["dsa"].model_fields) - left_out_while_off
    assert (facts["keep_as"], facts["bytes"]) == ("float32", 10 * 64 * 4)
    assert facts["settings"]["net"] == "convnet-w4-d1-relu-instance-avg"
    assert (facts["settings"]["inner_steps"], facts["settings"]["lr_img"]) == (1, 0.1)
    assert facts["settings"]["augment"] == "color_crop_cutout_scale_rotate"  # a flip changes digits
    assert facts["versions"]["torch"] == torch.__version__
    assert facts["device"] == "cpu"
    assert facts["threads"] == 1
    assert facts["seconds"] > 0
    assert facts["peak_memory_bytes"] > 2**20
    assert facts["created"].endswith("+00:00")
    assert facts["scores"] == []
    assert (proxy.spec.mean, proxy.spec.std) == (dataset.spec.mean, dataset.spec.std)
    assert proxy.spec.class_names == tuple("0123456789")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_builds_from_the_command_line(method: str, cli: Cli, tmp_path: Path) -> None:
    """With one flag of its own, where it has `net`; --json gives the provenance."""
    fields = METHODS[method].model_fields
    small: dict[str, Any] = {"net": "convnet-w4-d1", "iterations": 2, "epochs": 1, "inner_steps": 2, "net_epochs": 1}
    small |= {"trainings": 1, "experts": 1, "expert_epochs": 2, "latest_start": 1, "span": 1, "unroll": 2}
    flags = [f"--{key.replace('_', '-')}={value}" for key, value in small.items() if key in fields]
    result = cli("build", "--method", method, "--ipc", 3, *flags, "--json")
    assert result.code == 0, result.err
    (facts,) = json.loads(result.out)
    assert (facts["method"], facts["ipc"]) == (method, 3)
    assert len(ProxySet.load(facts["file"]).data) == 30


def test_several_seeds_are_built_and_scored_in_one_call(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Evaluation, "resolved", lambda protocol, *of_set: protocol.recipe(3)
    )  # the paper's 1000 take long
    argv = ["build", "--method", "random", "--seeds", 0, 1, "--out", "sets/mine-{seed}.safetensors"]
    result = cli(*argv, "--nets", 2, "--json")
    assert result.code == 0, result.err
    rows = json.loads(result.out)
    assert [row["file"] for row in rows] == ["sets/mine-0.safetensors", "sets/mine-1.safetensors"]
    assert [row["n"] for row in rows] == [2, 2]
    assert "all 2 sets" in result.err
    images = [ProxySet.load(tmp_path / row["file"]).data.images for row in rows]
    assert not torch.equal(*images)
    scores = ProxySet.load(tmp_path / "sets" / "mine-1.safetensors").provenance["scores"]
    assert scores[0]["accuracies"] == rows[1]["accuracies"]
    assert scores[0]["protocol"]["epochs"] == 3


def test_same_seed_twice_gives_identical_bytes_of_tensors(cli: Cli, built: Path, tmp_path: Path) -> None:
    assert cli("build", *FAST, "--out", "again.safetensors").code == 0
    assert tensor_bytes(built) == tensor_bytes(tmp_path / "again.safetensors")


def test_an_existing_result_is_kept_unless_forced(cli: Cli, built: Path, tmp_path: Path) -> None:
    before = snapshot(tmp_path)
    result = cli("build", *FAST, "--seed", 5, "--out", built)
    assert_refused(result, "exists", "--force")
    assert snapshot(tmp_path) == before
    assert cli("build", *FAST, "--seed", 5, "--out", built, "--force").code == 0
    assert ProxySet.load(built).provenance["seed"] == 5


def test_the_last_of_repeated_flags_counts(cli: Cli, tmp_path: Path) -> None:
    result = cli("build", "--method", "dsa", *FAST, "--ipc", 2, "--method=random", "--ipc", 1)
    assert_refused(result, "unknown flag --net", "unknown flag --iterations")
    assert cli("build", "--method", "dsa", "--method=random").code == 0
    proxy = ProxySet.load(tmp_path / "proxysets" / "digits-random-ipc1-seed0.safetensors")
    assert proxy.provenance["method"] == "random"


def test_a_set_that_could_not_be_scored_is_said_before_it_is_built(cli: Cli, tmp_path: Path) -> None:
    save_folder(tmp_path / "mine" / "train")
    before = snapshot(tmp_path)
    result = cli("build", "--dataset", "mine", "--method", "random", "--nets", 1)
    assert_refused(result, "no test images", "folder test/ beside train/", "--dataset", "--test-fraction", "--nets")
    assert snapshot(tmp_path) == before


def test_the_header_says_what_was_done_to_the_images(
    cli: Cli, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """They are scored on the same pixels, though the command that scores is told nothing of it."""
    save_folder(tmp_path / "mine", count=5)
    for number in range(2):
        Image.new("RGBA", (20, 10), (255, 0, 0, 100)).save(tmp_path / "mine" / "class0" / f"wide{number}.png")
    (tmp_path / "mine" / "class1" / "9.png").write_bytes(b"text")
    form = ["--size", 8, "--resize", "fit", "--background", "black", "--on-error", "skip"]
    result = cli("build", "--dataset", "mine", "--method", "random", "--out", "set.safetensors", *form)
    assert result.code == 0, result.err
    header = next(line for line in result.err.splitlines() if line.startswith("mine: 12 images"))
    for words in (
        "2 with transparency on black",
        "2 padded to squares",
        "2 resized to 8×8",
        "1 left out as unreadable",
    ):
        assert words in header
    assert "9.png: it is no image" in caplog.text
    recorded = ProxySet.load(tmp_path / "set.safetensors").provenance["dataset"]
    assert (recorded["resize"], recorded["background"], recorded["on_error"]) == ("fit", "black", "skip")
    assert cli("eval", "set.safetensors", "--nets", 1, "--net", "convnet-w4-d1", "--epochs", 1).code == 0


def test_a_network_of_too_few_blocks_is_said_once(cli: Cli, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_folder(tmp_path / "mine")
    argv = ["build", "--dataset", "mine", "--size", 72, "--method", "herding", "--net", "convnet-w2-d2", "--epochs", 1]
    result = cli(*argv, "--out", "set.safetensors")
    assert result.code == 0, result.err
    assert caplog.text.count("convnet-w2-d4 is meant for this size") == 1


def test_a_loss_that_turns_nan_ends_with_exit_code_1(cli: Cli, tmp_path: Path) -> None:
    result = cli("build", *FAST, "--lr-img", "1e38", "--distance", "mse", "--out", "set.safetensors")
    assert result.code == 1
    assert "proxyset: the loss became" in result.err.splitlines()[-1]
    assert not (tmp_path / "set.safetensors").exists()
