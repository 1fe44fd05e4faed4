"""The examples that the pages show work: a method in all three programs, a network, an augmentation, a space."""

import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from proxyset.artefact.proxy_set import ProxySet
from tests.docs.pages import ROOT

EXAMPLES = ROOT / "examples"
MAINS = {"proxyset": "proxyset.cli.app", "search": "search.cli", "continual": "continual.cli"}
Run = Callable[..., None]


@pytest.fixture(autouse=True)
def global_generators_stay_put() -> Iterator[None]:
    """Foreign code may draw: pandas and Ray are in play."""
    with torch.random.fork_rng():
        yield


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs a command in a fresh folder beside which the examples are found, as if they lay there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(EXAMPLES))

    def command(program: str, *words: str) -> None:
        with pytest.raises(SystemExit) as stop:
            importlib.import_module(MAINS[program]).main(list(words))
        assert stop.value.code == 0

    yield command
    for module in [
        name for name in sys.modules if str(getattr(sys.modules[name], "__file__", "")).startswith(str(EXAMPLES))
    ]:
        del sys.modules[module]


def test_a_method_outside_the_repository_takes_at_most_40_lines() -> None:
    assert len((EXAMPLES / "my_method.py").read_text(encoding="utf-8").splitlines()) <= 40


def test_my_method_is_built_with_soft_targets(run: Run, tmp_path: Path) -> None:
    run("proxyset", "build", "--method", "my_method:Mean", "--noise", "0.2", "--ipc", "2", "--out", "mean.safetensors")
    proxy = ProxySet.load(tmp_path / "mean.safetensors")
    assert proxy.provenance["settings"]["noise"] == 0.2
    assert proxy.data.targets is not None
    assert proxy.data.targets.argmax(1).equal(proxy.data.labels)
    run("proxyset", "eval", "mean.safetensors", "--net", "mlp", "--nets", "1", "--epochs", "2")


def test_my_method_ranks_architectures(run: Run, tmp_path: Path) -> None:
    options = "--ipc 1 --epochs 2 --whole-epochs 1 --sample all --workers 0 --out run --space my_space:space"
    run("search", "run", "--proxy", "my_method:Mean", *options.split())
    summary = json.loads((tmp_path / "run" / "summary.json").read_text(encoding="utf-8"))
    assert any("Mean" in name or "mean" in name for name in summary["sources"])


def test_my_source_ranks_architectures(run: Run, tmp_path: Path) -> None:
    options = "--no-free --truth none --sample all --workers 0 --out run --space my_space:space"
    run("search", "run", "--proxy", "my_source:Depth", *options.split())
    rows = [json.loads(line) for line in (tmp_path / "run" / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {row["name"]: row["score"] for row in rows}["mlp-16x3"] == 4


def test_my_method_is_a_memory(run: Run, tmp_path: Path) -> None:
    options = "--steps 2 --limit 50 --ipc 1 --epochs 1 --balance-epochs 1 --kd --out run --net my_net:small"
    run("continual", "run", "--memory", "my_method:Mean", *options.split())
    results = json.loads((tmp_path / "run" / "results.json").read_text(encoding="utf-8"))
    assert results["memory"] == "my_method:Mean"
    assert results["memory_kept"]["images"] == 10


def test_my_method_passes_the_conformance_suite(tmp_path: Path) -> None:
    """As the page says to run it: pytest test_my_method.py, beside the method."""
    for name in ("my_method.py", "test_my_method.py"):
        (tmp_path / name).write_text((EXAMPLES / name).read_text(encoding="utf-8"), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_my_method.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_my_net_and_my_augmentation_condense(run: Run, tmp_path: Path) -> None:
    options = (
        "--net my_net:small --augment crop+my_augmentation:SHEAR --iterations 2 --batch-real 8 --out set.safetensors"
    )
    run("proxyset", "build", "--method", "dsa", *options.split())
    settings = ProxySet.load(tmp_path / "set.safetensors").provenance["settings"]
    assert settings["net"] == "my_net:small"
    assert "my_augmentation:SHEAR" in settings["augment"]


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_every_example_is_shown(example: Path) -> None:
    """In a page, included from its file."""
    pages = "\n".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").rglob("*.md"))
    assert f"--8<--\nexamples/{example.name}\n--8<--" in pages
