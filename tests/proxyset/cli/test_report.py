"""`proxyset report` from outside."""

import json
import webbrowser
from pathlib import Path

import pytest

from proxyset.report.page import is_page
from tests.proxyset.cli.made import FAST, Cli, assert_refused, snapshot


def test_one_file_several_and_a_folder_become_one_page_each(
    cli: Cli, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    assert cli("report", built, "--open").code == 0
    assert is_page(tmp_path / "set-report.html")
    assert opened == [(tmp_path / "set-report.html").as_uri()]
    assert cli("build", *FAST, "--seed", 1, "--out", "other.safetensors").code == 0
    result = cli("report", built, "other.safetensors", "--out", "both.html", "--json")
    assert json.loads(result.out)["out"] == "both.html"
    assert "set and other" in (tmp_path / "both.html").read_text()
    before = snapshot(tmp_path)
    assert cli("report", ".").code == 0
    assert set(snapshot(tmp_path)) - set(before) == {"report.html"}
    assert cli("report", ".").code == 0  # again


def test_wrong_words_are_refused(cli: Cli, built: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "mine.html").write_text("ten years of work")
    before = snapshot(tmp_path)
    assert_refused(cli("report"), "no proxy set given")
    assert_refused(cli("report", "empty"), "no proxy sets in the folder")
    assert_refused(cli("report", "gone.safetensors"), "no such file")
    assert_refused(cli("report", built, "set.safetensors"), "given twice")
    assert_refused(cli("report", built, "--out", "mine.html"), "no report of this program")
    assert_refused(cli("report", built, "--out", "page.pdf"), "--out", ".html")
    assert snapshot(tmp_path) == before
