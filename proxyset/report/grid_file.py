"""What a grid is: datasets × methods × images per class × seeds × tests × networks, and how its table is laid out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator

from proxyset.data.choice import DataChoice
from proxyset.errors import InputError, nearest
from proxyset.methods.base import Method
from proxyset.methods.registry import get_method
from proxyset.report.grid_cell import AXES, Axis, GridCell, Value, label_of
from proxyset.settings import Distinct, Seeds, Settings, short
from proxyset.train.protocols import Evaluation
from proxyset.train.recipe import MOST_EPOCHS

WHOLE = "whole"  # in place of a method: the whole set, which has no images per class and no seed
Label = Annotated[str, Field(pattern=r"^[^/\x00-\x1f]{1,80}$")]
Positive = Annotated[int, Field(ge=1)]
PUBLISHED = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:(?:±|\+-)\s*(\d+(?:\.\d+)?))?\s*")


class Test(Evaluation):
    """How networks are trained on the sets of a grid, and which networks."""

    nets: int = Field(5, ge=1, le=10_000, description="fresh networks to train")
    net: Annotated[tuple[str, ...], Distinct] = Field(("convnet",), min_length=1, description="their names")

    def evaluation(self) -> Evaluation:
        """Without the networks' names."""
        return Evaluation(**self.model_dump(exclude={"net"}))


