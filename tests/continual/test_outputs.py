"""Folders are claimed before any work, full disks and divergence end in one line, and no folder's code is run."""

import errno
import json
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from continual import estimate
from continual.cli import main
from continual.estimate import Estimate
from continual.folder import COMPARISON, RESULTS, RUN, STATE, claim, holds
from continual.results import draw_results, read_result
from proxyset import files
from proxyset.folders import MARKER
from proxyset.tensors import read_tensors

TINY = (
    "--dataset",
    "data.npz",
    "--steps",
    "2",
    "--net",
    "convnet-w2-d1",
    "--epochs",
    "2",
    "--balance-epochs",
    "2",
    "--ipc",
    "1",
)


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 255, (24, 8, 8), dtype=np.uint8)
    labels = np.arange(24) % 4
    np.savez("data.npz", x_train=pixels, y_train=labels, x_test=pixels[:8], y_test=labels[:8])
    handler = signal.getsignal(signal.SIGTERM)
    yield tmp_path
    signal.signal(signal.SIGTERM, handler)


def call(*argv: str) -> int:
    state = random.getstate()
    with pytest.raises(SystemExit) as stop:
        main(list(argv))
    random.setstate(state)  # rich numbers its links with the global generator, which no result depends on
    return int(stop.value.code or 0)


def run(*argv: str, memory: str = "random", out: str = "out") -> int:
    return call("run", *TINY, "--memory", memory, "--out", out, *argv)


def compare(*argv: str) -> int:
    return call(
        "compare", *TINY, "--memory", "none", "random", "--kd", "without", "--seeds", "0", "--out", "out", *argv
    )


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


CLOCKED = ("seconds", "created", "memory_kept", "per_task")  # what a clock wrote, and what holds some of that


def untimed(folder: Path) -> dict[str, Any]:
    values = read_result(folder / RESULTS).to_dict()
    return {name: value for name, value in values.items() if name not in CLOCKED}


