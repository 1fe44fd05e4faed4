"""The site builds without a warning, its links resolve, and it loads nothing from elsewhere."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from proxyset.methods.registry import METHODS
from tests.docs.pages import ROOT

pytest.importorskip("mkdocs", reason="the documentation's tools are not installed")


class Page(HTMLParser):
    """Collects what a page links to, what it loads, its anchors, and the text of its code blocks."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.code = ""
        self._in_code = False
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {key: value or "" for key, value in attributes}
        self._in_code = self._in_code or tag == "pre"
        self.anchors |= {values[key] for key in ("id", "name") if values.get(key)}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag in ("img", "script", "iframe", "source") and "src" in values:
            self.loads.append(values["src"])
        elif tag == "link" and "href" in values and values.get("rel") not in ("canonical", "prev", "next"):
            self.loads.append(values["href"])

    def handle_endtag(self, tag: str) -> None:
        self._in_code = self._in_code and tag != "pre"

    def handle_data(self, data: str) -> None:
        self.code += data if self._in_code else ""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; warnings are errors."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout + done.stderr == ""
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}


def test_every_part_is_there(pages: dict[Path, Page], site: Path) -> None:
    folders = {path.relative_to(site).parts[0] for path in pages}
    assert {"start", "how-to", "explained", "results", "reference", "project", "index.html"} <= folders


def test_links_pictures_and_anchors_resolve(pages: dict[Path, Page]) -> None:
    broken = []
    for path, page in pages.items():
        if path.name == "404.html":  # its links start from the site's address
            continue
        for link in page.links + page.loads:
            parts = urlsplit(link)
            if parts.scheme or link.startswith("//"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                broken.append(f"{path.name}: {link}")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                broken.append(f"{path.name}: no anchor for {link}")
    assert not broken


def test_nothing_is_loaded_from_elsewhere(pages: dict[Path, Page]) -> None:
    assert not [load for page in pages.values() for load in page.loads if urlsplit(load).netloc]


def test_nothing_was_left_to_fill_in(pages: dict[Path, Page], site: Path) -> None:
    """Included files are there, and marks that the hooks replace are gone."""
    assert "class Mean(Method):" in pages[site / "how-to" / "own-method.html"].code
    for path, page in pages.items():
        assert not re.search(r"8 ?< ?--", page.code), path.name
        assert not re.search(r"<!-- (program|methods)", path.read_text(encoding="utf-8")), path.name


def test_reference_has_every_command_and_method(pages: dict[Path, Page], site: Path) -> None:
    anchors = {name: pages[site / "reference" / f"{name}.html"].anchors for name in ("proxyset", "search", "continual")}
    assert {"proxyset-build", "proxyset-eval", "proxyset-show", "proxyset-export"} <= anchors["proxyset"]
    assert {"search-run", "search-report"} <= anchors["search"]
    assert {"continual-run", "continual-compare", "continual-report"} <= anchors["continual"]
    assert set(METHODS) <= pages[site / "reference" / "methods.html"].anchors
