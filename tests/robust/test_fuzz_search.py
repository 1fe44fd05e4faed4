"""5,500 damaged files of a finished run: refused in one line, or what was written; never other numbers."""

import contextlib
import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from proxyset.folders import MARKER
from proxyset.parsing import checksummed, read_rows
from search.folder import CONFIG, PLAN, ROWS, SOURCES, Record, RunFolder
from search.report import summarise_run, without_nan
from search.scores import mean_scores
from tests.conftest import make_dataset
from tests.robust.fuzz import json_mutants, mutants, survives
from tests.robust.search_world import RUN, call
from tests.search.conftest import save_images

COUNT = 500
REPORTED = 50  # a summary takes longer than reading: of one in so many


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    save_images(make_dataset(counts=12), folder / "tiny.npz")
    with contextlib.chdir(folder):
        assert call(RUN) == 0
    return folder / "run"


class Reader:
    """Reads a run, for a report and for going on, with one file replaced."""

    def __init__(self, run: Path, name: str) -> None:
        self.run, self.path = run, run / name
        self.whole = RunFolder.open(run).record()

    def __call__(self, data: bytes | str) -> Record:
        self.path.write_bytes(data if isinstance(data, bytes) else data.encode())
        folder = RunFolder.open(self.run)
        folder.read(SOURCES)
        folder.rows()
        return folder.record()

    def unchanged(self, record: Record) -> bool:
        """Whether it is what was written. Rows at the end may be missing, as after a kill."""
        rows = [row for row in self.whole.rows if row in record.rows]
        return dataclasses.replace(record, rows=rows) == dataclasses.replace(self.whole, rows=record.rows)


@pytest.mark.parametrize("name", [CONFIG, PLAN, SOURCES, ROWS, MARKER])
def test_damaged_bytes(name: str, run: Path) -> None:
    whole, reader = (run / name).read_bytes(), Reader(run, name)
    try:
        counts = survives(reader, mutants(whole, COUNT, seed=len(name)), reader.unchanged)
    finally:
        (run / name).write_bytes(whole)
    assert counts.total() == COUNT
    assert name == MARKER or counts["refused"] > COUNT / 2


@pytest.mark.parametrize("name", [CONFIG, PLAN, SOURCES])
def test_other_values(name: str, run: Path) -> None:
    whole, reader = (run / name).read_bytes(), Reader(run, name)
    value: dict[str, Any] = json.loads(whole)
    try:
        survives(reader, json_mutants(value, COUNT, seed=1), reader.unchanged)
    finally:
        (run / name).write_bytes(whole)


@pytest.mark.parametrize("name", [CONFIG, PLAN, SOURCES])
def test_older_runs_with_other_values_can_be_reported_or_are_refused(name: str, run: Path, tmp_path: Path) -> None:
    """Their files have no checksum: what is read is of the right types, whatever it says."""
    older = tmp_path / "older"
    older.mkdir()
    for one in (CONFIG, PLAN, SOURCES):
        value = json.loads((run / one).read_text())
        del value["sha256"]
        (older / one).write_text(json.dumps(value))
    rows = [checksummed(row) for row in read_rows(run / ROWS)]
    (older / ROWS).write_text("".join(f"{row}\n" for row in rows))
    value, reader = json.loads((older / name).read_text()), Reader(older, name)
    turn = itertools.count()

    def can_be_reported(record: Record) -> bool:
        if next(turn) % REPORTED == 0:
            json.dumps(without_nan(summarise_run(record, mean_scores(record.rows, record.names))), allow_nan=False)
        return True

    survives(reader, json_mutants(value, COUNT, seed=2), can_be_reported)
