"""A run's folder: its settings, its plan, and a line for every finished trial, safe against a kill at any moment."""

import json
import os
import shlex
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proxyset.errors import InputError
from proxyset.files import check_writable, write_atomic

if TYPE_CHECKING:
    from search.trial import Job, Row

CONFIG, PLAN, SOURCES, ROWS, SUMMARY = "config.json", "plan.json", "sources.json", "rows.jsonl", "summary.json"


class RunFolder:
    """Reads and writes one run. Rows are appended and flushed to disk one by one, by one process only."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """An existing run.

        Raises:
            InputError: the folder holds none.
        """
        if not (path / CONFIG).is_file():
            raise InputError(f"{str(path)!r} is not a search run: it has no {CONFIG}")
        return cls(path)

    @property
    def begun(self) -> bool:
        """Whether a run has begun here."""
        return (self.path / CONFIG).exists()

    def check_usable(self) -> None:
        """Raise `InputError` if the folder holds something else, or cannot be written."""
        if self.path.exists() and not self.begun and (not self.path.is_dir() or any(self.path.iterdir())):
            raise InputError(f"{str(self.path)!r} exists and is no search run: choose another `out`")
        check_writable(self.path.parent)

    def check_free(self) -> None:
        """Raise `InputError` if a run has begun here."""
        if self.begun:
            command = f"search run --resume {shlex.quote(str(self.path))}"
            raise InputError(f"{str(self.path)!r} exists: {command} goes on, `force=True` starts over, `out` renames")

    def clear(self) -> None:
        """Remove what an earlier run left."""
        for name in (CONFIG, PLAN, SOURCES, ROWS, SUMMARY):
            (self.path / name).unlink(missing_ok=True)

    def begin(self, config: dict[str, Any], may_change: Collection[str]) -> None:
        """Begin a run with these settings, or go on with one that has the same.

        Args:
            may_change: names of settings that may be others than the run began with.

        Raises:
            InputError: other settings.
        """
        config = json.loads(json.dumps(config))
        before = self.read(CONFIG)
        if before is None:
            self.write(CONFIG, config)
        else:
            check_same(before, config, may_change)

    def write(self, name: str, value: Any) -> None:
        write_atomic(self.path / name, (json.dumps(value, indent=1) + "\n").encode())

    def read(self, name: str) -> Any:
        """The value of one of the JSON files, or None where it is absent.

        Raises:
            InputError: it is damaged.
        """
        path = self.path / name
        if not path.exists():
            return None
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"cannot read {str(path)!r}: {error}") from None

    def write_once(self, name: str, value: dict[str, Any], what: str) -> None:
        """Write `value` the first time; afterwards it must be the same.

        Raises:
            InputError: it is not: `what` has changed since the run began.
        """
        value = json.loads(json.dumps(value))
        before = self.read(name)
        if before is None:
            self.write(name, value)
        elif before != value:
            different = [key for key in {**value, **before} if before.get(key) != value.get(key)]
            raise InputError(f"{what} changed since {str(self.path)!r} began ({', '.join(different)}): start a new run")

    def append(self, row: "Row") -> None:
        with open(self.path / ROWS, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def rows(self) -> "list[Row]":
        """The finished trials. A last line that a kill cut short does not count.

        Raises:
            InputError: another line is damaged.
        """
        path = self.path / ROWS
        lines = path.read_text(encoding="utf-8").split("\n") if path.exists() else [""]
        try:
            return [json.loads(line) for line in lines[:-1]]
        except ValueError as error:
            raise InputError(f"{str(path)!r} is damaged: {error}") from None

    def drop_torn_row(self) -> "list[Row]":
        """The finished trials, after removing a last line that a kill cut short, so that rows can be appended."""
        rows = self.rows()
        if (self.path / ROWS).exists():
            write_atomic(self.path / ROWS, "".join(json.dumps(row) + "\n" for row in rows).encode())
        return rows

    def unfinished(self, jobs: "Sequence[Job]") -> "list[Job]":
        """The jobs that have no row yet."""
        done = {(row["source"], row["name"], row["repeat"]) for row in self.rows()}
        return [job for job in jobs if (job.source, job.candidate, job.repeat) not in done]


def check_same(before: dict[str, Any], now: dict[str, Any], may_change: Collection[str]) -> None:
    """Raise `InputError` if a resumed run is given other settings than it began with."""
    changed = [name for name in before if name not in may_change and before[name] != now.get(name)]
    if changed:
        values = ", ".join(f"`{name}={before[name]}`" for name in changed)
        raise InputError(f"a run that goes on keeps its settings; it began with {values}")
