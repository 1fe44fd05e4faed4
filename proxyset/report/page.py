"""A page that stands alone: one file, no network, light and dark, telephone and paper.

Plots are plain SVG, with about 60 lines of script for what a pointer does. A plotting library would be 1 to 4.5 MB in
every page, of which a point with words and a line use little.

Words of other people are escaped by the templates. Beyond that, the page's own policy lets a browser run this one
script and load nothing from anywhere.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from proxyset import __version__
from proxyset.claims import claim_file
from proxyset.files import begins_with, write_atomic
from proxyset.names import clean_name
from proxyset.report.parts import Part, Words

ASSETS = Path(__file__).with_name("assets")
NAME = "report.html"
OPENING = "<!doctype html>\n<!-- made by proxyset -->\n"
MOST_BYTES = 5 * 10**6
LARGE = ("picture", "slider", "gallery", "table", "plot")  # in the order in which a page does without
LONGEST = 20_000  # letters of one text


@dataclass(frozen=True)
class Section:
    """A heading, and what is under it."""

    title: str
    parts: Sequence[Part]

    @property
    def groups(self) -> list[list[Part]]:
        """Neighbours of one kind: plots stand side by side."""
        return [list(group) for _, group in groupby(self.parts, lambda part: part.kind)]


@dataclass(frozen=True)
class Page:
    """What a page says.

    Attributes:
        title: of the tab, and in large letters.
        sentence: what was done, in one sentence.
    """

    title: str
    sentence: str
    sections: Sequence[Section]


def render(page: Page) -> str:
    """The page as HTML."""
    script = (ASSETS / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        _templates()
        .get_template("page.html")
        .render(
            page=page,
            sections=[section for section in page.sections if section.parts],
            opening=Markup(OPENING),
            style=Markup((ASSETS / "page.css").read_text(encoding="utf-8")),
            script=Markup(script),
            digest=digest,
            version=__version__,
        )
    )


def write_page(page: Page, path: Path) -> Path:
    """Write it to a place that is ours already; returns the path.

    Where it is larger than 5 MB, pictures are left out, and then what else is large.

    Raises:
        InputError: it cannot be written.
        RunError: the disk is full.
    """
    data = render(page).encode(errors="replace")
    for kind in LARGE:
        if len(data) > MOST_BYTES:
            page = _without(kind, page)
            data = render(page).encode(errors="replace")
    write_atomic(path, data)
    return path


def _without(kind: str, page: Page) -> Page:
    """The page with a line in place of its parts of one kind."""
    line = Words([f"A {kind} is left out here: the page would be larger than {MOST_BYTES / 1e6:.0f} MB."])
    sections = [
        Section(one.title, [line if part.kind == kind else part for part in one.parts]) for one in page.sections
    ]
    return Page(page.title, page.sentence, sections)


def save_page(page: Page, path: Path) -> Path:
    """`write_page` to a place of anybody's: an older page is replaced, and nothing else; returns the path.

    Raises:
        InputError: something else is there.
    """
    with claim_file(path, kind="report", made_by_us=is_page, force=True, suffixes=(".html",)) as claim:
        return write_page(page, claim.path)


def is_page(path: Path) -> bool:
    """Whether a file begins as the pages do that are written here."""
    return begins_with(path, OPENING)


def open_page(path: Path) -> bool:
    """Show a page in the browser of this desktop; whether there is one."""
    import webbrowser

    return webbrowser.open(path.absolute().as_uri())


@cache
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(ASSETS),
        autoescape=True,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


def _shown(value: Any) -> Any:
    """Text of other people without control characters; what is marked as safe as it is."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return clean_name(value, longest=LONGEST)
