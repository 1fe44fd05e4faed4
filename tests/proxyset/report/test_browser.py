"""Pages in a real browser, where playwright and Chromium are: no errors, nothing loaded, everything reacts."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxyset.report.page import Page, Section, write_page
from proxyset.report.parts import Cell, Facts, Slider, Table, Words
from proxyset.report.plots import Axis, Plot, Point, Series
from proxyset.report.set_images import gallery
from tests.proxyset.report.test_set_page import make

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        try:
            found = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        except playwright.Error as error:
            pytest.skip(f"no browser: {error}")
        yield found
        found.close()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with a part of every kind."""
    names = [f"net<{number}>" for number in range(30)]
    rows = [[Cell(name, key=name), Cell(f"{number % 7}.5 ± 1"), Cell("–")] for number, name in enumerate(names)]
    points = [Point(number, number**2, f"{name}: {number}", name) for number, name in enumerate(names)]
    series = [Series("one", points), Series("two", points, line=True, dashed=True)]
    shown = gallery({"one": make(classes=30), "two": make(classes=30, ipc=3)})
    parts = [
        Words(["words"]),
        Facts("settings", [("lr", "0.1")]),
        Table("numbers", ["name", "accuracy", "none"], rows),
        Plot("plot", Axis("across"), Axis("up"), series, "note"),
        shown,
        Slider("Iteration", [one.first.__class__(one.first.data, one.name, one.name, 56) for one in shown.classes[:3]]),
    ]
    return write_page(
        Page("A page", "One sentence.", [Section("All", parts)]), tmp_path_factory.mktemp("page") / "a.html"
    )


@pytest.fixture
def page(browser: Any, path: Path) -> Iterator[Any]:
    """The page, opened; every request beyond it and every message of the console fails the test."""
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    wrong: list[str] = []
    opened.on("console", lambda message: wrong.append(message.text))
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("request", lambda request: wrong.append(request.url) if request.url.startswith("http") else None)
    opened.goto(path.as_uri())
    yield opened
    assert not wrong
    opened.close()


def column(page: Any, place: int) -> list[str]:
    return page.eval_on_selector_all(
        f"tbody tr:not([hidden]) > :nth-child({place})", "cells => cells.map(c => c.textContent)"
    )


def test_a_table_sorts_by_numbers_and_by_names_and_shows_what_is_searched(page: Any) -> None:
    before = column(page, 1)
    page.click("th button >> text=accuracy")
    assert column(page, 2) == sorted(column(page, 2), reverse=True)
    page.click("th button >> text=accuracy")
    assert column(page, 2) == sorted(column(page, 2))
    page.click("th button >> text=name")
    assert column(page, 1) == before
    assert page.get_attribute("th:first-child", "aria-sort") == "ascending"
    page.fill("input[type=search]", "T<12")
    assert column(page, 1) == ["net<12>"]


def test_a_point_says_what_it_is_and_lights_up_everywhere(page: Any) -> None:
    page.hover("circle[data-key='net<29>'] >> nth=0", force=True)
    assert page.inner_text("#tip") == "net<29>: 29"
    assert page.locator("circle.lit").count() == 2
    assert page.locator("tr.lit").count() == 1
    page.mouse.move(5, 5)
    assert page.locator(".lit").count() == 0
    assert page.is_hidden("#tip")


def test_a_class_opens_a_slider_slides_and_a_legend_hides(page: Any) -> None:
    assert page.locator(".sheets img >> visible=true").count() == 0
    page.click("summary >> text=<b>name 7</b>")
    assert page.locator(".sheets img >> visible=true").count() == 2
    captions = page.locator(".frames figcaption >> visible=true")
    assert captions.all_inner_texts() == ["<b>name 2</b>"]
    page.focus("input[type=range]")
    page.keyboard.press("Home")
    assert captions.all_inner_texts() == ["<b>name 0</b>"]
    page.click(".legend button >> nth=1")
    assert page.locator("circle >> visible=true").count() == 30


@pytest.mark.parametrize("width", [320, 375, 1280])
def test_nothing_sticks_out_sideways(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_what_is_folded_is_on_paper(page: Any) -> None:
    assert not page.is_visible("dd")
    page.emulate_media(media="print")
    assert page.is_visible("dd")
    assert page.is_hidden("input[type=search]")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_against_accessibility(page: Any, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    page.emulate_media(color_scheme=scheme)
    for fold in page.query_selector_all("details"):
        fold.evaluate("one => { one.open = true; }")
    found = axe.Axe().run(page).response["violations"]
    assert not [(one["id"], one["impact"], [node["html"][:200] for node in one["nodes"][:3]]) for one in found]