@pytest.mark.parametrize("command", [run, compare])
def test_an_output_that_another_process_writes_is_refused(
    command: Any, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kind = RUN if command is run else COMPARISON
    with claim(Path("out"), kind):
        before = names(workplace)
        assert command() == 2
        assert "is being written by another process" in capsys.readouterr().err
        assert names(workplace) == before
    assert command() == 0


def test_starting_over_replaces_the_runs_own_files_only(workplace: Path) -> None:
    assert run() == 0
    (workplace / "out" / "notes.txt").write_text("mine")
    before = (workplace / "out" / STATE).read_bytes()
    assert run("--seed", "1", "--force") == 0
    assert (workplace / "out" / "notes.txt").read_text() == "mine"
    assert (workplace / "out" / STATE).read_bytes() != before
    assert read_result(workplace / "out" / RESULTS)["seed"] == 1


def test_a_comparison_that_starts_over_forgets_its_earlier_runs(workplace: Path) -> None:
    assert compare() == 0
    (workplace / "out" / "mine").mkdir()
    assert compare("--seeds", "1", "--force") == 0
    folders = {path.name for path in (workplace / "out").iterdir() if path.is_dir()}
    assert folders == {"none-seed1", "random-seed1", "mine"}


def test_folders_of_older_versions_are_recognised(workplace: Path) -> None:
    assert compare() == 0
    for marker in (workplace / "out").rglob(MARKER):
        marker.unlink()
    assert holds(workplace / "out") == COMPARISON
    assert holds(workplace / "out" / "random-seed0") == RUN
    (workplace / "out" / "random-seed0" / "cat.png").touch()
    assert holds(workplace / "out" / "random-seed0") is None
    assert holds(workplace) is None


def test_a_report_elsewhere_has_a_folder_of_its_own(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    assert call("report", "out", "--out", "pictures") == 0
    assert call("report", "out", "--out", "pictures") == 0  # drawn again
    assert names(workplace / "pictures") == {MARKER, "matrix.png", "report.html", "results.csv"}
    capsys.readouterr()
    assert run(out="pictures") == 2
    assert "is no continual run" in capsys.readouterr().err


def test_going_on_from_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--resume") == 0
    assert "nothing to go on from in 'out'" in capsys.readouterr().err
    assert run("--resume") == 0
    assert "nothing to go on from" not in capsys.readouterr().err


@pytest.mark.parametrize("number", [1, 2, 4, 7, 10, 13, 16, 18])
def test_a_full_disk_is_one_line_and_the_run_goes_on_from_there(
    number: int, workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(out="whole") == 0
    store = workplace / "proxysets"
    store.rename(workplace / "other")
    calls = []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) >= number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        code = run()
    assert code == 1
    assert capsys.readouterr().err.splitlines()[-1].endswith("No space left on device")
    assert run("--resume") == 0
    assert untimed(workplace / "out") == untimed(workplace / "whole")
    assert names(workplace / "out") == names(workplace / "whole")
    (one, _), (two, _) = (read_tensors(workplace / name / STATE) for name in ("out", "whole"))
    assert {name: tensor.tolist() for name, tensor in one.items() if not name.endswith(".seconds")} == {
        name: tensor.tolist() for name, tensor in two.items() if not name.endswith(".seconds")
    }


def test_a_run_that_diverges_ends_in_one_line(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--lr", "1e30", "--epochs", "4") == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("continual: data-step1: the training diverged")
    assert last.endswith("lower --lr")
    assert not (workplace / "out").exists()  # no task was finished


def test_tasks_finished_before_it_diverges_are_kept(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--balance-lr", "1e30", "--balance-epochs", "4") == 1
    assert capsys.readouterr().err.splitlines()[-1].endswith("lower --balance-lr")
    assert names(workplace / "out") == {MARKER, STATE}


def test_a_comparison_says_which_run_diverged(capsys: pytest.CaptureFixture[str]) -> None:
    assert compare("--lr", "1e30", "--epochs", "4") == 1
    assert "continual: none, seed 0: data-step1: the training diverged" in capsys.readouterr().err.splitlines()[-1]


def test_long_work_says_what_would_be_shorter(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run() == 0
    assert "less time" not in capsys.readouterr().err
    monkeypatch.setattr(estimate, "estimate", lambda scheme, finished: Estimate(1000.0, 60.0))
    assert run("--force", "--epochs", "11") == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("less time: ")]
    assert "--memory herding (" in line
    assert "--epochs 10 (" in line
    assert "--net" not in line  # narrow already: no network is offered to those who use it
    assert run("--force", "--net", "convnet", "--epochs", "1") == 0
    assert "--net convnet-w32 (" in capsys.readouterr().err


def test_code_that_a_folder_names_is_never_run(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (workplace / "evil.py").write_text("open('run.txt', 'w').close()\n")
    monkeypatch.syspath_prepend(str(workplace))
    assert run() == 0
    values = json.loads((workplace / "out" / RESULTS).read_text())
    values |= {"memory": "evil:Mean", "learning": values["learning"] | {"net": "evil:net"}}
    del values["sha256"], values["format"]
    (workplace / "out" / RESULTS).write_text(json.dumps(values))
    (workplace / "out" / MARKER).write_text(json.dumps({"made_by": "proxyset", "kind": RUN, "memory": "evil:Mean"}))
    assert call("report", "out") == 0
    assert run("--resume") == 0
    assert run("--resume", "--lr", "0.5") == 2
    assert not (workplace / "run.txt").exists()


def test_names_that_no_terminal_or_picture_takes_are_cleaned(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run() == 0
    values = read_result(workplace / "out" / RESULTS).to_dict()
    name = "a\x00b\x1b[31m\n$\\frac$" + "n" * 1000
    values["stream"]["tasks"][0] |= {"name": name, "classes": [name]}
    values |= {"memory": name}
    (workplace / "out" / RESULTS).write_text(json.dumps(values))
    capsys.readouterr()
    assert call("report", "out") == 0
    printed = capsys.readouterr().out
    assert "\x00" not in printed
    assert "\x1b" not in printed
    draw_results(workplace / "elsewhere", read_result(workplace / "out" / RESULTS))
