"""One clear line for every wrong flag, and nothing written."""

import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.proxyset.cli.made import FAST, Cli, assert_refused, snapshot


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--dataset", "digit"], ["unknown dataset 'digit'", "did you mean 'digits'"]),
        (["--dataset", "cifar-10"], ["did you mean 'cifar10'"]),
        (["--dataset", "no/such/folder"], ["no dataset at 'no/such/folder'"]),
        (["--dataset", "missing.npz"], ["no dataset at 'missing.npz'"]),
        (["--method", "hearding"], ["unknown method 'hearding'", "did you mean 'herding'"]),
        (["--net", "resnet"], ["unknown network 'resnet'", "did you mean 'resnet18'"]),
        (["--net", "convnett"], ["unknown network 'convnett'", "did you mean 'convnet'"]),
        (["--net", "convnet-w32-instanc"], ["'instanc'", "did you mean 'instance'"]),
        (["--net", "resnet18"], ["at least 16 pixels, got 8"]),
        (["--itertions", "5"], ["unknown flag --itertions", "did you mean '--iterations'"]),
        (["--itertions=5", "--lr-imgs", "1"], ["'--iterations'", "'--lr-img'"]),
        (["--ipc", "0"], ["--ipc must be at least 1, got 0"]),
        (["--ipc", "-2"], ["--ipc must be at least 1, got -2"]),
        (["--ipc", "140"], ["--ipc 140 is more than the smallest class of digits has", "139 images"]),
        (["--ipc", "ten"], ["--ipc", "'ten'"]),
        (["--ipc"], ["--ipc"]),
        (["--ipc", "ten", "--seed", "x", "--size", "0.5"], ["--ipc: ", "'ten'", "--seed: ", "--size: ", "'0.5'"]),
        (["--iterations", "0", "--lr-net", "-1"], ["--iterations: ", "--lr-net: "]),
        (["--lr-img", "nan"], ["--lr-img"]),
        (["--distance", "l2"], ["l2", "layerwise"]),
        (["--augment", "crop_rotat"], ["unknown augmentation 'rotat'", "did you mean 'rotate'"]),
        (["--augment", "flip"], ["flip"]),
        (["--seed", "-1"], ["seed"]),
        (["--device", "gpu"], ["unknown --device 'gpu'"]),
        (["--device", "cuda:99"], ["cuda:99", "not available"]),
        (["--size", "4"], ["8 to 256", "got 4"]),
        (["--size", "300"], ["8 to 256", "got 300"]),
        (["--resize", "zoom"], ["--resize", "'zoom'"]),
        (["--background", "grey"], ["--background", "'grey'"]),
        (["--on-error", "ignore"], ["--on-error", "'ignore'"]),
        (["--channels", "2"], ["--channels must be 1 or 3, got 2"]),
        (["--test-fraction", "1"], ["--test-fraction"]),
        (["--out", "set"], [".safetensors", "'set'"]),
        (["--seeds", "0", "1", "--out", "set.safetensors"], ["--seeds", "--out", "{seed}"]),
        (["--config", "missing.yaml"], ["missing.yaml", "No such file"]),
        (["surplus"], ["unexpected argument 'surplus'"]),
        (["--nets", "-1"], ["nets"]),
    ],
    ids=" ".join,
)
def test_a_wrong_flag_is_one_line_and_nothing_is_written(
    argv: list[str], words: list[str], cli: Cli, tmp_path: Path
) -> None:
    assert_refused(cli("build", *argv), *words)
    assert snapshot(tmp_path) == {}


@pytest.mark.parametrize("folder", ["file", "file/below", "/proc/proxyset-test"])
def test_a_place_that_cannot_be_written_is_refused_before_the_work(folder: str, cli: Cli, tmp_path: Path) -> None:
    """Below a regular file or in /proc, where the superuser cannot write either."""
    (tmp_path / "file").write_text("mine")
    result = cli("build", *FAST, "--out", f"{folder}/set.safetensors")
    assert_refused(result, "cannot write", folder)
    assert snapshot(tmp_path) == {"file": b"mine"}


def test_a_data_root_that_cannot_be_written_is_refused(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    result = cli("build", "--dataset", "mnist", "--data-root", "file/below")
    assert_refused(result, "data root", "file/below", "--data-root")
    assert snapshot(tmp_path) == {"file": b"mine"}


@pytest.mark.parametrize("dataset", ["mnist", "fashion-mnist", "svhn", "cifar10", "cifar100", "usps"])
def test_no_network_and_no_data_is_said(
    dataset: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*arguments: Any, **options: Any) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    result = cli("build", "--dataset", dataset, "--data-root", "data")
    assert_refused(result, dataset, "could not be downloaded", "--data-root")
    assert snapshot(tmp_path) == {}
    mine = tmp_path / "data" / "mine" / "empty"
    mine.mkdir(parents=True)
    assert_refused(cli("build", "--dataset", dataset, "--data-root", "data"), "could not be downloaded")
    assert snapshot(tmp_path) == {"data": None, "data/mine": None, "data/mine/empty": None}
