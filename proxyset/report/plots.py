"""Plots for a page: points and lines as scalable graphics, laid out here so that they are there without a script.

A script adds what a pointer does: the words of a point, and all other points of the same key on the page.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

from proxyset.report.parts import Part

WIDTH, HEIGHT = 400, 290
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 10, 46
COLOURS = 8
MOST_TICKS = 6
TIMES = (
    0.1,
    0.2,
    0.5,
    1,
    2,
    5,
    10,
    20,
    30,
    60,
    120,
    300,
    600,
    1200,
    1800,
    3600,
    7200,
    18_000,
    36_000,
    86_400,
    259_200,
    864_000,
)
"""Seconds that are marked on an axis of time."""
Ticks = Sequence[tuple[float, str]]


class Point(NamedTuple):
    """One point.

    Attributes:
        text: what is said where a pointer is over it.
        key: what it is about; others of the same key light up with it.
        spread: what a bar reaches up and down.
        strong: whether it is drawn in the colour of what is chosen.
    """

    x: float
    y: float
    text: str
    key: str = ""
    spread: float = 0.0
    strong: bool = False


@dataclass(frozen=True)
class Series:
    """Points of one name, joined by a line where `line`."""

    name: str
    points: Sequence[Point]
    line: bool = False
    dashed: bool = False
    colour: int | None = None  # None: by its place


@dataclass(frozen=True)
class Axis:
    """What is along one side.

    Attributes:
        ticks: places and their words (None: chosen).
        log: whether equal ways are equal factors.
    """

    label: str
    ticks: Ticks | None = None
    log: bool = False


class Mark(NamedTuple):
    """A point in pixels."""

    x: float
    y: float
    low: float
    high: float
    point: Point


class Drawn(NamedTuple):
    """A series in pixels."""

    name: str
    colour: int
    dashed: bool
    path: str
    marks: list[Mark]


@dataclass(frozen=True)
class Plot(Part):
    """Series over two axes."""

    kind: ClassVar[str] = "plot"
    title: str
    x: Axis
    y: Axis
    series: Sequence[Series]
    note: str = ""
    width: int = field(default=WIDTH, init=False)
    height: int = field(default=HEIGHT, init=False)
    frame: tuple[int, int, int, int] = field(default=(LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM), init=False)

    @property
    def summary(self) -> str:
        """What is drawn, for who cannot see it."""
        names = ", ".join(one.name for one in self.series)
        points = sum(len(one.points) for one in self.series)
        return f"{self.title}: {points} points of {names}; across {self.x.label}, upwards {self.y.label}"

    def x_ticks(self) -> list[tuple[float, str]]:
        place, ticks = self._scale_x()
        return [(place(value), words) for value, words in ticks]

    def y_ticks(self) -> list[tuple[float, str]]:
        place, ticks = self._scale_y()
        return [(place(value), words) for value, words in ticks]

    def drawn(self) -> list[Drawn]:
        """All series in pixels."""
        across, up = self._scale_x()[0], self._scale_y()[0]
        result = []
        for number, one in enumerate(self.series):
            marks = [
                Mark(across(p.x), up(p.y), up(p.y - p.spread), up(p.y + p.spread), p)
                for p in one.points
                if math.isfinite(p.x) and math.isfinite(p.y)
            ]
            path = "M" + "L".join(f"{mark.x:.1f},{mark.y:.1f}" for mark in marks) if one.line and marks else ""
            colour = number if one.colour is None else one.colour
            result.append(Drawn(one.name, colour % COLOURS, one.dashed, path, marks))
        return result

    def _scale_x(self) -> tuple[Callable[[float], float], Ticks]:
        return _scale([p.x for one in self.series for p in one.points], self.x, LEFT, WIDTH - RIGHT)

    def _scale_y(self) -> tuple[Callable[[float], float], Ticks]:
        values = [p.y + side * p.spread for one in self.series for p in one.points for side in (-1, 1)]
        return _scale(values, self.y, HEIGHT - BOTTOM, TOP)


def _scale(values: Sequence[float], axis: Axis, first: float, last: float) -> tuple[Callable[[float], float], Ticks]:
    """From a value to pixels between `first` and `last`, and the ticks within."""
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    finite += [value for value, _ in axis.ticks or ()]
    bend: Callable[[float], float] = (lambda value: math.log(max(value, 1e-9))) if axis.log else float
    low, high = bend(min(finite)), bend(max(finite))
    least = 1e-6 * max(abs(low), abs(high))  # less is lost in rounding
    room = max(0.05 * (high - low), least) or 0.5
    room = max(room, 0.5) if axis.ticks else room  # half a step beside the first and the last of some names
    low, high = low - room, high + room

    def place(value: float) -> float:
        return round(first + (bend(value) - low) / (high - low) * (last - first), 1)

    ticks = axis.ticks
    if ticks is None and axis.log:
        times = [time for time in TIMES if low <= bend(time) <= high]
        ticks = [(time, _time(time)) for time in times[:: -(-len(times) // MOST_TICKS) or 1]]
    return place, _ticks(low, high) if ticks is None else ticks


def _ticks(low: float, high: float) -> Ticks:
    """Round numbers between two values, with as many decimals as tell them apart."""
    from matplotlib.ticker import MaxNLocator

    found = MaxNLocator(MOST_TICKS, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    places = [value for value in found if low <= value <= high]
    step = places[1] - places[0] if len(places) > 1 else 1.0
    decimals = next((count for count in range(7) if abs(round(step, count) - step) < 1e-9 * step), 7)
    large = max(map(abs, places), default=0) >= 10_000
    return [(float(at), f"{at:.3g}" if large else f"{at:.{decimals}f}".replace("-", "−")) for at in places]


def _time(seconds: float) -> str:
    for unit, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:g} {name}"
    return f"{seconds:g} s"
