"""The command line from outside: results, one clear line for every mistake, interruption, real kills and resuming."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from proxyset.cli import main
from proxyset.data import load
from proxyset.evaluation import Evaluation
from proxyset.methods import METHODS
from proxyset.progress import ProgressLine
from proxyset.proxy import ProxySet

FAST = ["--net", "convnet-w4-d1", "--iterations", "2", "--batch-real", "8"]


@dataclass
class Result:
    code: int
    out: str
    err: str


Cli = Callable[..., Result]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    """Run a command in this process, in an empty folder; its exit code and all that it printed."""
    monkeypatch.chdir(tmp_path)
    handler = signal.getsignal(signal.SIGTERM)

    def run(*argv: object) -> Result:
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in argv])
        out, err = capfd.readouterr()
        return Result(int(stop.value.code or 0), out, err)

    yield run
    signal.signal(signal.SIGTERM, handler)


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder: names, and what the files hold."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def assert_refused(result: Result, *words: str) -> None:
    """Exit code 2 and one line on stderr that has the words; nothing on stdout."""
    assert result.code == 2, result
    lines = result.err.splitlines()
    assert len(lines) == 1, result.err
    assert lines[0].startswith("proxyset: ")
    for word in words:
        assert word in lines[0]
    assert result.out == ""


@pytest.fixture
def built(cli: Cli, tmp_path: Path) -> Path:
    assert cli("build", *FAST, "--out", "set.safetensors").code == 0
    return tmp_path / "set.safetensors"


# Building.


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
    assert set(facts["settings"]) == set(METHODS["dsa"].model_fields)
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
    small = {"net": "convnet-w4-d1", "iterations": 2, "epochs": 1, "inner_steps": 2, "net_epochs": 1}
    flags = [f"--{key.replace('_', '-')}={value}" for key, value in small.items() if key in fields]
    result = cli("build", "--method", method, "--ipc", 3, *flags, "--json")
    assert result.code == 0, result.err
    (facts,) = json.loads(result.out)
    assert (facts["method"], facts["ipc"]) == (method, 3)
    assert len(ProxySet.load(facts["file"]).data) == 30


def test_several_seeds_are_built_and_scored_in_one_call(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Evaluation, "resolved_epochs", lambda protocol: 3)  # the paper's 1000 take too long here
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


def tensor_bytes(path: Path) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in safetensors.torch.load_file(path).items()}


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


# Evaluating, showing, exporting.


def test_eval_scores_sets_and_baselines_side_by_side(cli: Cli, built: Path) -> None:
    protocol = ["--nets", 2, "--epochs", 2, "--net", "mlp", "convnet-w4-d1"]
    result = cli("eval", built, *protocol, "--baseline", "random", "whole", "--whole-epochs", 1, "--json")
    assert result.code == 0, result.err
    rows = json.loads(result.out)
    assert [(row["name"], row["net"], row["n"], row["protocol"]["epochs"]) for row in rows] == [
        ("set", "mlp", 2, 2),
        ("set", "convnet-w4-d1", 2, 2),
        ("random ipc1", "mlp", 2, 2),
        ("random ipc1", "convnet-w4-d1", 2, 2),
        ("whole", "mlp", 2, 1),
        ("whole", "convnet-w4-d1", 2, 1),
    ]
    for row in rows:
        assert row["mean"] == pytest.approx(np.mean(row["accuracies"]))
        assert row["std"] == pytest.approx(np.std(row["accuracies"]))
        assert row["seconds"] > 0
    kept = ProxySet.load(built).provenance["scores"]
    assert [score["net"] for score in kept] == ["mlp", "convnet-w4-d1"]
    assert kept[0]["accuracies"] == rows[0]["accuracies"]
    for word in ("set", "random ipc1", "whole", "mlp", "convnet-w4-d1"):
        assert word in result.err


def test_scoring_keeps_the_tensors(cli: Cli, built: Path) -> None:
    before = tensor_bytes(built)
    assert cli("eval", built, "--nets", 1, "--epochs", 1, "--net", "mlp").code == 0
    assert tensor_bytes(built) == before


def test_eval_of_equally_named_sets_in_two_folders(cli: Cli, built: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / built.name
    assert cli("build", *FAST, "--seed", 1, "--out", other).code == 0
    result = cli("eval", built, other, "--nets", 1, "--epochs", 1, "--net", "mlp")
    assert result.code == 0, result.err
    assert len({line.count("│") + line.count("┃") for line in result.err.splitlines() if "(1)" in line}) == 1
    assert sum("(1)" in line for line in result.err.splitlines()) == 2  # a row each, besides "all 2 sets"
    assert "(2)" in result.err


def test_eval_refuses_what_does_not_fit(cli: Cli, built: Path, tmp_path: Path) -> None:
    before = snapshot(tmp_path)
    assert_refused(cli("eval"), "no proxy set given")
    assert_refused(cli("eval", built, "--baseline", "dsa"), "unknown baseline 'dsa'")
    assert_refused(cli("eval", built, "--net", "mlp", "lenet"), "lenet", "at least 16 pixels, got 8")
    assert_refused(cli("eval", built, "--nets", 0), "nets")
    assert_refused(cli("eval", built, "--augment", "crop_shear"), "unknown augmentation 'shear'")
    assert_refused(cli("eval", built, "missing.safetensors"), "missing.safetensors", "no such file")
    assert snapshot(tmp_path) == before


def test_eval_notices_that_the_data_are_others(cli: Cli, built: Path, tmp_path: Path) -> None:
    save_npz(tmp_path / "other.npz")
    assert cli("build", "--dataset", "other.npz", "--method", "random", "--out", "other.safetensors").code == 0
    assert_refused(cli("eval", built, "other.safetensors"), "different data")
    assert_refused(cli("eval", built, "--dataset", "other.npz"), "is not the data that", "set.safetensors")
    save_npz(tmp_path / "other.npz", seed=1)
    assert_refused(cli("eval", "other.safetensors"), "is not the data that", "--dataset")


def test_a_set_without_provenance_is_refused_for_scoring_and_shown(cli: Cli, built: Path, tmp_path: Path) -> None:
    proxy = ProxySet.load(built)
    ProxySet(proxy.data, proxy.spec).save(tmp_path / "bare.safetensors")
    assert_refused(cli("eval", "bare.safetensors"), "bare.safetensors")
    assert cli("show", "bare.safetensors").code == 0


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
    assert_refused(cli("export", built, "--out", mine, "--force"), "more than an export")
    assert snapshot(tmp_path) == before


# Configuration: default < YAML < flags.


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
    assert_refused(result, "c.yaml", "'itertions'", "did you mean 'iterations'", "lr-img", "distance", "seed")
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
        ("lr_img: .nan\n", "lr-img"),
        ("1: 2\n", "unknown setting '1'"),
        ("method: [dsa]\n", "method"),
    ],
)
def test_a_bad_yaml_file_is_refused(text: str, words: str, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(text)
    assert_refused(cli("build", "--config", "c.yaml"), words)


# Bad input: flags.


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
        (["--ipc", "0"], ["ipc must be at least 1, got 0"]),
        (["--ipc", "-2"], ["ipc must be at least 1, got -2"]),
        (["--ipc", "140"], ["ipc 140 is larger than the smallest class of digits", "139 images"]),
        (["--ipc", "ten"], ["--ipc", "'ten'"]),
        (["--ipc"], ["--ipc"]),
        (["--iterations", "0", "--lr-net", "-1"], ["iterations", "lr-net"]),
        (["--lr-img", "nan"], ["lr-img"]),
        (["--distance", "l2"], ["l2", "layerwise"]),
        (["--augment", "crop_rotat"], ["unknown augmentation 'rotat'", "did you mean 'rotate'"]),
        (["--augment", "flip"], ["flip"]),
        (["--seed", "-1"], ["seed"]),
        (["--device", "gpu"], ["unknown device 'gpu'"]),
        (["--device", "cuda:99"], ["cuda:99", "not available"]),
        (["--size", "4"], ["8 to 64", "got 4"]),
        (["--size", "100"], ["8 to 64", "got 100"]),
        (["--channels", "2"], ["channels must be 1 or 3, got 2"]),
        (["--test-fraction", "1"], ["test-fraction"]),
        (["--out", "set"], [".safetensors", "'set'"]),
        (["--seeds", "0", "1", "--out", "set.safetensors"], ["{seed}"]),
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


def test_a_wrong_command_names_the_nearest(cli: Cli) -> None:
    assert_refused(cli("biuld"), "unknown command 'biuld'", "did you mean 'build'")


def test_no_command_shows_the_commands(cli: Cli) -> None:
    for argv, code in (([], 2), (["--help"], 0)):
        result = cli(*argv)
        assert result.code == code
        for command in ("build", "eval", "show", "export"):
            assert command in result.out
    assert cli("--version").out.strip()


def test_help_of_a_command_lists_the_flags_of_the_chosen_method(cli: Cli) -> None:
    dsa, herding = (cli("build", "--help", "--method", name) for name in ("dsa", "herding"))
    assert dsa.code == herding.code == 0
    assert "--inner-steps" in dsa.out
    assert "--inner-steps" not in herding.out
    assert "--no-l2-normalise" in herding.out  # on by default
    for result in (dsa, herding):
        for flag in ("seed", "out", "config", "json", "force", "data-root", "device", "resume"):
            assert f"--{flag}" in result.out


@pytest.mark.parametrize("folder", ["file", "file/below", "/proc/proxyset-test"])
def test_a_place_that_cannot_be_written_is_refused_before_the_work(folder: str, cli: Cli, tmp_path: Path) -> None:
    """Below a regular file or in /proc, where the superuser cannot write either."""
    (tmp_path / "file").write_text("mine")
    result = cli("build", *FAST, "--out", f"{folder}/set.safetensors")
    assert_refused(result, "cannot write", "--out")
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


# Bad input: data.


def save_npz(path: Path, seed: int = 0, **arrays: Any) -> None:
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (30, 8, 8), dtype=np.uint8)
    np.savez(path, **{"images": images, "labels": np.arange(30) % 3} | arrays)


def save_folder(root: Path, classes: int = 2, count: int = 3) -> None:
    for label, number in np.ndindex(classes, count):
        folder = root / f"class{label}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), 40 * label + number, np.uint8)).save(folder / f"{number}.png")


def _npz(**arrays: Any) -> Callable[[Path], None]:
    return lambda path: save_npz(path.with_suffix(".npz"), **arrays)


def _folder(change: Callable[[Path], object], classes: int = 2) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        save_folder(path, classes)
        change(path)

    return make


def _parquet(text: bytes) -> Callable[[Path], None]:
    return lambda path: path.with_suffix(".parquet").write_bytes(text) and None


FLOATS = np.linspace(0, 1, 30 * 64).reshape(30, 8, 8)
BAD_DATA: dict[str, tuple[Callable[[Path], None], list[str]]] = {
    "one class only": (_npz(labels=np.zeros(30, int)), ["1 class", "at least two"]),
    "one class folder": (_folder(lambda path: None, classes=1), ["1 class", "at least two"]),
    "a class with no images": (_npz(labels=np.arange(30) % 2 * 2), ["class '1' has no images"]),
    "an empty class folder": (_folder(lambda path: (path / "empty").mkdir()), ["class 'empty' has no images"]),
    "negative labels": (_npz(labels=np.arange(30) % 3 - 1), ["labels are out of range", "-1"]),
    "labels beyond the class names": (_npz(class_names=np.array(["a", "b"])), ["out of range", "0..2", "2 classes"]),
    "huge labels": (_npz(labels=np.arange(30) % 2 * 10**12), ["out of range"]),
    "labels that are no integers": (_npz(labels=np.linspace(0, 2, 30)), ["integer label"]),
    "fewer labels than images": (_npz(labels=np.arange(29) % 3), ["integer label per image"]),
    "NaN": (_npz(images=np.where(FLOATS > 0.9, np.nan, FLOATS)), ["NaN"]),
    "floats beyond 0..1": (_npz(images=FLOATS * 255), ["0..1"]),
    "integers beyond 0..255": (_npz(images=np.full((30, 8, 8), 256)), ["0..255"]),
    "four channels": (_npz(images=np.zeros((30, 8, 8, 4), np.uint8)), ["C 1 or 3", "(30, 8, 8, 4)"]),
    "images that are not square": (_npz(images=np.zeros((30, 8, 9), np.uint8)), ["9×8", "not square", "--size"]),
    "images that are too small": (_npz(images=np.zeros((30, 4, 4), np.uint8)), ["4×4", "--size"]),
    "other arrays": (lambda path: np.savez(path.with_suffix(".npz"), a=np.zeros(3)), ["x_train", "found a"]),
    "pickled objects": (_npz(labels=np.array([object()] * 30)), ["cannot read"]),
    "no npz": (lambda path: path.with_suffix(".npz").write_text("text") and None, ["cannot read"]),
    "no parquet": (_parquet(b"text"), ["cannot read"]),
    "an empty folder": (lambda path: path.mkdir(), ["no class sub-folders"]),
    "an unreadable image": (
        _folder(lambda path: (path / "class1" / "1.png").write_bytes(b"no image")),
        ["cannot read image", "class1/1.png"],
    ),
    "a truncated image": (
        _folder(lambda path: truncate(path / "class0" / "2.png")),
        ["cannot read image", "class0/2.png"],
    ),
    "a wrong-sized image": (
        _folder(lambda path: Image.new("L", (9, 9)).save(path / "class1" / "2.png")),
        ["class1/2.png", "9×9", "8×8", "--size"],
    ),
    "a class with a single image": (
        _folder(lambda path: [(path / "class1" / f"{number}.png").unlink() for number in (1, 2)]),
        ["single image"],
    ),
}


def truncate(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data_is_one_line_and_nothing_is_written(case: str, cli: Cli, tmp_path: Path) -> None:
    make, words = BAD_DATA[case]
    make(tmp_path / "data")
    (source,) = tmp_path.glob("data*")
    before = snapshot(tmp_path)
    assert_refused(cli("build", "--dataset", source.name, "--method", "random"), *words)
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


def test_a_set_that_could_not_be_scored_is_said_before_it_is_built(cli: Cli, tmp_path: Path) -> None:
    save_folder(tmp_path / "mine" / "train")
    before = snapshot(tmp_path)
    assert_refused(cli("build", "--dataset", "mine", "--method", "random", "--nets", 1), "no test images")
    assert snapshot(tmp_path) == before


def test_a_loss_that_turns_nan_ends_with_exit_code_1(cli: Cli, tmp_path: Path) -> None:
    result = cli("build", *FAST, "--lr-img", "1e38", "--distance", "mse", "--out", "set.safetensors")
    assert result.code == 1
    assert "proxyset: the loss became" in result.err.splitlines()[-1]
    assert not (tmp_path / "set.safetensors").exists()


# Interruption.

STEPS = ["--net", "convnet-w4-d1", "--ipc", "2", "--inner-steps", "2", "--net-epochs", "1", "--batch-real", "8"]
SLOW = ["--dataset", "three.npz", *STEPS]


def reference_set(cli: Cli, folder: Path, iterations: int) -> dict[str, bytes]:
    """What an uninterrupted run gives; makes the data too."""
    save_npz(folder / "three.npz")
    result = cli("build", *SLOW, "--iterations", iterations, "--out", folder / "whole.safetensors")
    assert result.code == 0, result.err
    return tensor_bytes(folder / "whole.safetensors")


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
    steps: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(ProgressLine, "__call__", lambda line, done, total, loss=None: steps.append(done))
        assert cli(*shlex.split(result.err.splitlines()[-1].split("to go on: ")[1])[1:]).code == 0
    assert steps == list(range(step + 1, 5))
    assert tensor_bytes(old) == whole


def interrupter(step: int, number: int = signal.SIGINT) -> Callable[..., None]:
    """In place of the progress line's `__call__`: a real signal to this process after a step."""

    def progress(line: ProgressLine, done: int, total: int, loss: float | None = None) -> None:
        if done == step:
            signal.raise_signal(number)

    return progress


