"""The `continual` command: its flags, its mistakes in one line each, its files."""

import ast
import json
import random
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from continual.cli import CompareCommand, ReportCommand, RunCommand, main
from continual.schemes.base import Scheme
from proxyset.cli.options import Command, flags
from proxyset.folders import MARKER

ROOT = Path(__file__).resolve().parents[2]
QUICK = ("--net", "convnet-w4-d1", "--epochs", "2", "--balance-epochs", "2", "--ipc", "2")
COMPARE = ("compare", "--dataset", "data.npz", "--steps", "2", *QUICK)


def call(*argv: str) -> int:
    state = random.getstate()
    with pytest.raises(SystemExit) as stop:
        main(list(argv))
    random.setstate(state)  # rich numbers its links with the global generator, which no result depends on
    return int(stop.value.code or 0)


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to work in, with a small dataset of four classes as data.npz and one of three as three.npz."""
    monkeypatch.chdir(tmp_path)
    for name, classes in (("data", 4), ("three", 3)):
        pixels = np.random.default_rng(0).integers(0, 255, (48, 8, 8), dtype=np.uint8)
        labels = np.arange(48) % classes
        np.savez(tmp_path / f"{name}.npz", x_train=pixels, y_train=labels, x_test=pixels[:12], y_test=labels[:12])
    handler = signal.getsignal(signal.SIGTERM)  # the command takes it over
    yield tmp_path
    signal.signal(signal.SIGTERM, handler)


def run(*argv: str, out: str = "out") -> int:
    return call("run", "--dataset", "data.npz", "--steps", "2", *QUICK, "--out", out, *argv)


def test_a_run_writes_its_results_and_reports_them(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--memory", "dsa", "--kd", "--memory-settings", "iterations=2", "net_epochs=1") == 0
    captured = capsys.readouterr()
    assert "estimated: " in captured.err
    assert "after T2" in captured.out
    files = {path.name for path in (workplace / "out").iterdir()}
    written = {"results.json", "results.csv", "matrix.png", "memory.png", "report.html", "state.safetensors"}
    assert files == {MARKER, *written}
    results = json.loads((workplace / "out" / "results.json").read_text())
    assert results["memory_settings"]["iterations"] == 2
    assert results["kd"] is True
    assert call("report", "out") == 0
    assert capsys.readouterr().out == captured.out


def test_json_is_the_results(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--memory", "random", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    stored = json.loads((workplace / "out" / "results.json").read_text())
    assert (stored.pop("format"), len(stored.pop("sha256"))) == (2, 16)
    assert printed == stored
    assert call("report", "out", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [printed]


def test_switches_go_both_ways_and_win_over_the_file(workplace: Path) -> None:
    (workplace / "c.yaml").write_text("kd: true\nbalance: false\nmemory: random\nlr: 0.02\n")
    assert run("--config", "c.yaml", "--no-kd", "--balance", "--lr", "0.03", out="a") == 0
    assert run("--config", "c.yaml", out="b") == 0
    one, two = (json.loads((workplace / name / "results.json").read_text())["learning"] for name in "ab")
    assert (one["kd"], one["balance"], one["lr"]) == (False, True, 0.03)
    assert (two["kd"], two["balance"], two["lr"]) == (True, False, 0.02)


def test_compare_and_its_report(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = [*COMPARE, "--memory", "none", "random", "--seeds", "0"]
    assert call(*argv, "--out", "grid") == 0
    assert {path.name for path in (workplace / "grid").iterdir()} == {
        *("none-seed0", "none-kd-seed0", "random-seed0", "random-kd-seed0"),
        *(MARKER, "summary.json", "results.csv", "curves.png", "report.html"),
    }
    capsys.readouterr()
    assert call(*argv, "--out", "grid") == 2
    assert "--resume goes on" in capsys.readouterr().err
    assert call(*argv, "--out", "grid", "--resume") == 0
    assert "random + KD" in capsys.readouterr().out
    assert call("report", "grid") == 0


def test_a_finished_run_is_not_overwritten_unasked(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--memory", "random") == 0
    capsys.readouterr()
    assert run("--memory", "random") == 2
    assert "--resume goes on, --force starts over" in capsys.readouterr().err
    assert run("--memory", "random", "--force") == 0
    assert run("--memory", "random", "--resume") == 0
    assert run("--memory", "random", "--lr", "0.5", "--resume") == 2
    assert "is of other work (different: learning)" in capsys.readouterr().err


def interrupted(self: Scheme, stage: int) -> None:
    raise KeyboardInterrupt


def test_an_interruption_says_how_to_go_on(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (workplace / "force.yaml").write_text("force: true\n")
    assert run("--memory", "random") == 0
    test = Scheme.test
    for words in ((), ("--force",), ("--config", "force.yaml"), ("--resume", "--lr", "0.2", "--out", "new folder")):
        monkeypatch.setattr(Scheme, "test", interrupted)
        assert run("--memory", "random", *words, out="first" if not words else "out") == 130
        error = capsys.readouterr().err
        assert "interrupted; finished tasks are kept" in error
        program, *again = shlex.split(error.strip().splitlines()[-1].partition("to go on: ")[2])
        assert program == "continual"
        monkeypatch.setattr(Scheme, "test", test)
        assert call(*again) == 0


def test_an_interrupted_comparison_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = (*COMPARE, "--memory", "random", "--seeds", "0")
    monkeypatch.setattr(Scheme, "test", interrupted)
    assert call(*argv, "--kd", "without", "--force") == 130
    again = shlex.join([*argv, "--kd", "without", "--resume"])
    assert f"to go on: continual {again}" in capsys.readouterr().err


def test_what_is_built_first_is_said_before_the_work(capsys: pytest.CaptureFixture[str]) -> None:
    dsa = ("--memory-settings", "iterations=2", "net_epochs=1")
    assert run("--memory", "dsa", *dsa) == 0
    first = "to build first: dsa, 2 images per class of data-step"
    error = capsys.readouterr().err
    lines = [line.split(", as ") for line in error.splitlines() if "to build" in line]
    assert [words for words, _ in lines] == [f"{first}1", f"{first}2"]
    assert {Path(path) for _, path in lines} == set(Path("proxysets").glob("*.safetensors"))
    assert error.index("to build first") < error.index("estimated")
    assert run("--memory", "dsa", *dsa, "--kd", out="other") == 0
    assert run("--memory", "herding", out="learner") == 0  # picks by the network that is being learned
    assert "to build first" not in capsys.readouterr().err
    compare = (*COMPARE, "--memory", "none", "dsa", "--seeds", "0", "1")
    assert call(*compare, *dsa) == 0
    assert capsys.readouterr().err.count(first) == 2  # once for both runs of seed 1; those of seed 0 are there


MEAN = """
from typing import ClassVar

