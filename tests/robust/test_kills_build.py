"""`proxyset build` and `proxyset export`, killed at every write point and run again."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proxyset.artefact.outputs import is_picture
from proxyset.artefact.proxy_set import ProxySet
from proxyset.folders import MARKER
from tests.proxyset.cli.made import STEPS, save_npz, snapshot, tensor_bytes
from tests.robust.kills import Spec

MODULES = [
    *(
        "proxyset.cli.app",
        "proxyset.cli.build",
        "proxyset.cli.export",
        "proxyset.methods.dsa",
        "proxyset.methods.coreset",
    ),
    *("proxyset.artefact.build", "proxyset.artefact.export", "proxyset.data.load", "proxyset.report.figures"),
    *("proxyset.methods.gradient_matching", "matplotlib.figure", "matplotlib.backends.backend_agg", "PIL.Image"),
]
DATA = ["--dataset", "three.npz"]
RANDOM = ["build", *DATA, "--method", "random", "--ipc", "2", "--out", "sets/mine.safetensors"]
DSA = ["build", *DATA, *STEPS, "--iterations", "1", "--checkpoint-every", "1", "--out", "sets/mine.safetensors"]
Kill = Callable[[list[str], list[str]], list[dict[str, Any]]]


@pytest.fixture
def template(tmp_path: Path) -> Path:
    folder = tmp_path / "template"
    folder.mkdir()
    save_npz(folder / "three.npz")
    return folder


@pytest.fixture
def kill(tmp_path: Path, template: Path) -> Kill:
    """Kill a command at every write point; what came of each, the run that was not killed first."""

    def everywhere(argv: list[str], again: list[str]) -> list[dict[str, Any]]:
        spec = Spec("proxyset.cli.app:main", MODULES, str(template), str(tmp_path / "copies"), argv, again)
        (tmp_path / "copies").mkdir()
        (tmp_path / "spec.json").write_text(json.dumps(vars(spec)))
        command = [sys.executable, "-m", "tests.robust.kills", str(tmp_path / "spec.json")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        whole, *runs, last = json.loads(done.stdout)
        assert whole["killed"]["code"] == 0, whole
        assert last["killed"]["code"] == 0, last
        for one in runs:
            assert one["killed"]["code"] == -signal.SIGKILL, one
            assert one["again"]["code"] == 0, one
        return [whole, *runs]

    return everywhere


def check_sets(runs: list[dict[str, Any]]) -> None:
    """The same bits, a picture, and nothing else, wherever it was killed."""
    whole = Path(runs[0]["folder"])
    files = {"three.npz", "sets", "sets/mine.safetensors", "sets/mine.png"}
    picture = (whole / "sets/mine.png").read_bytes()
    bits = tensor_bytes(whole / "sets/mine.safetensors")
    for one in runs:
        folder = Path(one["folder"])
        assert snapshot(folder).keys() == files, one
        assert tensor_bytes(folder / "sets/mine.safetensors") == bits, one
        assert (folder / "sets/mine.png").read_bytes() == picture, one
        assert is_picture(folder / "sets/mine.png")


@pytest.mark.parametrize("argv", [RANDOM, DSA], ids=["random", "dsa"])
def test_a_killed_build_resumes_to_the_same_bits(argv: list[str], kill: Kill) -> None:
    runs = kill(argv, [*argv, "--resume"])
    assert len(runs) > 20
    check_sets(runs)


def test_a_killed_build_that_replaces_a_set_resumes_to_the_new_one(kill: Kill, template: Path) -> None:
    """Until the new set is whole the old one is; the picture is never left that of the old one."""
    old = kill_nothing(template, [*RANDOM, "--seed", "7"])
    runs = kill([*RANDOM, "--force"], [*RANDOM, "--force", "--resume"])
    check_sets(runs)
    new = tensor_bytes(Path(runs[0]["folder"]) / "sets/mine.safetensors")
    assert new != old


def kill_nothing(folder: Path, argv: list[str]) -> dict[str, bytes]:
    command = [sys.executable, "-m", "proxyset.cli.app", *argv]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return tensor_bytes(folder / "sets/mine.safetensors")


@pytest.mark.parametrize("form", ["folder", "npz"])
def test_a_killed_export_leaves_the_old_one_or_the_new_one(form: str, kill: Kill, template: Path) -> None:
    out = "out.npz" if form == "npz" else "out"
    kill_nothing(template, RANDOM)
    argv = ["export", "sets/mine.safetensors", "--format", form, "--out", out]
    subprocess.run([sys.executable, "-m", "proxyset.cli.app", *argv], cwd=template, check=True, capture_output=True)
    runs = kill([*argv, "--force"], [*argv, "--force"])
    whole = snapshot(Path(runs[0]["folder"]))
    assert form == "npz" or f"{out}/{MARKER}" in whole
    for one in runs:
        assert snapshot(Path(one["folder"])).keys() == whole.keys(), one
    assert ProxySet.load(Path(runs[0]["folder"]) / "sets/mine.safetensors").ipc == 2
