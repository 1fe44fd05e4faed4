"""What a kill at any moment leaves of a run, and what a resumed run accepts."""

import json
from pathlib import Path

import pytest

from proxyset.errors import InputError
from search.folder import CONFIG, ROWS, RunFolder
from search.settings import MAY_CHANGE
from search.trial import Job


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    folder.begin({"epochs": 150, "seed": 0, "workers": None}, MAY_CHANGE)
    return folder


def row(name: str, source: str = "dsa", repeat: int = 0) -> dict[str, object]:
    return {"source": source, "name": name, "repeat": repeat, "score": 0.5}


def test_rows_come_back_and_finished_jobs_are_left_out(folder: RunFolder) -> None:
    folder.append(row("a"))
    folder.append(row("a", repeat=1))
    assert folder.rows() == [row("a"), row("a", repeat=1)]
    jobs = [Job("dsa", "a"), Job("dsa", "a", 1), Job("dsa", "b"), Job("random", "a")]
    assert folder.unfinished(jobs) == jobs[2:]


def test_a_last_line_cut_short_by_a_kill_does_not_count_and_is_dropped(folder: RunFolder) -> None:
    folder.append(row("a"))
    with open(folder.path / ROWS, "a") as file:
        file.write(json.dumps(row("b"))[:20])
    assert folder.rows() == [row("a")]
    assert folder.drop_torn_row() == [row("a")]
    folder.append(row("c"))
    assert folder.rows() == [row("a"), row("c")]


def test_a_damaged_line_in_the_middle_is_an_error(folder: RunFolder) -> None:
    (folder.path / ROWS).write_text('{"source"\n' + json.dumps(row("a")) + "\n")
    with pytest.raises(InputError, match="damaged"):
        folder.rows()


def test_settings_survive_and_must_stay(folder: RunFolder) -> None:
    folder.begin({"epochs": 150, "seed": 0, "workers": 3}, MAY_CHANGE)
    assert folder.read(CONFIG) == {"epochs": 150, "seed": 0, "workers": None}
    with pytest.raises(InputError, match="began with `epochs=150`"):
        folder.begin({"epochs": 7, "seed": 0, "workers": None}, MAY_CHANGE)


def test_what_is_written_once_must_stay(folder: RunFolder) -> None:
    folder.write_once("plan.json", {"data": "abc", "names": ["a"]}, "the data")
    folder.write_once("plan.json", {"data": "abc", "names": ["a"]}, "the data")
    with pytest.raises(InputError, match=r"the data changed .*\(names\)"):
        folder.write_once("plan.json", {"data": "abc", "names": ["b"]}, "the data")


def test_a_folder_that_is_taken_is_refused(folder: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--resume"):
        folder.check_free()
    folder.check_usable()
    folder.append(row("a"))
    folder.clear()
    assert folder.rows() == []
    folder.check_free()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("mine")
    with pytest.raises(InputError, match="is no search run"):
        RunFolder(tmp_path / "other").check_usable()
    with pytest.raises(InputError, match=CONFIG):
        RunFolder.open(tmp_path / "other")
