"""The results of a grid: a row for every trained network, and the table in the layout that its file asks for."""

import html
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from proxyset.files import write_atomic
from proxyset.names import clean_name
from proxyset.report.grid_cell import AXES, Axis, GridCell
from proxyset.report.grid_file import PUBLISHED, GridFile
from proxyset.report.grid_jobs import Row
from proxyset.report.table_files import markdown_table, tex_table
from proxyset.report.tables import mean_std

BLANK = "–"


@dataclass
class Entry:
    """One cell of the table.

    Attributes:
        accuracies: 0..1, of all networks that belong there.
        errors: of cells that failed.
        left_out: why cells were left out.
        published: the number that stands beside it, in %.
    """

    accuracies: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    published: float | None = None

    def words(self) -> str:
        """`83.4 ± 1.8 (5)`, with what was published and the difference: `83.4 ± 1.8 (5) [88.7, −5.3]`."""
        if not self.accuracies:
            text = "failed" if self.errors else BLANK
            return text if self.published is None else f"{text} [{self.published:.1f}]"
        difference = 100 * float(np.mean(self.accuracies)) - (self.published or 0)
        beside = "" if self.published is None else f" [{self.published:.1f}, {difference:+.1f}]".replace("-", "−")
        return mean_std(self.accuracies) + beside


@dataclass(frozen=True)
class Table:
    """Entries by line and column; `heads` are the titles of the columns that name the lines."""

    title: str
    heads: list[str]
    rows: list[tuple[str, ...]]
    columns: list[str]
    entries: dict[tuple[int, int], Entry]

    def lines(self) -> list[list[str]]:
        """The table as lines of cells, titles first."""
        body = [
            [*row, *(self.entries[number, place].words() for place in range(len(self.columns)))]
            for number, row in enumerate(self.rows)
        ]
        return [[*self.heads, *self.columns], *body]

    def notes(self) -> list[str]:
        """What could not be scored, each once."""
        return list(dict.fromkeys(note for entry in self.entries.values() for note in (*entry.errors, *entry.left_out)))


def results(cells: Sequence[GridCell], rows: dict[str, Row]) -> pd.DataFrame:
    """A row for every trained network, and one for every cell that failed."""
    found = []
    for cell in cells:
        row, made = rows.get(cell.key), rows.get(cell.set_key, {})
        if row is None:
            continue
        facts = cell.values() | {"settings": " ".join(f"{name}={value}" for name, value in cell.settings)}
        more = {"set_seconds": made.get("seconds"), "set_bytes": made.get("bytes"), "error": row["error"]}
        for number, accuracy in enumerate(row.get("accuracies") or [None]):
            found.append({**facts, "number": number, "accuracy": accuracy, "seconds": row.get("seconds"), **more})
    columns = [*AXES, "settings", "number", "accuracy", "seconds", "set_seconds", "set_bytes", "error"]
    frame = pd.DataFrame(found, columns=columns)
    return frame.astype({"ipc": "Int64", "seed": "Int64", "accuracy": "float64", "set_bytes": "Int64"})


def table_of(grid: GridFile, cells: Sequence[GridCell], rows: dict[str, Row]) -> Table:
    """The grid's table. What neither its lines nor its columns tell apart is pooled: seeds, usually."""
    lines, columns = _labels(grid.rows, cells), _labels(grid.columns, cells)
    entries: dict[tuple[int, int], Entry] = {}
    for number, line in enumerate(lines):
        for place, column in enumerate(columns):
            entry = entries[number, place] = Entry()
            wanted = dict(zip(grid.rows, line, strict=True)) | dict(zip(grid.columns, column, strict=True))
            for cell in cells:
                if _belongs(cell, wanted):
                    _add(entry, cell, rows.get(cell.key))
            text = grid.published.get(_joined(line), {}).get(_joined(column))
            match = PUBLISHED.fullmatch(str(text)) if text is not None else None
            entry.published = float(match[1]) if match else None
    heads = [{"ipc": "images per class"}.get(axis, axis) for axis in grid.rows]
    shown = [tuple("" if value is None else str(value) for value in line) for line in lines]
    return Table(grid.title, heads, shown, [_joined(column) for column in columns], entries)


