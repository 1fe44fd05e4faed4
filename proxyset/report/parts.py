"""What a page is made of: words, facts, tables, pictures, galleries, sliders. Each has a template in `assets/`."""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from markupsafe import Markup

from proxyset.names import clean_name

if TYPE_CHECKING:
    import rich.table

MOST_PICTURE_BYTES = 2**19  # of a file that is embedded
MOST_ROWS = 2000  # of a table


class Part:
    """A piece of a section; `kind` names its template."""

    kind: ClassVar[str]


class Cell(NamedTuple):
    """A cell of a table: what is read, and what it is sorted by where the words do not say it.

    Attributes:
        key: what it is about, where points of plots on the page are about the same.
    """

    text: str
    value: float | None = None
    key: str = ""

    @property
    def order(self) -> float | None:
        """The value, or else the first number in the words."""
        return first_number(self.text) if self.value is None else self.value


@dataclass(frozen=True)
class Words(Part):
    """Lines of text, a paragraph each."""

    kind: ClassVar[str] = "words"
    lines: Sequence[str]


@dataclass(frozen=True)
class Facts(Part):
    """Names and values, folded away until they are asked for."""

    kind: ClassVar[str] = "facts"
    title: str
    items: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table(Part):
    """Rows that sort by any column, and can be searched where they are many.

    Attributes:
        labels: so many columns, the first ones, are words; the others are numbers.
    """

    kind: ClassVar[str] = "table"
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    labels: int = 1

    @property
    def shown(self) -> Sequence[Sequence[Cell]]:
        return self.rows[:MOST_ROWS]

    @classmethod
    def of_text(cls, lines: Sequence[Sequence[str]], caption: str, labels: int = 1) -> "Table":
        """From lines of words, the first of them the titles."""
        head, *rows = lines
        return cls(caption, head, [[Cell(text) for text in row] for row in rows], labels)

    @classmethod
    def of_rich(cls, table: "rich.table.Table") -> "Table":
        """From a table that is made for the terminal."""
        columns = [[_plain(cell) for cell in column.cells] for column in table.columns]
        head = [_plain(column.header) for column in table.columns]
        return cls.of_text([head, *map(list, zip(*columns, strict=True))], _plain(table.title or ""))


@dataclass(frozen=True)
class Picture(Part):
    """An image with a line under it.

    Attributes:
        data: as a `data:` address (`embed`).
        alt: what it shows, for who cannot see it.
        width: in CSS pixels; None: its own.
    """

    kind: ClassVar[str] = "picture"
    data: Markup
    caption: str
    alt: str
    width: int | None = None


@dataclass(frozen=True)
class ClassImages:
    """The images of one class: one to know it by, and those of each set."""

    name: str
    first: Picture
    sheets: Sequence[Picture]


@dataclass(frozen=True)
class Gallery(Part):
    """Classes, each of which opens into its images; all are open from the beginning where `open`."""

    kind: ClassVar[str] = "gallery"
    classes: Sequence[ClassImages]
    note: str = ""
    open: bool = False


@dataclass(frozen=True)
class Slider(Part):
    """Pictures of one thing over time, one of which is shown."""

    kind: ClassVar[str] = "slider"
    title: str
    frames: Sequence[Picture]


def embed(png: bytes) -> Markup:
    """A PNG as an address that holds it."""
    return Markup("data:image/png;base64," + base64.b64encode(png).decode("ascii"))


def picture_of(path: Path, caption: str, alt: str) -> list[Picture]:
    """A picture that a run has drawn; none where the file is missing or larger than a page has room for."""
    try:
        data = path.read_bytes() if path.stat().st_size <= MOST_PICTURE_BYTES else b""
    except OSError:
        return []
    return [Picture(embed(data), caption, alt)] if data.startswith(b"\x89PNG") else []


def facts_of(values: Mapping[str, object], title: str) -> Facts:
    """Settings or provenance as it is stored; what is nested stays on one line."""
    return Facts(title, [(name.replace("_", " "), _flat(value)) for name, value in values.items() if value is not None])


def first_number(text: str) -> float | None:
    """The first number in words such as `−0.12 [−0.3, 0.1]` or `92.5 ± 1.3 (5)`; of a duration its seconds."""
    if times := re.match(r"(?:(\d+) h )?(?:(\d+) min)?(?: ?(\d+) s\b)?", text.strip()):
        hours, minutes, seconds = (int(part or 0) for part in times.groups())
        if times[0]:
            return float(3600 * hours + 60 * minutes + seconds)
    match = re.search(r"[-−]?\d[\d,]*(?:\.\d+)?(?:e[+-]\d+)?", text)
    return float(match[0].replace("−", "-").replace(",", "")) if match else None


def _flat(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_flat(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_flat, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _plain(cell: object) -> str:
    """A cell of rich, markup or text, as words."""
    from rich.text import Text

    text = cell.plain if isinstance(cell, Text) else Text.from_markup(str(cell)).plain
    return clean_name(text, longest=10_000)
