"""A table of wrong inputs, each held against the same rule: exit code 2, one line on stderr, no file left or changed.

    ROWS = [Wrong("run --sample 0", "--sample"), ...]

    @pytest.mark.parametrize("row", ROWS, ids=str)
    def test_a_wrong_input_is_one_line(row, world, capfd):
        assert_refused(row, "search", main, world, capfd)

`world` is a folder with what the rows name; the row is run there.
"""

import contextlib
import os
import shlex
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Main = Callable[[list[str]], Any]


class Wrong:
    """One row: the words after the program's name, as a shell has them, and words that its line must have."""

    def __init__(self, line: str, *words: str) -> None:
        self.line, self.words = line, words

    @property
    def argv(self) -> list[str]:
        return shlex.split(self.line)

    def __str__(self) -> str:
        return self.line or "nothing"


def everything(folder: Path) -> dict[str, tuple[Any, ...]]:
    """All that is below a folder: kind, time of the last change and content of each, links not followed."""
    entries: dict[str, tuple[Any, ...]] = {}
    for path in sorted(folder.rglob("*")):
        stat, name = path.lstat(), str(path.relative_to(folder))
        if path.is_symlink():
            entries[name] = ("link", os.readlink(path))
        elif path.is_file():
            entries[name] = ("file", stat.st_mode, stat.st_mtime_ns, path.read_bytes())
        else:
            entries[name] = ("folder" if path.is_dir() else "other", stat.st_mode)
    return entries


def assert_refused(row: Wrong, program: str, main: Main, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Run the row in `folder`, in this process, and hold it against the rule."""
    before = everything(folder)
    capfd.readouterr()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with contextlib.chdir(folder), pytest.raises(SystemExit) as stop:
            main(row.argv)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    out, err = capfd.readouterr()
    assert stop.value.code == 2, (stop.value.code, out, err)
    lines = err.splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith(f"{program}: "), err
    assert "Traceback" not in err
    for word in row.words:
        assert word in lines[0], lines[0]
    assert out == "", out
    assert everything(folder) == before
