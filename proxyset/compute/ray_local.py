"""A Ray of our own on this machine: in a folder of its own, and gone when this process is, however that ends."""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from proxyset.compute import ray_watchdog

PREFIX = "proxyset-ray-"
LOCK = ".lock"  # in the folder; held by the process that it is for
LONGEST = 15  # letters of the folder of temporary files, beyond which Ray's sockets below it have too long a name
POLL = 0.5  # seconds between two looks at whether Ray still runs


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for one Ray, removed in the end; those of processes that were killed are removed now."""
    root = Path(tempfile.gettempdir())
    if len(str(root)) > LONGEST:
        root = Path("/tmp")
    remove_stale(root)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))
    with open(folder / LOCK, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def remove_stale(root: Path) -> None:
    """Remove what processes of ours that no longer live left in a folder of temporary files."""
    for folder in root.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError), open(folder / LOCK) as lock:  # not there yet: it is being made
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # refused while its process lives
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def guarded(folder: Path, start: Callable[[], Any]) -> Iterator["Guard"]:
    """Start Ray by `start`; in the end, or when this process is killed, end what is left of it, and the folder."""
    import ray  # noqa: F401 (brings psutil)
    import psutil  # type: ignore[import-not-found, import-untyped, unused-ignore]  # isort: skip

    command = [sys.executable, "-I", "-S", ray_watchdog.__file__, str(folder), str(Path(psutil.__file__).parents[1])]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    # a session of its own, so that Ctrl-C in the terminal does not reach it
    watchdog = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, **quiet)
    assert watchdog.stdin is not None
    me = psutil.Process()
    before = {child.pid for child in me.children()}
    try:
        start()
        began: dict[str, list[Any]] = {}
        for child in me.children():
            with contextlib.suppress(psutil.Error):  # it has ended already
                if child.pid not in before:
                    began.setdefault(child.name(), []).append(child)
        numbers = [[child.pid, child.create_time()] for children in began.values() for child in children]
        with contextlib.suppress(OSError):  # it was killed: then nobody watches, which is no reason to stop
            watchdog.stdin.write(json.dumps(numbers).encode() + b"\n")
            watchdog.stdin.flush()
        yield Guard(began.get("raylet", []))
    finally:
        with contextlib.suppress(OSError):
            watchdog.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            watchdog.wait(10)


class Guard:
    """Notices that Ray itself has died on this machine. Ray then ends this process without a word, some ten seconds
    later; before that the main thread is interrupted, where it is the one that waits for Ray.
    """

    def __init__(self, raylets: list[Any]) -> None:
        self.raylets = raylets
        self.lost = False
        self._done = threading.Event()

    def __enter__(self) -> "Guard":
        self._previous: Any = None
        if self.raylets and threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGUSR1, self._interrupt)
            threading.Thread(target=self._watch, daemon=True, name="ray-guard").start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        if self._previous is not None:
            signal.signal(signal.SIGUSR1, self._previous)

    def _watch(self) -> None:
        while not self._done.wait(POLL):
            if not all(_lives(raylet) for raylet in self.raylets):
                self.lost = True
                while not self._done.wait(4 * POLL):  # again, because somebody's code may swallow the first
                    os.kill(os.getpid(), signal.SIGUSR1)
                return

    def _interrupt(self, number: int, frame: object) -> None:
        if self.lost and not self._done.is_set():
            raise KeyboardInterrupt  # not an Exception, which Tune would take for a failed trial


def _lives(process: Any) -> bool:
    return process.is_running() and process.status() != "zombie"  # nobody has waited for a child that died
