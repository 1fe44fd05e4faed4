"""A run's folder: its settings, its plan, and a line for every finished trial, safe against a kill at any moment."""

import json
import os
import shlex
from pathlib import Path
from typing import Any

from proxyset.checkpoint import check_writable, write_atomic
from proxyset.settings import InputError
from search.settings import MAY_CHANGE, Run
from search.trial import Job, Row

CONFIG, PLAN, SOURCES, ROWS, SUMMARY = "config.json", "plan.json", "sources.json", "rows.jsonl", "summary.json"


class RunFolder:
    """Reads and writes one run. Rows are appended and flushed to disk one by one, by one process only."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def check_free(self, force: bool) -> None:
        """Raise `InputError` if a new run cannot have this folder."""
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            if not (self.path / CONFIG).exists():
                raise InputError(f"{str(self.path)!r} exists and is no search run: --out names another place")
            if not force:
                again = f"search run --resume {shlex.quote(str(self.path))}"
                raise InputError(f"{str(self.path)!r} exists: {again} goes on, --force starts over, --out renames")
        check_writable(self.path.parent)

    def create(self, command: Run) -> None:
        """Begin a run here; what an earlier one left is removed."""
        for name in (PLAN, SOURCES, ROWS, SUMMARY):
            (self.path / name).unlink(missing_ok=True)
        self.write(CONFIG, stored(command))

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """An existing run.

        Raises:
            InputError: the folder holds none.
        """
        if not (path / CONFIG).is_file():
            raise InputError(f"{str(path)!r} is not a search run: it has no {CONFIG}")
        return cls(path)

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

    def settings(self) -> Run:
        return Run(**self.read(CONFIG))

    def hold(self, name: str, value: Any, what: str) -> None:
        """Write `value` the first time; afterwards it must be the same.

        Raises:
            InputError: it is not: `what` has changed since the run began.
        """
        value = json.loads(json.dumps(value))
        before = self.read(name)
        if before is None:
            self.write(name, value)
        elif before != value:
            different = [key for key in value if before.get(key) != value[key]]
            raise InputError(f"{what} changed since {str(self.path)!r} began ({', '.join(different)}): start a new run")

    def append(self, row: Row) -> None:
        with open(self.path / ROWS, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def rows(self) -> list[Row]:
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

    def mend(self) -> list[Row]:
        """The finished trials, after removing what a kill cut short, so that rows can be appended again."""
        rows = self.rows()
        if (self.path / ROWS).exists():
            write_atomic(self.path / ROWS, "".join(json.dumps(row) + "\n" for row in rows).encode())
        return rows

    def unfinished(self, jobs: list[Job]) -> list[Job]:
        done = {(row["source"], row["name"], row["repeat"]) for row in self.rows()}
        return [job for job in jobs if (job.source, job.candidate, job.repeat) not in done]


def stored(command: Run) -> dict[str, Any]:
    """The settings that a run keeps."""
    return command.model_dump(mode="json", exclude={"resume", "out", "config", "force", "as_json"})


def check_same(before: Run, now: Run) -> None:
    """Raise `InputError` if a resumed run is given other settings than it began with."""
    fields = [name for name in Run.model_fields if name not in MAY_CHANGE]
    changed = [name for name in fields if getattr(before, name) != getattr(now, name)]
    if changed:
        told = ", ".join(f"--{name.replace('_', '-')} was {getattr(before, name)}" for name in changed)
        raise InputError(f"a resumed run keeps its settings: {told}")