def test_switches_are_understood_in_both_directions_whatever_the_yaml_says(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        "method: herding\nfeatures: pixels\nl2-normalise: false\nforce: true\njson: true\n"
    )
    for flags, expected in (([], False), (["--l2-normalise"], True), (["--no-l2-normalise", "--force"], False)):
        result = cli("build", "--config", "c.yaml", *flags)
        assert result.code == 0, result.err
        assert json.loads(result.out)[0]["settings"]["l2_normalise"] == expected
    assert_refused(cli("build", "--config", "c.yaml", "--no-force"), "exists")


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


# Real processes.

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


def start(folder: Path, *argv: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "proxyset.cli", *map(str, argv)]
    return subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)


def wait_for_newer(path: Path, than: float, process: subprocess.Popen[str]) -> float:
    """Until a file is there with a later time of change; the time."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[1]
        if path.exists() and path.stat().st_mtime > than:
            return path.stat().st_mtime
        time.sleep(0.005)
    raise AssertionError(f"{path} did not appear")


def test_killed_at_any_moment_and_resumed_equals_uninterrupted(cli: Cli, tmp_path: Path) -> None:
    """Real SIGKILL, twice, each a little after a checkpoint; never a half-written artefact."""
    iterations = 60
    whole = reference_set(cli, tmp_path, iterations)
    out, checkpoint = tmp_path / "set.safetensors", tmp_path / "set.checkpoint"
    argv = ["build", *SLOW, "--iterations", iterations, "--out", out, "--checkpoint-every", 3]
    changed = 0.0
    for delay in (0.0, 0.037):
        process = start(tmp_path, *argv, *(["--resume"] if changed else []))
        changed = wait_for_newer(checkpoint, changed, process)
        time.sleep(delay)
        process.kill()
        _, err = process.communicate()
        assert process.returncode == -signal.SIGKILL, err
        assert not out.exists()
        safetensors.torch.load_file(checkpoint)  # whole
    result = cli(*argv, "--resume")
    assert result.code == 0, result.err
    assert tensor_bytes(out) == whole
    assert not checkpoint.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_real_signal_saves_and_says_how_to_go_on(number: int, cli: Cli, tmp_path: Path) -> None:
    iterations = 60
    whole = reference_set(cli, tmp_path, iterations)
    out = tmp_path / "set.safetensors"
    argv = ["build", *SLOW, "--iterations", iterations, "--out", out, "--checkpoint-every", 1]
    process = start(tmp_path, *argv)
    wait_for_newer(tmp_path / "set.checkpoint", 0.0, process)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert not out.exists()
    command = shlex.split(err.splitlines()[-1].split("to go on: ")[1])
    assert cli(*command[1:]).code == 0
    assert tensor_bytes(out) == whole
