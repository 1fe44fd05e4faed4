"""Sources that look an architecture up in a table: a truth, or a ranking, that somebody else has trained."""

import csv
import hashlib
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch

from proxyset.errors import InputError, nearest
from proxyset.nets.build import full_name
from proxyset.parsing import read_text
from proxyset.settings import short
from search.settings import RankingSettings
from search.sources.base import Free, Unit

if TYPE_CHECKING:
    from search.space import Candidate
    from search.trial import Workbench

PERCENT = 100.0
Columns = Mapping[str, Mapping[str, float]]
"""By column the accuracy (0..1) of each architecture that has one."""


@dataclass(frozen=True)
class ColumnSource(Free):
    """A column of a table: the accuracy that it gives an architecture.

    Attributes:
        file, column: where the accuracies are from.
        sha256: of the accuracies.
        values: by the architecture's name.
    """

    file: str = ""
    column: str = ""
    sha256: str = ""
    values: Mapping[str, float] = field(default_factory=dict, repr=False)

    unit: ClassVar[Unit] = "accuracy"
    repeats: ClassVar[bool] = False

    @classmethod
    def of(cls, name: str, settings: RankingSettings, columns: Columns, column: str | None = None) -> Self:
        """The source for a column, by default that of its own name."""
        column = column or name
        values = columns[column]
        digest = hashlib.sha256(json.dumps(dict(values), sort_keys=True).encode()).hexdigest()
        return cls(name, file=str(settings.truth_file), column=column, sha256=digest, values=values)

    def covers(self, name: str) -> bool:
        return name in self.values

    def score(self, bench: "Workbench", candidate: "Candidate", generator: torch.Generator) -> float:
        return self.values[candidate.name]

    def facts(self) -> dict[str, Any]:
        return {name: value for name, value in super().facts().items() if name != "values"}


def read_columns(path: Path, columns: Sequence[str], names: Iterable[str], size: int) -> Columns:
    """The accuracies of some architectures from a CSV file: a header, the architecture's name in the first column.

    A cell may be empty: that architecture then has no accuracy in the column. A column whose largest value is above 1
    is in percent.

    Args:
        columns: which of them.
        names: of the architectures that matter; a ConvNet's name in the file may leave out parts.
        size: pixels of the images, on which such a part can depend.

    Raises:
        InputError: the file cannot be read, has no such column or an architecture twice, a value is no accuracy, or a
            column has a value for fewer than two of the architectures.
    """
    where, wanted = repr(str(path)), {_canonical(name, size): name for name in names}
    rows = csv.reader(io.StringIO(read_text(path), newline=""))
    header = next(rows, [])
    for column in columns:
        if column not in header[1:]:
            raise InputError(f"{where} has no column {short(column)}: {nearest(column, header[1:])}")
    found: dict[str, dict[str, float]] = {column: {} for column in columns}
    largest = dict.fromkeys(columns, 0.0)
    seen: set[str] = set()
    for row in rows:
        if not row:
            continue
        line, name = f"{where}, line {rows.line_num}", _canonical(row[0], size)
        if len(row) != len(header):
            raise InputError(f"{line}: {len(row)} cells, and the header has {len(header)}")
        if name in seen:
            raise InputError(f"{line}: {short(name)} is there twice")
        seen.add(name)
        for column in columns:
            text = row[header.index(column)].strip()
            if text:
                value = _accuracy(text, f"{line}, column {column!r}")
                largest[column] = max(largest[column], value)
                if name in wanted:
                    found[column][wanted[name]] = value
    for column, values in found.items():
        if len(values) < 2:
            example = f"; it has such names as {short(min(seen))}" if seen else ""
            few = f"{where}, column {short(column)}, has {len(values)} of the search's {len(wanted)} architectures"
            raise InputError(f"{few}, and a ranking needs at least two{example}")
    return {
        column: {name: value / PERCENT if largest[column] > 1 else value for name, value in values.items()}
        for column, values in found.items()
    }


def _accuracy(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= PERCENT:
        raise InputError(f"{where}: an accuracy is 0 to 1, or 0 to 100 %, got {short(text)}")
    return value


def _canonical(name: str, size: int) -> str:
    """A network's name with every part spelled out; a name of another kind as it is."""
    try:
        return full_name(name.strip(), size)
    except InputError:
        return name.strip()
