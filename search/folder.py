"""A run's folder: its settings, its plan, and a line for every finished trial, safe against a kill at any moment."""

import contextlib
import json
import shlex
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from proxyset.claims import Claim
from proxyset.errors import InputError
from proxyset.files import append_line, drop_torn_line, remove_leftovers, write_atomic
from proxyset.folders import MARKER, claim_folder, mark, read_marker
from proxyset.parsing import check, checksummed, read_bytes, read_row, read_rows
from search.finals import FINALS, clear_finals, read_finals, tidy_networks
from search.records import PLACES, WITHIN, Config, Plan, Sources, Trial, as_read, check_same, settings_in, what_it_is

if TYPE_CHECKING:
    from search.trial import Job, Row

KIND = "search run"  # in the marker of a run's folder
CONFIG, PLAN, SOURCES, ROWS, SUMMARY = "config.json", "plan.json", "sources.json", "rows.jsonl", "summary.json"
RESULTS = ("results.parquet", "results.csv", SUMMARY, "scatter.png", "choices.png", "regret.png", "report.html")
SCHEMAS: dict[str, type[BaseModel]] = {CONFIG: Config, PLAN: Plan, SOURCES: Sources}
OLDER = "began with an older version: it can be reported, but not gone on with"


@dataclass(frozen=True)
class Record:
    """All that a run has to say, read once.

    Attributes:
        settings: what the run began with.
        names: the architectures in their order.
        sources: the facts of each source, by name.
        rows: the finished trials; of successive halving one for all rungs.
        finals: the networks that were trained to be kept.
        path: the run's folder.
    """

    settings: dict[str, Any]
    names: list[str]
    sources: dict[str, dict[str, Any]]
    rows: "list[Row]"
    finals: "list[Row]" = field(default_factory=list)
    path: Path = Path()

    def folded(self) -> "Record":
        """With one ranking in place of the rungs of successive halving."""
        from search.sources.halving import fold  # imports torch, which reading a command line does without

        sources, rows = fold(self.sources, self.rows)
        return replace(self, sources=sources, rows=rows)


