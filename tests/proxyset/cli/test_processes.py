"""Real processes, really killed."""

import os
import platform
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import safetensors.torch

from tests.proxyset.cli.made import SLOW, Cli, reference_set, save_npz, tensor_bytes

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


ITERATIONS = 60  # enough for signals to come in the middle
_KNOWN: list[dict[str, bytes]] = []


def reference(cli: Cli, folder: Path) -> dict[str, bytes]:
    """What an uninterrupted run gives, which is found out once; makes the data too."""
    if not _KNOWN:
        _KNOWN.append(reference_set(cli, folder, ITERATIONS))
        (folder / "whole.safetensors").unlink()
        (folder / "whole.png").unlink()
    save_npz(folder / "three.npz")
    return _KNOWN[0]


def start(folder: Path, *argv: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "proxyset.cli.app", *map(str, argv)]
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
    whole = reference(cli, tmp_path)
    out, checkpoint = tmp_path / "set.safetensors", tmp_path / "set.checkpoint"
    argv = ["build", *SLOW, "--iterations", ITERATIONS, "--out", out, "--checkpoint-every", 3]
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
    whole = reference(cli, tmp_path)
    out = tmp_path / "set.safetensors"
    argv = ["build", *SLOW, "--iterations", ITERATIONS, "--out", out, "--checkpoint-every", 1]
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


def test_of_two_builds_of_one_set_the_second_is_refused(cli: Cli, tmp_path: Path) -> None:
    whole = reference(cli, tmp_path)
    argv = ["build", *SLOW, "--iterations", ITERATIONS, "--out", "set.safetensors", "--checkpoint-every", 1]
    first = start(tmp_path, *argv)
    wait_for_newer(tmp_path / "set.checkpoint", 0.0, first)
    first.send_signal(signal.SIGSTOP)
    for more in ([], ["--resume"], ["--force"]):
        second = cli(*argv, *more)
        assert second.code == 2
        assert second.err.splitlines() == [
            f"proxyset: 'set.safetensors' is being written by another process (PID {first.pid} on {platform.node()}): "
            "wait for it, or name another --out"
        ]
    first.send_signal(signal.SIGCONT)
    _, err = first.communicate()
    assert first.returncode == 0, err
    assert tensor_bytes(tmp_path / "set.safetensors") == whole
    left = sorted(path.name for path in tmp_path.iterdir() if path.name.lstrip(".").startswith("set"))
    assert left == ["set.png", "set.safetensors"]
