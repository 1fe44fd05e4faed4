"""`search run` with workers, killed: the driver with its local Ray, and Ray under the driver."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from search.sources.registry import FREE

ROOT = Path(__file__).parents[2]

SLOW_SPACE = """
import time
from torch import nn

def build(channels, size, classes):
    time.sleep(0.3)
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size**2, classes))

def space():
    for number in range(8):
        yield f"net-{number}", build
"""


ROWS = 8 * (2 + len(FREE))
FLAGS = "--space slow_space:space --ipc 2 --epochs 1 --whole-epochs 1 --proxy random --out run"


@dataclass
class Driver:
    """`search run` with two workers, with a home that cannot be written."""

    folder: Path

    @property
    def rows(self) -> str:
        path = self.folder / "run" / "rows.jsonl"
        return path.read_text() if path.exists() else ""

    def start(self, *argv: str) -> "subprocess.Popen[bytes]":
        (self.folder / "slow_space.py").write_text(SLOW_SPACE)
        plain = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        environment = plain | {"HOME": "/proc/nowhere", "PYTHONPATH": f"{self.folder}:{ROOT}"}
        command = [sys.executable, "-m", "search", "run", *argv, "--workers", "2"]
        return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def wait_for_rows(self, count: int, process: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and process.poll() is None and self.rows.count("\n") < count:
            time.sleep(0.01)


@pytest.mark.slow
def test_a_driver_killed_with_its_workers_goes_on(images: Path, tmp_path: Path) -> None:
    """SIGKILL to the driver of a local Ray; --resume does only the rest."""
    run = Driver(tmp_path)
    driver = run.start("--dataset", str(images), *FLAGS.split())
    run.wait_for_rows(3, driver)
    driver.kill()
    _, error = driver.communicate()
    before = run.rows
    assert before, error.decode()[-3000:]
    before = before[: before.rindex("\n") + 1]
    assert 3 <= before.count("\n") < ROWS
    again = run.start("--resume", "run", "--trust")
    _, error = again.communicate(timeout=300)
    assert again.returncode == 0, error.decode()[-3000:]
    assert run.rows.startswith(before)
    assert run.rows.count("\n") == ROWS
    assert f"{before.count(chr(10))} of {ROWS} trials are already done" in error.decode()
    assert not (tmp_path / ".run.lock").exists()


@pytest.mark.slow
def test_where_ray_dies_the_last_line_says_how_to_go_on(images: Path, tmp_path: Path) -> None:
    import ray  # noqa: F401 (brings psutil)
    import psutil  # type: ignore[import-not-found, import-untyped, unused-ignore]  # isort: skip

    run = Driver(tmp_path)
    driver = run.start("--dataset", str(images), *FLAGS.split())
    run.wait_for_rows(3, driver)
    for process in psutil.Process(driver.pid).children():
        if process.name() == "raylet":
            process.kill()
    _, error = driver.communicate(timeout=300)
    assert driver.returncode == 1, error.decode()[-3000:]
    assert error.decode().splitlines()[-1].endswith("to go on: search run --resume run --trust")
    assert "Traceback" not in error.decode()
    assert 3 <= run.rows.count("\n") < ROWS
