"""Formations, ways to keep a set, and sets to start from, on the command line."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from proxyset.artefact.proxy_set import ProxySet
from proxyset.train.protocols import VALUES
from tests.proxyset.cli.made import Cli, assert_refused, snapshot

TILES = ["build", "--method", "random", "--ipc", 2, "--formation", 2]
LEARN = ["--net", "mlp", "--iterations", 2, "--ipc", 2, "--inner-steps", 1, "--lr-img", 1e-9]


@pytest.fixture
def tiles(cli: Cli, tmp_path: Path) -> Path:
    assert cli(*TILES, "--keep-as", "uint8", "--out", "tiles.safetensors").code == 0
    return tmp_path / "tiles.safetensors"


@pytest.mark.parametrize(("keep_as", "count"), [("float32", 5120), ("float16", 2560), ("uint8", 1280)])
def test_a_set_is_kept_as_asked(cli: Cli, keep_as: str, count: int, tmp_path: Path) -> None:
    result = cli(*TILES, "--keep-as", keep_as, "--out", "set.safetensors", "--json")
    assert result.code == 0, result.err
    (facts,) = json.loads(result.out)
    assert (facts["keep_as"], facts["bytes"], facts["settings"]["formation"]) == (keep_as, count, 2)
    proxy = ProxySet.load(tmp_path / "set.safetensors")
    assert (proxy.keep_as, proxy.data.formation, proxy.nbytes) == (keep_as, 2, count)
    again = cli(*TILES, "--keep-as", keep_as, "--out", "set.safetensors", "--resume")
    assert "already built" in again.err


def test_another_way_to_keep_a_set_is_other_work(cli: Cli, tiles: Path) -> None:
    assert_refused(cli(*TILES, "--out", tiles, "--resume"), "exists and is of other work")
    assert_refused(cli(*TILES, "--keep-as", "int8", "--out", tiles), "--keep-as")


def test_learning_starts_from_a_set(cli: Cli, tiles: Path, tmp_path: Path) -> None:
    argv = ["build", *LEARN, "--init", tiles, "--formation", 2]
    assert cli(*argv, "--out", "learned.safetensors").code == 0
    learned, start = ProxySet.load(tmp_path / "learned.safetensors"), ProxySet.load(tiles)
    torch.testing.assert_close(learned.data.images, start.data.images)
    moved = tiles.rename(tmp_path / "moved.safetensors")
    argv[argv.index(tiles)] = moved
    assert "already built" in cli(*argv, "--out", "learned.safetensors", "--resume").err
    assert cli(*TILES, "--seed", 1, "--out", moved, "--force").code == 0
    assert_refused(cli(*argv, "--out", "learned.safetensors", "--resume"), "is of other work")


def test_a_set_that_learning_cannot_start_from_is_refused(cli: Cli, tiles: Path, tmp_path: Path) -> None:
    before = snapshot(tmp_path)
    argv = ["build", *LEARN, "--out", "learned.safetensors", "--init"]
    assert_refused(cli(*argv, "missing.safetensors"), "--init: no proxy set at")
    assert_refused(cli(*argv, "mine.npz"), "must be real, noise or the .safetensors file")
    assert_refused(cli(*argv, tiles), "--init", "--formation 2, but 1 is wanted")
    assert_refused(cli(*argv, tiles, "--formation", 2, "--ipc", 3), "--init", "3 of each of 10 classes are wanted")
    assert_refused(cli(*argv, tiles, "--formation", 2, "--size", 16), "--init", "its size differs")
    assert snapshot(tmp_path) == before


@pytest.mark.draws
def test_tiles_are_shown_and_drawn_beside_what_is_trained_on(cli: Cli, tiles: Path) -> None:
    words = " ".join(cli("show", tiles).out.replace("│", " ").split())
    for line in ("stored images 20 (2 per class), 1×8×8 of 2×2 tiles", "training images 80", "bytes 1,280 as uint8"):
        assert line in words
    assert cli("build", "--method", "random", "--ipc", 2, "--out", "plain.safetensors").code == 0
    with Image.open(tiles.with_suffix(".png")) as tall, Image.open(tiles.with_name("plain.png")) as plain:
        assert tall.size[1] > 3 * plain.size[1]


def test_tiles_are_exported_as_images_and_on_demand_as_they_are_stored(cli: Cli, tiles: Path) -> None:
    result = cli("export", tiles, "--json")
    assert "80 training images, the tiles of 20 stored ones" in result.err
    facts = json.loads(result.out)
    assert (facts["images"], facts["stored"]) == (80, 20)
    assert cli("build", "--dataset", "tiles", "--method", "random", "--ipc", 8, "--out", "again.safetensors").code == 0
    result = cli("export", tiles, "--stored", "--out", "pictures")
    assert "20 stored images of 2×2 tiles" in result.err
    refused = cli("build", "--dataset", "pictures", "--method", "random", "--out", "other.safetensors")
    assert_refused(refused, "pictures", "several tiles")


# Scores.


def test_baselines_stand_beside_a_set_with_its_tiles_and_bytes(cli: Cli, tiles: Path) -> None:
    few = ["--nets", 1, "--epochs", 8, "--net", "mlp", "--json"]
    result = cli("eval", tiles, *few, "--baseline", "random", "whole", "--whole-epochs", 1)
    assert result.code == 0, result.err
    rows = [(row["name"], row["images"], row["bytes"], row["epochs"]) for row in json.loads(result.out)]
    assert rows == [("tiles", 80, 1280, 8), ("random ipc2 f2 uint8", 80, 1280, 8), ("whole", 1438, 1438 * 64, 1)]
    assert "protocol paper but for epochs 8" in " ".join(result.err.split())
    result = cli("eval", tiles, *few, "--protocol", "equal-updates")
    assert [row["epochs"] for row in json.loads(result.out)] == [2]
    shown = " ".join(cli("show", tiles).out.replace("│", " ").split())
    assert "mlp, 8 epochs, protocol paper but for epochs 8:" in shown
    assert "mlp, 2 epochs, protocol equal-updates but for epochs 8:" in shown


def test_a_protocol_by_name_and_what_is_given_beside_it(cli: Cli, tiles: Path) -> None:
    given = ["--nets", 1, "--epochs", 2, "--lr", 0.01, "--net", "mlp", "--json"]
    result = cli("eval", tiles, "--protocol", "strong", *given)
    assert result.code == 0, result.err
    (row,) = json.loads(result.out)
    protocol = row["protocol"]
    assert (protocol["protocol"], protocol["optimiser"], protocol["cutmix"]) == ("strong", "adamw", 0.5)
    assert (protocol["lr"], protocol["epochs"]) == (0.01, 2)  # the paper's, but given
    assert_refused(cli("eval", tiles, "--protocol", "weak"), "--protocol")


def test_build_scores_by_the_protocol_that_it_names(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VALUES["strong"], "epochs", 2)  # 2000 take long
    argv = ["build", "--method", "random", "--nets", 1, "--protocol", "strong", "--out", "set.safetensors"]
    result = cli(*argv, "--json")
    assert result.code == 0, result.err
    assert [row["protocol"]["protocol"] for row in json.loads(result.out)] == ["strong"]
    (kept,) = ProxySet.load(tmp_path / "set.safetensors").provenance["scores"]
    assert (kept["protocol"]["optimiser"], kept["epochs"]) == ("adamw", 2)
