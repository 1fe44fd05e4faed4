"""Pages: whole in one file, safe with anybody's words, never too large; tables sort by what their words mean."""

import base64
import hashlib
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.table import Table as RichTable

from proxyset.errors import InputError
from proxyset.report import page as pages
from proxyset.report.page import Page, Section, is_page, render, save_page, write_page
from proxyset.report.parts import Cell, Facts, Picture, Table, Words, embed, first_number, picture_of
from proxyset.report.plots import HEIGHT, WIDTH, Axis, Plot, Point, Series
from tests.proxyset.report.reading import Seen

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&\x1b[31m"
SHOWN = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&�[31m"


def evil_page() -> Page:
    plot = Plot(EVIL, Axis(EVIL, [(0, EVIL)]), Axis(EVIL), [Series(EVIL, [Point(0, 1, EVIL, EVIL)])] * 2, EVIL)
    table = Table(EVIL, [EVIL, EVIL], [[Cell(EVIL, key=EVIL), Cell(EVIL)]] * 30)
    picture = Picture(embed(b"\x89PNG"), EVIL, EVIL)
    parts = [Words([EVIL]), Facts(EVIL, [(EVIL, EVIL)]), table, plot, picture]
    return Page(EVIL, EVIL, [Section(EVIL, parts)])


def test_words_of_other_people_stay_words() -> None:
    seen = Seen(render(evil_page()))
    assert len(seen.scripts) == 1
    assert {tag for tag, values in seen.tags if any(name.startswith("on") for name in values)} == set()
    assert all(values["src"].startswith("data:image/png;base64,") for values in seen.all("img"))
    assert seen.text.count(SHOWN) >= 70
    tips = [values["data-tip"] for values in seen.all("circle")]
    assert tips == [SHOWN] * 2


def test_a_page_loads_nothing_and_allows_only_its_own_script() -> None:
    text = render(evil_page())
    seen = Seen(text)
    policy = next(values["content"] for values in seen.all("meta") if "http-equiv" in values)
    digest = base64.b64encode(hashlib.sha256(seen.scripts[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert not [values for tag, values in seen.tags if "http" in values.get("src", "") + values.get("href", "")]
    assert "url(" not in text


def test_only_a_page_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    save_page(evil_page(), path)
    assert is_page(path)
    save_page(evil_page(), path)
    path.write_text("<!doctype html>\n<p>my thesis")
    with pytest.raises(InputError, match=r"report\.html' exists and is no report"):
        save_page(evil_page(), path)
    with pytest.raises(InputError, match=r"ends in \.html"):
        save_page(evil_page(), tmp_path / "page.png")


def test_a_page_that_would_be_too_large_does_without_its_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MOST_BYTES", 60_000)
    page = Page("large", "", [Section("all", [Words(["stays"]), Picture(embed(bytes(60_000)), "", "")])])
    text = write_page(page, tmp_path / "report.html").read_text()
    assert len(text) < 60_000
    assert "stays" in text
    assert "left out" in text


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("92.5 ± 1.3 (5)", 92.5),
        ("−0.12 [−0.3, 0.1]", -0.12),
        ("1,438", 1438),
        ("−6.49939e+06", -6.49939e6),
        ("50 s", 50),
        ("2 min 54 s (16)", 174),
        ("2 h 10 min", 7800),
        ("–", None),
        ("convnet", None),
        ("", None),
    ],
)
def test_cells_sort_by_the_number_that_they_begin_with(words: str, value: float | None) -> None:
    assert first_number(words) == value


def test_a_table_of_the_terminal_is_taken_over_word_for_word() -> None:
    table = RichTable("who", "how far", title="how far they came")
    table.add_row("[bold]a[/bold]", "0.5 \\[0.1, 0.9]")
    taken = Table.of_rich(table)
    assert (taken.caption, list(taken.head)) == ("how far they came", ["who", "how far"])
    assert [[cell.text for cell in row] for row in taken.rows] == [["a", "0.5 [0.1, 0.9]"]]


def test_a_picture_that_is_none_or_too_large_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "large.png").write_bytes(b"\x89PNG" + bytes(2**20))
    assert not [one for name in ("text", "large", "gone") for one in picture_of(tmp_path / f"{name}.png", "", "")]


numbers = st.floats(allow_nan=True, allow_infinity=True, width=32) | st.integers(-5, 5).map(float)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(numbers, numbers), max_size=8), st.booleans(), st.booleans())
def test_every_finite_point_and_tick_lies_within_the_frame(
    places: list[tuple[float, float]], log: bool, line: bool
) -> None:
    series = [Series("some", [Point(x, y, "") for x, y in places], line)]
    plot = Plot("", Axis("", log=log), Axis(""), series)
    marks = plot.drawn()[0].marks
    finite = [place for place in places if all(abs(value) < float("inf") for value in place)]
    assert len(marks) == len(finite)
    assert all(0 <= mark.x <= WIDTH and 0 <= mark.y <= HEIGHT for mark in marks)
    assert all(0 <= at <= WIDTH for at, _ in plot.x_ticks())
    assert all(0 <= at <= HEIGHT for at, _ in plot.y_ticks())
    assert len(plot.summary) > 10


def test_ticks_are_round_and_read_differently() -> None:
    series = [Series("some", [Point(1, 0.871, ""), Point(7200, 0.8742, "")])]
    plot = Plot("", Axis("", log=True), Axis(""), series)
    across, up = [words for _, words in plot.x_ticks()], [words for _, words in plot.y_ticks()]
    assert 3 <= len(across) <= 7
    assert len(set(up)) == len(up) >= 3
    assert all(re.fullmatch(r"\d+ (s|min|h)", words) for words in across)
