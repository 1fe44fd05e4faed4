"""A cell of a grid: one score, by the axes of the grid."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Axis = Literal["dataset", "method", "ipc", "seed", "test", "net"]
AXES: tuple[Axis, ...] = ("dataset", "method", "ipc", "seed", "test", "net")
Value = str | int


@dataclass(frozen=True)
class GridCell:
    """One score: a set, a network, and how it is trained.

    Attributes:
        ipc, seed: None for the whole set.
        skip: why it is left out.
    """

    dataset: str
    method: str
    ipc: int | None
    seed: int | None
    test: str
    net: str
    settings: tuple[tuple[str, Any], ...] = ()
    skip: str | None = None

    def values(self) -> dict[Axis, Value | None]:
        return {axis: getattr(self, axis) for axis in AXES}

    def shown(self) -> dict[str, Any]:
        """What exceptions change for it, as JSON has it."""
        settings: dict[str, Any] = json.loads(json.dumps(dict(self.settings), default=str))
        return settings

    @property
    def set_key(self) -> str:
        """Which set it is a score of."""
        return "/".join(str(part) for part in (self.dataset, self.method, self.ipc, self.seed) if part is not None)

    @property
    def key(self) -> str:
        return f"{self.set_key}/{self.test}/{self.net}"


def label_of(cell: GridCell, axes: Sequence[Axis]) -> str:
    """What a line or a column is called: the cell's values on some axes."""
    return " ".join(str(value) for axis in axes if (value := getattr(cell, axis)) is not None)