def write_tables(grid: GridFile, cells: Sequence[GridCell], rows: dict[str, Row], folder: Path) -> list[Path]:
    """Write all forms of the results into a folder.

    Raises:
        InputError, RunError: it cannot be written.
    """
    frame, table = results(cells, rows), table_of(grid, cells, rows)
    parquet = io.BytesIO()
    frame.to_parquet(parquet, index=False)
    files = {
        "results.parquet": parquet.getvalue(),
        "results.csv": frame.to_csv(index=False, lineterminator="\n").encode(),
        "table.md": _markdown(table).encode(),
        "table.tex": _tex(table).encode(),
        "table.html": _html(table).encode(),
    }
    for name, data in files.items():
        write_atomic(folder / name, data)
    return [folder / name for name in files]


def _labels(axes: Sequence[Axis], cells: Sequence[GridCell]) -> list[tuple[Any, ...]]:
    """The values of some axes that cells have, in their order.

    The whole set has no size. It stands on the lines of every size, or where these name methods too, on one of its own.
    """
    found = [tuple(getattr(cell, axis) for axis in axes) for cell in cells]
    full = list(dict.fromkeys(label for label in found if None not in label))
    alone = [label for label in found if None in label and not any(_covers(label, other) for other in full)]
    kept = {*full, *alone}
    return [label for label in dict.fromkeys(found) if label in kept]


def _covers(label: Sequence[Any], other: Sequence[Any]) -> bool:
    """Whether two labels agree wherever the first has a value."""
    return all(mine in (None, its) for mine, its in zip(label, other, strict=True))


def _belongs(cell: GridCell, wanted: dict[Axis, Any]) -> bool:
    return _covers([cell.values()[axis] for axis in wanted], list(wanted.values()))


def _add(entry: Entry, cell: GridCell, row: Row | None) -> None:
    if cell.skip is not None:
        entry.left_out.append(f"{cell.key}: left out, {cell.skip}")
    elif row is not None and row["error"] is not None:
        entry.errors.append(f"{cell.key}: {row['error']}")
    elif row is not None:
        entry.accuracies += row["accuracies"]


def _joined(label: Sequence[Any]) -> str:
    return " ".join(str(value) for value in label if value is not None)


LEGEND = "Test accuracy in %, mean ± standard deviation over networks (n) [published, difference]."


def _markdown(table: Table) -> str:
    notes = "".join(f"- {clean_name(note, longest=300)}\n" for note in table.notes())
    title = f"# {clean_name(table.title)}\n\n" if table.title else ""
    lines = markdown_table(table.lines(), len(table.heads))
    return f"{title}{lines}\n\n{LEGEND}\n" + (f"\n{notes}" if notes else "")


def _tex(table: Table) -> str:
    words = [clean_name(table.title), LEGEND, *(clean_name(note, longest=300) for note in table.notes())]
    return "\n".join([*(f"% {line}" for line in words), tex_table(table.lines(), len(table.heads))]) + "\n"


STYLE = (
    "body{font-family:system-ui,sans-serif;margin:2rem;color-scheme:light dark}table{border-collapse:collapse}"
    "th,td{padding:.3rem .7rem;text-align:right;border-bottom:1px solid #8884;white-space:nowrap}"
    "th.name,td.name{text-align:left}"
)


def _html(table: Table) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        first = len(table.heads)
        parts = (
            f"<{tag}{' class=name' if place < first else ''}>{html.escape(clean_name(cell))}</{tag}>"
            for place, cell in enumerate(cells)
        )
        return f"<tr>{''.join(parts)}</tr>"

    head, *body = table.lines()
    notes = "".join(f"<li>{html.escape(clean_name(note, longest=300))}</li>" for note in table.notes())
    title = html.escape(clean_name(table.title or "grid"))
    rows = "\n".join(line(cells, "td") for cells in body)
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>\n'
        f"<h1>{title}</h1>\n<table>\n<thead>{line(head, 'th')}</thead>\n<tbody>\n{rows}\n</tbody></table>\n"
        f"<p>{LEGEND}</p>\n" + (f"<ul>{notes}</ul>\n" if notes else "")
    )