import torch
from proxyset import Context, ImageSet, Method, Problem
from proxyset.data.spec import normalise


class Mean(Method):
    name: ClassVar[str] = "mean"

    def condense(self, problem: Problem, context: Context) -> ImageSet:
        real = normalise(problem.real.images, problem.spec)
        means = torch.stack([real[index].mean(0) for index in problem.classes])[problem.labels]
        targets = torch.full((len(means), problem.spec.classes), 0.1 / (problem.spec.classes - 1))
        targets[torch.arange(len(means)), problem.labels] = 0.9
        return ImageSet(means, problem.labels, targets)
"""


def test_a_method_in_a_module_of_the_working_folder_is_a_memory(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (workplace / "my_method.py").write_text(MEAN)
    out = workplace / "runs" / "continual-data-2steps-Mean-kd-seed0"
    arguments = ("--dataset", "data.npz", "--steps", "2", *QUICK, "--memory", "my_method:Mean", "--kd")
    assert call("run", *arguments) == 0
    results = json.loads((out / "results.json").read_text())
    assert results["memory"] == "my_method:Mean"
    assert results["memory_kept"]["soft_targets"] is True
    assert call("run", *arguments, "--resume") == 0


def test_proxy_sets_that_proxyset_built_are_a_memory(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from proxyset import build, load

    data = dict(np.load(workplace / "data.npz"))
    np.savez(workplace / "more.npz", **data | {"x_train": 255 - data["x_train"]})
    for name in ("data", "more"):
        build(load(f"{name}.npz"), "random", 2, progress=False).save(workplace / f"{name}.safetensors")
    files = ("--memory", "more.safetensors,data.safetensors")
    assert run("--tasks", "data.npz", "more.npz", *files) == 0
    results = json.loads((workplace / "out" / "results.json").read_text())
    assert results["memory_kept"]["images"] == 16
    capsys.readouterr()
    assert run("--memory", "data.safetensors", out="other") == 2
    assert "has seen later tasks" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("--steps", "5"), "data has 4 classes: --steps must be 2 to 4, got 5"),
        (("--budget", "3"), "--budget 3 is smaller than the 4 classes"),
        (("--tasks", "data.npz", "three.npz"), "do not share their classes"),
        (("--tasks", "data.npz"), "at least two tasks"),
        (("--tasks", "data.npz", "data.npz"), "different names"),
        (("--memory", "herdign"), "did you mean 'herding'"),
        (("--memory", "gone.safetensors"), "no such file"),
        (("--scheme", "gdumb"), "--epochs is for --scheme eeil, --scheme der and --scheme der++, and unused with"),
        (("--temperature", "3"), "--temperature is for distillation, and there is none without --kd: leave it out"),
        (("--memory", "joint", "--kd"), "leave out --kd"),
        (("--ipc", "13"), "--ipc 13 is more than the smallest class"),
        (("--limit", "1"), "--limit 1 is smaller"),
        (("--memory-settings", "iteration=5"), "did you mean 'iterations'"),
        (("--scheme", "gdumm"), "--scheme"),
        (("--temperature", "0"), "--temperature: input should be greater than 0"),
        (("--nett", "x"), "did you mean '--net'"),
        (("--device", "cuda:99"), "is not available"),
        (("--dataset", "nothing"), "unknown dataset"),
    ],
)
def test_a_mistake_is_one_line_before_any_training(
    workplace: Path, capsys: pytest.CaptureFixture[str], argv: tuple[str, ...], message: str
) -> None:
    assert run(*argv) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert not (workplace / "out").exists()


def test_a_folder_that_cannot_be_written_or_holds_no_run(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (workplace / "file").touch()
    assert run("--memory", "random", out="file") == 2
    assert "--out names a folder" in capsys.readouterr().err
    assert call("report", "nowhere") == 2
    assert "no results in 'nowhere'" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["run", "compare", "report"])
def test_help_imports_nothing_heavy(command: str) -> None:
    code = (
        "import sys\n"
        "from continual.cli import main\n"
        "try:\n"
        f"    main(['{command}', '--help'])\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code\n"
        "assert not {'torch', 'numpy', 'ray', 'pandas', 'matplotlib'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "examples:" in done.stdout


@pytest.mark.parametrize("model", [RunCommand, CompareCommand, ReportCommand])
def test_no_two_settings_of_a_command_share_a_name(model: type[Command]) -> None:
    assert len(flags(model)) > 2


def test_continual_imports_proxyset_and_neither_search_nor_ray() -> None:
    for file in (ROOT / "continual").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] not in ("search", "ray"), file


def test_messages_of_the_library_name_fields_and_not_flags() -> None:
    for file in (ROOT / "continual").rglob("*.py"):
        if file.name not in ("cli.py", "commands.py"):
            texts = [node.value for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant)]
            assert not [text for text in texts if isinstance(text, str) and " --" in text and "--help" not in text], (
                file
            )
