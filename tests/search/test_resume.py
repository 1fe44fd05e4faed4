"""The command goes on where it was stopped: which settings it keeps, what it refuses."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from proxyset.errors import InputError, RunError
from proxyset.files import append_line
from proxyset.folders import MARKER
from proxyset.parsing import checksummed, read_rows
from search.cli import read
from search.folder import CONFIG, ROWS, RunFolder
from tests.search.conftest import SMALL
from tests.search.test_cli import RUN, run, scores, search


def test_resume_redoes_only_what_is_unfinished(images: Path) -> None:
    assert run(images, "--proxy", "random", "whole", "--repeats", "2") == 0
    whole = scores()
    lines = (RUN / ROWS).read_text().splitlines(keepends=True)
    (RUN / ROWS).write_text("".join(lines[:7]) + lines[7][:30])  # as a kill leaves it
    assert search("run", "--resume", str(RUN), "--workers", "0") == 0
    assert scores() == whole
    assert (RUN / ROWS).read_text().startswith("".join(lines[:7]))


def test_a_resumed_run_keeps_its_settings(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(images, "--proxy", "random") == 0
    assert search("run", "--resume", str(RUN), "--workers", "0", "--epochs", "3") == 2
    assert "began with --epochs 2" in capsys.readouterr().err
    assert search("run", "--resume", str(RUN), "--workers", "0", "--config", "x.yaml") == 2
    (Path("tiny.npz")).write_bytes(b"changed")
    assert search("run", "--resume", str(RUN), "--workers", "0") == 2


def test_data_that_moved_are_known_by_their_content(images: Path) -> None:
    assert run(images, "--proxy", "random") == 0
    before = (RUN / ROWS).read_text()
    Path("elsewhere").mkdir()
    Path("tiny.npz").rename("elsewhere/tiny.npz")
    assert search("run", "--resume", str(RUN), "--workers", "0", "--dataset", "elsewhere/tiny.npz") == 0
    assert (RUN / ROWS).read_text() == before


def test_other_test_images_are_other_data(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where nothing is held out they rank, and two halves of a ranking would be by different images."""
    assert run(images, "--proxy", "random", "--validation", "0") == 0
    with np.load("tiny.npz") as file:
        arrays = dict(file)
    np.savez("tiny.npz", **arrays | {"x_test": arrays["x_test"][..., ::-1]})
    assert search("run", "--resume", str(RUN), "--workers", "0") == 2
    assert "the data or the space changed" in capsys.readouterr().err


def test_starting_over_removes_nothing_before_the_new_sets_are_there(
    images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(images, "--proxy", "random") == 0
    before = (RUN / ROWS).read_text()

    def refuse(*arguments: object) -> None:
        raise InputError("another process is building it")

    monkeypatch.setattr("search.driver.obtain", refuse)
    assert run(images, "--proxy", "random", "--force", "--epochs", "3") == 2
    assert (RUN / ROWS).read_text() == before


def test_a_full_disk_is_one_line_and_the_run_goes_on_from_there(
    images: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[str] = []

    def full(path: Path, line: str) -> None:
        if len(kept) == 3:
            raise RunError("cannot write 'rows.jsonl': No space left on device")
        kept.append(line)
        append_line(path, line)

    assert run(images, "--proxy", "random", "--out", "runs/whole") == 0
    with monkeypatch.context() as patch:
        patch.setattr("search.folder.append_line", full)
        capsys.readouterr()
        assert run(images, "--proxy", "random") == 1
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .endswith(f"No space left on device; to go on: search run --resume {RUN}")
    )
    assert len(scores()) == 3
    assert search("run", "--resume", str(RUN), "--workers", "0") == 0
    assert scores() == scores(Path("runs/whole"))


def test_a_resumed_run_may_leave_the_cluster(images: Path) -> None:
    """What the run's folder says of the cluster gives way to the flags."""
    assert run(images, "--proxy", "random") == 0
    folder = RunFolder.open(RUN)
    folder.write(CONFIG, folder.settings() | {"workers": None, "address": "auto", "max_concurrent": 3})
    command, _ = read(["--resume", str(RUN), "--workers", "0"])
    assert (command.execution.workers, command.execution.address, command.execution.max_concurrent) == (0, None, None)
    assert search("run", "--resume", str(RUN), "--workers", "0") == 0


def test_a_run_of_an_older_version_is_reported_but_not_gone_on_with(
    images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Version 0.1 kept no threads, optimiser or loss, and of a source its kind as a word."""
    assert run(images, "--proxy", "random", "params", "jacobian", "--no-free") == 0
    summary = json.loads((RUN / "summary.json").read_text())
    config = json.loads((RUN / "config.json").read_text())
    for name in ("optimiser", "schedule", "loss", "sha256"):
        del config[name]
    (RUN / "config.json").write_text(json.dumps(config))
    sources = json.loads((RUN / "sources.json").read_text())
    kinds = {"random": "proxy", "params": "params", "jacobian": "jacobian", "whole": "whole"}
    del sources["sha256"]
    for name, facts in sources.items():
        del facts["free"]
        facts["kind"] = kinds[name]
    (RUN / "sources.json").write_text(json.dumps(sources))
    rows = [json.loads(line) for line in (RUN / ROWS).read_text().splitlines()]
    for row in rows:
        del row["threads"], row["sha256"]
    plan = json.loads((RUN / "plan.json").read_text())
    del plan["sha256"]
    (RUN / "plan.json").write_text(json.dumps(plan))
    (RUN / MARKER).unlink()
    (RUN / ROWS).write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert search("report", str(RUN)) == 0
    assert json.loads((RUN / "summary.json").read_text())["sources"] == summary["sources"]
    capsys.readouterr()
    assert search("run", "--resume", str(RUN), "--workers", "0") == 2
    assert "older version" in capsys.readouterr().err


def test_another_number_of_threads_is_said_when_a_run_goes_on(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(images, "--proxy", "random") == 0
    rows = [row | {"threads": 7} for row in read_rows(RUN / ROWS)]
    (RUN / ROWS).write_text("".join(checksummed(row) + "\n" for row in rows[:-1]))
    capsys.readouterr()
    assert search("run", "--resume", str(RUN), "--workers", "0") == 0
    assert "7 threads before" in capsys.readouterr().err


@pytest.mark.slow
def test_after_a_kill_the_run_goes_on(images: Path) -> None:
    """SIGKILL to the driver between two trials, then --resume: what is finished stays, and the result is the same."""
    assert run(images, "--proxy", "random", "--repeats", "2", "--out", "runs/uninterrupted") == 0
    argv = ["run", "--dataset", str(images), *SMALL.split(), "--workers", "0", "--out", str(RUN)]
    argv += ["--proxy", "random", "--repeats", "2"]
    driver = subprocess.Popen([sys.executable, "-m", "search.cli", *argv], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and driver.poll() is None:
        if (RUN / ROWS).exists() and (RUN / ROWS).read_text().count("\n") >= 2:
            break
        time.sleep(0.005)
    driver.kill()
    driver.wait()
    before = (RUN / ROWS).read_text()
    assert search("run", "--resume", str(RUN), "--workers", "0") == 0
    assert (RUN / ROWS).read_text().startswith(before[: before.rindex("\n") + 1])
    assert scores() == scores(Path("runs/uninterrupted"))
