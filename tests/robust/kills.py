"""Kill a program at every write point, then run it again: a driver for a process of its own.

    python -m tests.robust.kills SPECS.json

Each specification names a program, its words, and a template of the folder that it runs in. The folder is copied for
each write point; the program runs in the copy and kills itself there; then it runs again with other words. Every run is
a fork of this process, which imports everything once and computes nothing, so it is as good as a fresh one. Nothing is
really synced: a kill, other than a power cut, does not need it.
"""

import builtins
import contextlib
import gc
import importlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MOST = 400
EVERY = int(os.environ.get("KILL_EVERY", "24"))  # for what takes long to run again; `make kills` leaves none out
EVERY_SHORT = min(EVERY, 4)  # for what does not
CREATING = os.O_CREAT | os.O_TMPFILE if hasattr(os, "O_TMPFILE") else os.O_CREAT
POINTS = ("mkdir", "rename", "replace", "unlink", "remove", "rmdir", "fsync", "ftruncate", "pwrite", "chmod", "link")
"""Functions of `os` that change a disk. The process dies before the n-th call, which is after the one before."""


@dataclass
class Spec:
    """
    Attributes:
        main: the program, as module:function.
        modules: what to import before the first fork.
        template: the folder that each run begins in.
        root: where the copies go, called 1, 2, ... after the write point, and `whole` for a run that is not killed.
        argv, again: the words of the run that is killed, and of the run after it.
        setup: the words of runs that are done in the template first.
        every: kill at the first write point, and at every one of so many after it.
    """

    main: str
    modules: list[str]
    template: str
    root: str
    argv: list[str]
    again: list[str]
    setup: Sequence[list[str]] = ()
    every: int = 1


@dataclass
class Run:
    """How a run ended: its exit code (negative: the signal), and what it wrote to stderr."""

    code: int
    err: str


class HalfWriter:
    """A file whose writes reach the disk in two halves, with a write point between."""

    def __init__(self, file: Any, point: Callable[[], None]) -> None:
        self._file, self._point = file, point

    def write(self, data: Any) -> int:
        half = len(data) // 2
        self._file.write(data[:half])
        self._file.flush()
        self._point()
        return half + (self._file.write(data[half:]) or 0)

    def __enter__(self) -> "HalfWriter":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def die_at(number: int) -> None:
    """From now on this process kills itself at its write point of that number (0: at none)."""
    counter = itertools.count(1)

    def point() -> None:
        if next(counter) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            point()
            return function(*arguments, **options)

        return call

    def open_low(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if flags & CREATING == os.O_CREAT:
            point()
        return low(path, flags, *arguments, **options)

    def open_high(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        opened = high(file, mode, *arguments, **options)
        return HalfWriter(opened, point) if set(mode) & set("wax") else opened

    def fdopen(handle: int, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        opened = from_handle(handle, mode, *arguments, **options)
        return HalfWriter(opened, point) if set(mode) & set("wax") else opened

    low, high, from_handle = os.open, builtins.open, os.fdopen
    os.fsync = lambda fd: None
    for name in POINTS:
        setattr(os, name, before(getattr(os, name)))
    os.open, os.fdopen, builtins.open = open_low, fdopen, open_high  # type: ignore[assignment]


def run(spec: Spec, folder: Path, argv: list[str], number: int = 0) -> Run:
    """Run the program in a fork of this process, in a folder; 0: it is not killed."""
    log = folder.with_suffix(".err")
    child = os.fork()
    if child == 0:
        code = 70
        try:
            os.chdir(folder)
            err = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(err, 1)
            os.dup2(err, 2)
            os.close(err)
            module, _, function = spec.main.partition(":")
            main = getattr(importlib.import_module(module), function)
            die_at(number)
            main(argv)
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        finally:
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    text = log.read_text(errors="replace")
    log.unlink()
    return Run(os.waitstatus_to_exitcode(status), text)


def kill_everywhere(spec: Spec) -> list[dict[str, Any]]:
    """For each write point how the killed run ended, what it left, and how the run after it ended."""
    root = Path(spec.root)
    runs: list[dict[str, Any]] = []
    for argv in spec.setup:
        done = run(spec, Path(spec.template), argv)
        assert done.code == 0, done
    for number in (0, *range(1, MOST, spec.every)):
        folder = root / (str(number) if number else "whole")
        shutil.copytree(spec.template, folder, symlinks=True)
        killed = run(spec, folder, spec.argv, number)
        left = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
        again = run(spec, folder, spec.again) if number else killed
        runs.append({"folder": str(folder), "killed": asdict(killed), "left": left, "again": asdict(again)})
        if number and killed.code != -signal.SIGKILL:
            return runs
    raise AssertionError(f"still killed at write point {MOST}")


def kill_all(specs: Sequence[Spec], folder: Path) -> list[list[dict[str, Any]]]:
    """`kill_everywhere` for each of them, in one process of its own.

    Gives for each the run that was not killed, then those that were; each has run again without an error.
    """
    file = folder / "specs.json"
    file.write_text(json.dumps([asdict(spec) for spec in specs]))
    command = [sys.executable, "-m", "tests.robust.kills", str(file)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    every = []
    for whole, *runs, last in json.loads(done.stdout):
        assert whole["killed"]["code"] == last["killed"]["code"] == 0, (whole, last)
        for one in runs:
            assert one["killed"]["code"] == -signal.SIGKILL, one
            assert one["again"]["code"] == 0, one
        every.append([whole, *runs])
    return every


def main() -> None:
    given = json.loads(Path(sys.argv[1]).read_text())
    specs = [Spec(**fields) for fields in (given if isinstance(given, list) else [given])]
    import torch

    torch.set_num_threads(1)
    for module in {module: None for spec in specs for module in spec.modules}:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # so that the forks share their memory
    with contextlib.redirect_stdout(sys.stderr):
        runs = [kill_everywhere(spec) for spec in specs]
    print(json.dumps(runs if isinstance(given, list) else runs[0]))


if __name__ == "__main__":
    main()