class RunFolder:
    """Reads and writes one run. Only a folder that is claimed (`claim_run`) may be written."""

    def __init__(self, path: Path, claim: Claim | None = None) -> None:
        self.path = path
        self.claim = claim
        self.on_row: Callable[[Row], None] | None = None  # is told of every row that is kept

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """An existing run, to be read.

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

    def settings(self) -> dict[str, Any]:
        """What the run began with.

        Raises:
            InputError: the file is damaged, or of an older version, which cannot be gone on with.
        """
        before = settings_in(self.read(CONFIG) or {})
        if not self._checksums_needed:
            raise InputError(f"{str(self.path)!r} {OLDER}")
        return before

    def clear(self) -> None:
        """Remove what an earlier run left; the settings last, so that a kill leaves a run and no mere files."""
        with contextlib.suppress(InputError):  # of a damaged plan, which goes as well
            clear_finals(self.path, (self.read(PLAN) or {"names": []})["names"])
        for name in (ROWS, *RESULTS, SOURCES, PLAN, CONFIG):
            (self.path / name).unlink(missing_ok=True)

    def check(self, config: dict[str, Any], plan: dict[str, Any], may_change: Collection[str]) -> None:
        """Hold what is to run against the run that has begun here, if any. Nothing is written.

        Args:
            may_change: names of settings that may be others than the run began with.

        Raises:
            InputError: other settings, data or architectures; a damaged file; a run of an older version.
        """
        self.check_settings(config, may_change)
        if self.read(CONFIG) is not None:
            self.check_once(PLAN, plan, "the data or the space")
            self.rows()
            read_finals(self.path)

    def check_settings(self, config: dict[str, Any], may_change: Collection[str]) -> None:
        """The part of `check` that needs no data.

        Raises:
            InputError: other settings; a damaged file; a run of an older version.
        """
        before = self.read(CONFIG)
        if before is None:
            return
        sources = self.read(SOURCES) or {}
        if not self._checksums_needed or any("free" not in facts for facts in sources.values()):
            raise InputError(f"{str(self.path)!r} {OLDER}")
        check_same(settings_in(before), as_read(config), may_change)

    def begin(self, config: dict[str, Any], plan: dict[str, Any]) -> None:
        """Begin the run, or go on with one that `check` has let pass.

        Raises:
            InputError, RunError: the folder cannot be written.
        """
        if self.claim is not None and not read_marker(self.path):
            mark(self.claim, KIND)
        before = self.read(CONFIG)
        # a finished run may be asked for networks, and whatever goes on may have a limit
        latest = {name: config[name] for name in ("promote", WITHIN) if name in config}
        if before is None or before != before | latest:
            self.write(CONFIG, (before or config) | latest)
        self.write_once(PLAN, plan, "the data or the space")

    def discard(self) -> None:
        """Undo `begin`."""
        self.clear()
        (self.path / MARKER).unlink(missing_ok=True)

    @property
    def _checksums_needed(self) -> bool:
        """Whether every file must have one. Folders of older versions have no marker, and their files no checksums."""
        return bool(read_marker(self.path))

    def write(self, name: str, value: dict[str, Any]) -> None:
        """Write one of the JSON files, with its checksum."""
        text = json.dumps(json.loads(checksummed(value)), indent=1)
        write_atomic(self.path / name, f"{text}\n".encode())

    def read(self, name: str) -> dict[str, Any] | None:
        """The value of one of the JSON files, or None where it is absent.

        Raises:
            InputError: it is damaged, or was changed.
        """
        path = self.path / name
        if not path.exists() and not path.is_symlink():
            return None
        value, sealed = read_row(bytes(read_bytes(path)), repr(str(path)))
        if not sealed and self._checksums_needed:
            raise InputError(f"{str(path)!r} was changed after it was written: it has no checksum")
        check(value, SCHEMAS[name], repr(str(path)))
        return value

    def write_once(self, name: str, value: dict[str, Any], what: str) -> None:
        """Write `value` the first time; afterwards it must be the same (`check_once`)."""
        if self.check_once(name, value, what) is None:
            self.write(name, value)

    def check_once(self, name: str, value: dict[str, Any], what: str) -> dict[str, Any] | None:
        """What the file holds, which must be `value` (of sources: but for `INCIDENTAL`); None where it is absent.

        Raises:
            InputError: it is something else: `what` has changed since the run began.
        """
        before = self.read(name)
        if before is not None:
            was, now = ((what_it_is if name == SOURCES else dict)(one) for one in (before, as_read(value)))
            different = [key for key in {**now, **was} if was.get(key) != now.get(key)]
            if different:
                listed = ", ".join(different)
                raise InputError(f"{what} changed since {str(self.path)!r} began ({listed}): start a new run")
        return before

    def append(self, row: "Row") -> None:
        """Keep a finished trial. On a full disk the file stays as it was.

        Raises:
            RunError: the disk is full.
        """
        append_line(self.path / ROWS, checksummed(row))
        if self.on_row is not None:
            self.on_row(row)

    def rows(self) -> "list[Row]":
        """The finished trials. A last line that a kill cut short does not count.

        Raises:
            InputError: another line is damaged, was changed, or repeats a trial.
        """
        path = self.path / ROWS
        if not path.exists():
            return []
        rows = read_rows(path, Trial)
        if rows and self._checksums_needed and not _first_is_sealed(path):
            raise InputError(f"{str(path)!r}, line 1 was changed after it was written: it has no checksum")
        seen: set[Any] = set()
        for number, row in enumerate(rows, 1):
            if _key(row) in seen:
                raise InputError(f"{str(path)!r}, line {number}: this trial is there twice")
            seen.add(_key(row))
        return rows

    def record(self) -> Record:
        """Everything in the folder, for a report.

        Raises:
            InputError: there is no finished trial yet; a file is damaged, or does not fit the others.
        """
        settings, plan, sources, rows = self.read(CONFIG), self.read(PLAN), self.read(SOURCES), self.rows()
        if not rows or settings is None or plan is None or sources is None:
            again = f"search run --resume {shlex.quote(str(self.path))}"
            raise InputError(f"{str(self.path)!r} has no finished trial yet: {again}")
        names = set(plan["names"])
        for number, row in enumerate(rows, 1):
            if row["source"] not in sources or row["name"] not in names:
                raise InputError(f"{str(self.path / ROWS)!r}, line {number}: this trial is not of this run")
        finals = read_finals(self.path)
        strange = next((row["name"] for row in finals if row["name"] not in names), None)
        if strange is not None:
            raise InputError(f"{str(self.path / FINALS)!r}: {strange!r} is not of this run")
        return Record(settings_in(settings, (PLACES,)), plan["names"], sources, rows, finals, self.path).folded()

    def drop_torn_row(self) -> None:
        """Remove a last line that a kill cut short, so that rows can be appended."""
        drop_torn_line(self.path / ROWS)

    def unfinished(self, jobs: "Sequence[Job]") -> "list[Job]":
        """The jobs that have no row yet."""
        done = {_key(row) for row in self.rows()}
        return [job for job in jobs if (job.source, job.candidate, job.repeat) not in done]


@contextlib.contextmanager
def claim_run(path: Path, *, force: bool = False, resume: bool = False) -> Iterator[RunFolder]:
    """The folder of a run, for this process alone until the end of the block. Nothing in it is written or removed yet.

    Args:
        force: a run that is there may be replaced (`clear`).
        resume: a run that is there may be gone on with.

    Raises:
        InputError: the folder is not free, holds something else, cannot be written, or another process works in it.
    """
    again = f"search run --resume {shlex.quote(str(path))}"
    hint = f"{again} goes on, `force=True` starts over, `out` names another place"
    untouched = not any((path / name).exists() for name in (CONFIG, ROWS))  # a kill before there was anything to lose
    resume = resume or untouched
    with claim_folder(path, kind=KIND, force=force, resume=resume, made_by_us=is_run, hint=hint) as claim:
        for name in (*SCHEMAS, ROWS, FINALS, *RESULTS):
            remove_leftovers(claim.path / name)
        tidy_networks(claim.path)
        yield RunFolder(claim.path, claim)


def is_run(path: Path) -> bool:
    """Whether a folder is a run's: by its marker, or, of an older version, by what its files hold."""
    marker = read_marker(path)
    if marker:
        return marker.get("kind") == KIND
    try:
        folder = RunFolder(path)
        return folder.read(CONFIG) is not None and folder.read(PLAN) is not None
    except InputError:
        return False


def _key(row: "Row") -> tuple[str, str, int]:
    return row["source"], row["name"], row["repeat"]


def _first_is_sealed(path: Path) -> bool:
    with open(path, "rb") as file:
        return read_row(file.readline(), repr(str(path)))[1]