class CellException(Settings):
    """Cells that are made otherwise, or left out."""

    where: dict[Axis, Value | tuple[Value, ...]] = Field(
        {}, description="which cells: a value, or several, of some axes"
    )
    set: dict[str, Any] = Field({}, description="settings of the method there")
    skip: str | None = Field(None, description="leave them out, for this reason")

    @field_validator("set")
    @classmethod
    def _of_sets(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if value and {"test", "net"} & set(info.data.get("where", {})):
            raise ValueError("changes how a set is made, so that `where` cannot name a test or a net")
        return value

    def matches(self, values: dict[Axis, Value | None]) -> bool:
        return all(
            values[axis] in (wanted if isinstance(wanted, tuple) else (wanted,)) for axis, wanted in self.where.items()
        )


class GridFile(Settings):
    """What is compared."""

    title: str = Field("", description="of the table")
    datasets: dict[Label, DataChoice] = Field({}, min_length=1, description="by a name: where it is, and in which form")
    methods: dict[Label, dict[str, Any]] = Field(
        {},
        min_length=1,
        description="by a name: `method` (default: that name) and its settings, and its `tests` (default: all); "
        "`method: whole` with `epochs` is the whole set",
    )
    settings: dict[str, Any] = Field(
        {},
        description="of every method that has such a setting and gives it no other value; `method` too",
    )
    ipc: Annotated[tuple[Positive, ...], Distinct] = Field((1,), min_length=1, description="images per class")
    seeds: Seeds = Field((0,), description="a set for each")
    tests: dict[Label, Test] = Field(
        {"paper": Test()}, min_length=1, description="by a name: how networks are trained, and which"
    )
    exceptions: tuple[CellException, ...] = Field((), description="cells that are made otherwise, or left out")
    rows: tuple[Axis, ...] = Field(("dataset", "ipc"), description="what the lines of the table are")
    columns: tuple[Axis, ...] = Field(("method",), description="what its columns are")
    published: dict[str, dict[str, Value | float]] = Field(
        {}, description='by line and column, such as "mnist 1": {dsa: 88.7 ± 0.6}: what stands beside a cell'
    )

    @field_validator("datasets", "tests", "exceptions", mode="before")
    @classmethod
    def _named(cls, value: Any, info: ValidationInfo) -> Any:
        """Say in which of them a mistake is: theirs do not know."""
        kinds: dict[str, type[Settings]] = {"datasets": DataChoice, "tests": Test, "exceptions": CellException}
        kind = kinds[str(info.field_name)]
        if isinstance(value, dict):
            return {name: _made(kind, item, str(name)) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [_made(kind, item, str(number)) for number, item in enumerate(value, 1)]
        return value

    @field_validator("columns")
    @classmethod
    def _apart(cls, value: tuple[Axis, ...], info: ValidationInfo) -> tuple[Axis, ...]:
        if twice := set(value) & set(info.data.get("rows", ())):
            raise ValueError(f"has {min(twice)}, which is in `rows` too")
        return value

    @field_validator("published")
    @classmethod
    def _numbers(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for row, cells in value.items():
            for column, text in cells.items():
                if not PUBLISHED.fullmatch(str(text)):
                    raise ValueError(f"{row!r}, {column!r}: must be like 88.7 or 88.7 ± 0.6")
        return value

    def method(self, name: str, changed: Sequence[tuple[str, Any]] = ()) -> Method:
        """The settings of one of the methods.

        Raises:
            InputError: unknown names or ill-typed values.
        """
        given = self._settings(name) | _underscored(dict(changed))
        try:
            return get_method(self._kind(name))(**given)
        except InputError as error:
            raise InputError(f"method {name!r}: {error}") from None

    def is_whole(self, name: str) -> bool:
        return self._kind(name) == WHOLE

    def whole_epochs(self, name: str, changed: Sequence[tuple[str, Any]] = ()) -> int:
        """Training epochs on the whole set.

        Raises:
            InputError: other settings.
        """
        return _Whole(**self._settings(name) | dict(changed)).epochs

    def tests_of(self, name: str) -> list[str]:
        """The tests of one of the methods, by name: all where it names none.

        Raises:
            InputError: it names one that there is not.
        """
        wanted = self.methods[name].get("tests", list(self.tests))
        if not isinstance(wanted, list | tuple) or not wanted:
            raise InputError(f"method {name!r}: `tests` must be a list of names, got {short(wanted)}")
        for test in wanted:
            if not isinstance(test, str) or test not in self.tests:
                raise InputError(f"method {name!r}: there is no test {short(test)} ({nearest(str(test), self.tests)})")
        return list(dict.fromkeys(wanted))

    def _kind(self, name: str) -> str:
        """Which method an entry is."""
        return str(self.methods[name].get("method", self.settings.get("method", name)))

    def _entry(self, name: str) -> dict[str, Any]:
        """What a method's entry says, with what is said for all."""
        known = {"method", *_fields(self._kind(name))}
        for_all = {key: value for key, value in _underscored(self.settings).items() if key in known}
        return for_all | _underscored(self.methods[name])

    def _settings(self, name: str) -> dict[str, Any]:
        """What goes to the method, and not to the grid itself."""
        return {key: value for key, value in self._entry(name).items() if key not in ("method", "tests")}

    def check(self) -> None:
        """Raise `InputError` for what no cell can work with."""
        for name in self.methods:
            self.tests_of(name)
        self._check_settings()
        known: dict[Axis, list[Value]] = {
            "dataset": list(self.datasets),
            "method": list(self.methods),
            "ipc": list(self.ipc),
            "seed": list(self.seeds),
            "test": list(self.tests),
            "net": [net for test in self.tests.values() for net in test.net],
        }
        for number, exception in enumerate(self.exceptions, 1):
            for axis, wanted in exception.where.items():
                for value in wanted if isinstance(wanted, tuple) else (wanted,):
                    if value not in known[axis]:
                        hint = nearest(str(value), [str(each) for each in known[axis]])
                        raise InputError(f"exception {number}: there is no {axis} {value!r} ({hint})")
        self._check_published()
        for cell in {(cell.method, repr(cell.settings)): cell for cell in self.cells()}.values():
            if self.is_whole(cell.method):
                self.whole_epochs(cell.method, cell.settings)
            else:
                self.method(cell.method, cell.settings)

    def _check_settings(self) -> None:
        """Raise `InputError` for a setting for all that no method has."""
        known = {"method"}.union(*(_fields(self._kind(name)) for name in self.methods))
        for key in _underscored(self.settings):
            if key not in known:
                raise InputError(f"`settings`: no method has {short(key)} ({nearest(key, sorted(known))})")

    def _check_published(self) -> None:
        """Raise `InputError` where a number stands beside no cell."""
        lines, columns = ({label_of(c, axes) for c in self.cells()} for axes in (self.rows, self.columns))
        for line, cells in self.published.items():
            if line not in lines:
                raise InputError(f"`published`: there is no line {short(line)} ({nearest(line, sorted(lines))})")
            for column in cells:
                if column not in columns:
                    raise InputError(
                        f"`published`: there is no column {short(column)} ({nearest(column, sorted(columns))})"
                    )

    def deciding(self) -> dict[str, Any]:
        """What decides the scores of cells, as JSON has it: all but which cells there are, and how the table looks."""
        effective = self.model_copy(update={"methods": {name: self._entry(name) for name in self.methods}})
        values: dict[str, Any] = json.loads(
            effective.model_dump_json(include={"datasets", "methods", "tests", "exceptions"})
        )
        for test in values["tests"].values():
            del test["net"]
        for method in values["methods"].values():
            method.pop("tests", None)  # these say which cells there are
        changed = [each for each in values["exceptions"] if each["set"]]
        return values | {"exceptions": {json.dumps(each["where"], sort_keys=True): each["set"] for each in changed}}

    def cells(self) -> list[GridCell]:
        """Every cell, those of one set one after another."""
        return list(self._cells())

    def _cells(self) -> Iterator[GridCell]:
        for dataset in self.datasets:
            for method in self.methods:
                sizes: list[tuple[int | None, int | None]] = [(ipc, seed) for ipc in self.ipc for seed in self.seeds]
                for ipc, seed in [(None, None)] if self.is_whole(method) else sizes:
                    for test in self.tests_of(method):
                        for net in self.tests[test].net:
                            yield self._changed(GridCell(dataset, method, ipc, seed, test, net))

    def _changed(self, cell: GridCell) -> GridCell:
        """With what the exceptions say of it; of several the last that says something."""
        settings: dict[str, Any] = {}
        skip = None
        for exception in self.exceptions:
            if exception.matches(cell.values()):
                settings |= exception.set
                skip = exception.skip or skip
        parts = {axis: getattr(cell, axis) for axis in AXES}
        return GridCell(**parts, settings=tuple(settings.items()), skip=skip)


def _underscored(values: dict[str, Any]) -> dict[str, Any]:
    """Settings by the names that they have in Python."""
    return {str(key).replace("-", "_"): value for key, value in values.items()}


def _fields(kind: str) -> set[str]:
    """The settings of a method, or of the whole set; none where there is no such method, which `method` says."""
    try:
        return set((_Whole if kind == WHOLE else get_method(kind)).model_fields)
    except InputError:
        return set()


def _made(kind: type[Settings], item: Any, name: str) -> Any:
    if not isinstance(item, dict):
        return item
    try:
        return kind(**_underscored(item))
    except InputError as error:
        raise ValueError(f"{name}: {error}") from None


class _Whole(Settings):
    """What the whole set takes in place of a method's settings."""

    epochs: int = Field(100, ge=1, le=MOST_EPOCHS, description="training epochs")
