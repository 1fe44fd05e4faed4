"""Jobs in turn and in workers of Ray; Ray keeps to itself, and to its process."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxyset.compute.parallel import Pool, WorkersLost, run_jobs
from proxyset.compute.ray_local import LOCK, PREFIX, remove_stale, scratch_folder
from proxyset.errors import InputError, RunError

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def global_generators_stay_put() -> None:
    """Ray draws from the global generator of `random`."""


class Doubler:
    """A worker; the job says what becomes of it."""

    def __call__(self, job: str | int) -> int:
        if job == "die":
            os._exit(1)
        if job == "wrong":
            raise InputError("a wrong job")
        if job == "fail":
            raise KeyError("missing")
        if job == "sleep":
            time.sleep(300)
            return 0
        return 2 * int(job)


def test_in_this_process_results_come_in_order() -> None:
    seen: list[tuple[int, int]] = []
    results = run_jobs(Doubler, [1, 2, 3], Pool(), lambda number, result: seen.append((number, result)))
    assert results == [2, 4, 6]
    assert seen == [(0, 2), (1, 4), (2, 6)]


DRIVER = """
import os, sys, threading, time
sys.path.insert(0, {root!r})
from proxyset.compute.parallel import Pool, run_jobs
from tests.proxyset.compute.test_parallel import Doubler

def words(process):
    import psutil
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it has ended
        return ""

def report():
    import ray, psutil
    while True:
        time.sleep(0.2)
        family = psutil.Process().children(recursive=True)
        if sum(words(process).startswith("ray::_Actor.run") for process in family) == 2:
            folder = ray._private.worker._global_node.get_session_dir_path()
            print(folder, *(process.pid for process in family), flush=True)
            return

threading.Thread(target=report, daemon=True).start()
run_jobs(Doubler, ["sleep", "sleep", "sleep"], Pool(workers=2))
"""


class Driver:
    """A process that runs jobs on a Ray of its own."""

    def __init__(self) -> None:
        code = DRIVER.format(root=str(ROOT))
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        session, *family = line.split()
        self.folder, self.family = Path(session).parents[1], [int(number) for number in family]

    def living(self) -> list[int]:
        return [number for number in self.family if _state(number) not in (None, "Z")]

    def raylet(self) -> int:
        return next(number for number in self.family if _name(number) == "raylet")


@pytest.fixture
def driver() -> Iterator[Driver]:
    started = Driver()
    yield started
    started.process.kill()
    started.process.communicate()


def _stat(number: int) -> tuple[str, list[str]] | None:
    try:
        before, _, after = Path(f"/proc/{number}/stat").read_text().rpartition(")")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return before.partition("(")[2], after.split()


def _state(number: int) -> str | None:
    stat = _stat(number)
    return stat[1][0] if stat else None


def _name(number: int) -> str | None:
    stat = _stat(number)
    return stat[0] if stat else None


def wait_until(condition: object, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.1)
    return False


needs_proc = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads /proc")


@needs_proc
def test_a_killed_driver_leaves_no_process_and_no_folder(driver: Driver) -> None:
    assert driver.folder.name.startswith(PREFIX)
    assert driver.folder.stat().st_mode & 0o077 == 0
    assert len(driver.living()) >= 8  # Ray's own, its agents, two workers and the watchdog
    os.kill(driver.process.pid, signal.SIGKILL)
    assert wait_until(lambda: not driver.living(), 10), [(number, _name(number)) for number in driver.living()]
    assert not driver.folder.exists()


@needs_proc
def test_ray_listens_on_the_loopback_only(driver: Driver) -> None:
    family = [driver.process.pid, *driver.living()]
    addresses = [address for number in family for address in listening(number)]
    assert len(addresses) >= 5
    loopback = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
    assert set(addresses) <= loopback


def listening(number: int) -> list[str]:
    """The addresses, as /proc has them, on which a process waits for connections."""
    sockets = set()
    for entry in Path(f"/proc/{number}/fd").iterdir():
        try:
            sockets.add(os.readlink(entry))
        except FileNotFoundError:
            continue
    rows = [row.split() for name in ("tcp", "tcp6") for row in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return [row[1].split(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets]


@needs_proc
def test_a_dead_raylet_is_one_clear_error(driver: Driver) -> None:
    os.kill(driver.raylet(), signal.SIGKILL)
    out, err = driver.process.communicate(timeout=60)
    assert driver.process.returncode == 1
    assert err.splitlines()[-1].startswith(f"{WorkersLost.__module__}.WorkersLost: Ray died"), err
    assert out == ""
    assert wait_until(lambda: not driver.living(), 10)
    assert not driver.folder.exists()


def test_errors_of_jobs_come_back_as_ours_and_a_dead_worker_is_replaced() -> None:
    """In one Ray each: an input error, a failure, a worker that dies; the rest of the jobs is done."""
    assert run_jobs(Doubler, [1, 2, 3], Pool(workers=2)) == [2, 4, 6]
    for job, error, words in (("wrong", InputError, "a wrong job"), ("fail", RunError, "KeyError")):
        jobs: list[str | int] = [1, job]
        with pytest.raises(error, match=words):
            run_jobs(Doubler, jobs, Pool(workers=2))
    with pytest.raises(RunError, match="died 2 times"):
        run_jobs(Doubler, ["die"], Pool(workers=2, retries=1))


def test_folders_of_dead_processes_are_removed_and_those_of_others_are_not(tmp_path: Path) -> None:
    dead, unknown, living = (tmp_path / f"{PREFIX}{name}" for name in ("dead", "unknown", "living"))
    for folder in (dead, unknown, living):
        (folder / "session").mkdir(parents=True)
    (dead / LOCK).touch()
    hold = "import fcntl, sys, time; f = open(sys.argv[1]); fcntl.flock(f, 2); print(flush=True); time.sleep(60)"
    (living / LOCK).touch()
    process = subprocess.Popen([sys.executable, "-c", hold, str(living / LOCK)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        remove_stale(tmp_path)
        assert sorted(tmp_path.iterdir()) == [living, unknown]
    finally:
        process.kill()
        process.communicate()


def test_a_scratch_folder_is_short_enough_for_rays_sockets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    deep = tmp_path / ("deep" * 10)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    with scratch_folder() as folder:
        assert folder.is_dir()
        assert len(str(folder)) < 45
    assert not folder.exists()
