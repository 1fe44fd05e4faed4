"""What a kill at any moment leaves of a run, what a resumed run accepts, and whose folder is taken."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxyset.errors import InputError
from proxyset.folders import MARKER
from proxyset.parsing import checksummed
from search.folder import CONFIG, PLAN, ROWS, RunFolder, claim_run
from search.settings import MAY_CHANGE
from search.space import CHOICES
from search.trial import Job

SETTINGS = {"epochs": 150, "seed": 0, "workers": None, "repeats": 2, "promote": 0}
ARCHS = {"data": "abc", "names": ["a", "b"]}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[RunFolder]:
    with claim_run(tmp_path / "run") as folder:
        folder.begin(SETTINGS, ARCHS)
        yield folder


def row(name: str, source: str = "dsa", repeat: int = 0) -> dict[str, Any]:
    facts = {"source": source, "name": name, "repeat": repeat, "seed": 0, "parameters": 3, "score": 0.5}
    return facts | dict.fromkeys(CHOICES) | {"accuracy": 0.5, "seconds": 1.5, "threads": 1, "error": None}


def test_rows_come_back_and_finished_jobs_are_left_out(folder: RunFolder) -> None:
    folder.append(row("a"))
    folder.append(row("a", repeat=1))
    assert folder.rows() == [row("a"), row("a", repeat=1)]
    jobs = [Job("dsa", "a"), Job("dsa", "a", 1), Job("dsa", "b"), Job("random", "a")]
    assert folder.unfinished(jobs) == jobs[2:]


def test_a_last_line_cut_short_by_a_kill_does_not_count_and_is_dropped(folder: RunFolder) -> None:
    folder.append(row("a"))
    with open(folder.path / ROWS, "a") as file:
        file.write(checksummed(row("b"))[:20])
    assert folder.rows() == [row("a")]
    folder.drop_torn_row()
    folder.append(row("b"))
    assert folder.rows() == [row("a"), row("b")]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"source"', "not JSON"),
        (checksummed(row("b")).replace("0.5", "0.6"), "changed after it was written"),
        (json.dumps(row("b")), "no checksum"),
        (checksummed(row("a")), "twice"),
        (checksummed(row("b") | {"score": None}), "a score or an error"),
        (checksummed(row("b") | {"repeat": -1}), "repeat"),
        (checksummed(row("b") | {"score": "0.5"}), "score"),
    ],
)
def test_a_damaged_line_is_named(folder: RunFolder, line: str, words: str) -> None:
    folder.append(row("a"))
    with open(folder.path / ROWS, "a") as file:
        file.write(f"{line}\n")
    with pytest.raises(InputError, match=rf"rows.jsonl', line 2.*{words}"):
        folder.rows()


def test_settings_survive_and_must_stay(folder: RunFolder) -> None:
    folder.check(SETTINGS | {"workers": 3}, ARCHS, MAY_CHANGE)
    assert folder.read(CONFIG) == SETTINGS
    with pytest.raises(InputError, match="began with `epochs=150`"):
        folder.check(SETTINGS | {"epochs": 7}, ARCHS, MAY_CHANGE)
    with pytest.raises(InputError, match=r"the data or the space changed .*\(names\)"):
        folder.check(SETTINGS, ARCHS | {"names": ["b", "a"]}, MAY_CHANGE)


@pytest.mark.parametrize("name", [CONFIG, PLAN])
@pytest.mark.parametrize("new", ['{"a": 1}', "[]", "{", '{"promote": 0}', '{"names": [], "data": ""}'])
def test_a_changed_file_is_refused(folder: RunFolder, name: str, new: str) -> None:
    (folder.path / name).write_text(new)
    with pytest.raises(InputError, match=name):
        folder.check(SETTINGS, ARCHS, MAY_CHANGE)


def test_a_run_that_is_there_is_kept_unless_asked(folder: RunFolder) -> None:
    with pytest.raises(InputError, match="being written by another process"), claim_run(folder.path, force=True):
        pass
    assert folder.claim is not None
    folder.append(row("a"))
    folder.claim.release()
    with pytest.raises(InputError, match="--resume"), claim_run(folder.path):
        pass
    with claim_run(folder.path, resume=True) as again:
        assert again.rows() == [row("a")]
    (folder.path / "letter.txt").write_text("mine")
    with claim_run(folder.path, force=True) as again:
        again.clear()
        again.begin(SETTINGS | {"seed": 1}, ARCHS)
        assert again.rows() == []
    assert (folder.path / "letter.txt").read_text() == "mine"


def test_what_is_no_run_is_never_taken(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("other", "file"):
        for options in ({}, {"force": True}, {"resume": True}):
            with pytest.raises(InputError, match=name), claim_run(tmp_path / name, **options):
                pass
    with pytest.raises(InputError, match="is not a search run"):
        RunFolder.open(tmp_path / "other")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "other"]


def test_a_run_that_is_undone_leaves_nothing(tmp_path: Path) -> None:
    with claim_run(tmp_path / "runs" / "run") as folder:
        folder.begin(SETTINGS, ARCHS)
        folder.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_kill_before_the_settings_are_written_leaves_a_free_folder(tmp_path: Path) -> None:
    with claim_run(tmp_path / "run") as folder:
        folder.begin(SETTINGS, ARCHS)
        folder.clear()
    assert [path.name for path in (tmp_path / "run").iterdir()] == [MARKER]
    with claim_run(tmp_path / "run") as folder:
        folder.begin(SETTINGS, ARCHS)
        assert folder.rows() == []
