"""`continual run` and `compare`, killed at every write point, or out of disk there, and run again."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from proxyset.artefact.outputs import is_picture
from proxyset.folders import MARKER
from proxyset.tensors import read_tensors
from tests.robust.kills import EVERY, Spec

MODULES = [
    *("continual.cli", "continual.commands", "continual.api", "continual.compare", "continual.figures"),
    *(
        "continual.report",
        "continual.page",
        "continual.schema",
        "proxyset.data.load",
        "proxyset.data.npz",
        "proxyset.methods.coreset",
    ),
    *("matplotlib.figure", "matplotlib.backends.backend_agg", "rich.table", "pandas", "torch._dynamo"),
]
TINY = "--dataset data.npz --steps 2 --net convnet-w4-d1 --epochs 1 --balance-epochs 1 --ipc 1 --out out --store store"
RUN = f"run {TINY} --memory random".split()
COMPARE = f"compare {TINY} --memory none --kd without --seeds 0".split()  # its runs are those of the other test
PICTURES = {"run": ("matrix.png", "memory.png"), "compare": ("curves.png",)}
Kill = Callable[[list[str], list[str]], list[dict[str, Any]]]


@pytest.fixture
def template(tmp_path: Path) -> Path:
    folder = tmp_path / "template"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (24, 8, 8), dtype=np.uint8)
    labels = np.arange(24) % 4
    np.savez(folder / "data.npz", x_train=pixels, y_train=labels, x_test=pixels[:8], y_test=labels[:8])
    return folder


@pytest.fixture
def kill(tmp_path: Path, template: Path) -> Kill:
    """Kill a command at every write point; what came of each, the run that was not killed first."""

    def everywhere(argv: list[str], again: list[str]) -> list[dict[str, Any]]:
        spec = Spec("continual.cli:main", MODULES, str(template), str(tmp_path / "copies"), argv, again, every=EVERY)
        (tmp_path / "copies").mkdir()
        (tmp_path / "spec.json").write_text(json.dumps(vars(spec)))
        command = [sys.executable, "-m", "tests.robust.kills", str(tmp_path / "spec.json")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        whole, *runs, last = json.loads(done.stdout)
        assert whole["killed"]["code"] == last["killed"]["code"] == 0, (whole, last)
        for one in runs:
            assert one["killed"]["code"] == -signal.SIGKILL, one
            assert one["again"]["code"] == 0, one
        return [whole, *runs]

    return everywhere


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def results(folder: Path) -> dict[str, dict[str, Any]]:
    """The results below a folder, without what a clock wrote and the checksum over that."""
    kept = {}
    for path in folder.rglob("results.json"):
        values = json.loads(path.read_text())
        for name in ("seconds", "created", "sha256"):
            del values[name]
        del values["memory_kept"]["seconds"]
        for cost in values["per_task"]:
            del cost["seconds"]
        kept[str(path.relative_to(folder))] = values
    return kept


def bits(folder: Path) -> dict[str, Any]:
    """The tensors of all states and proxy sets below a folder, without the seconds that were spent."""
    return {
        str(path.relative_to(folder)): {
            name: (tensor.dtype, tensor.tolist())
            for name, tensor in read_tensors(path)[0].items()
            if not name.endswith(".seconds")
        }
        for path in folder.rglob("*.safetensors")
    }


@pytest.mark.slow
@pytest.mark.parametrize("argv", [RUN, COMPARE], ids=["run", "compare"])
def test_what_was_killed_anywhere_goes_on_to_the_same_bits(argv: list[str], kill: Kill) -> None:
    runs = kill(argv, [*argv, "--resume"])
    assert len(runs) > 50 / EVERY
    whole = Path(runs[0]["folder"])
    assert f"out/{MARKER}" in files(whole)
    for one in runs:
        folder = Path(one["folder"])
        assert files(folder) == files(whole), one
        assert bits(folder) == bits(whole), one
        assert results(folder) == results(whole), one
        for name in PICTURES[argv[0]]:
            assert is_picture(folder / "out" / name)
            assert (folder / "out" / name).read_bytes() == (whole / "out" / name).read_bytes(), one
