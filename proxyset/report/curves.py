"""Accuracy against seconds, as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from proxyset.artefact.proxy_set import ProxySet
from proxyset.artefact.trace import read_rows
from proxyset.errors import InputError
from proxyset.names import figure_name
from proxyset.report.figures import write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TICKS = {1: (1, 3, 10), 60: (0.5, 2, 10), 3600: (0.5, 2, 8, 24, 100)}
"""Seconds of a unit, and which multiples of it are marked."""

Curve = Sequence[tuple[float, float]]
"""Points of seconds and accuracy (0..1)."""


def save_trace(proxy: ProxySet, path: Path) -> Path:
    """Draw the trace that a set was built with; returns the path.

    Raises:
        InputError: it has none that can be read.
    """
    return save_traces({f"{proxy.provenance.get('method', 'proxy set')}, {proxy.ipc} per class": proxy}, path)


def save_traces(proxies: Mapping[str, ProxySet], path: Path) -> Path:
    """Draw the traces of sets of one dataset in one picture, by the names that are given; returns the path.

    Raises:
        InputError: one of them has none that can be read; they are of different datasets, or there are none.
    """
    datasets = {figure_name(proxy.spec.name) for proxy in proxies.values()}
    if len(datasets) != 1:
        raise InputError(f"traces of one dataset can be compared, got those of {', '.join(sorted(datasets)) or 'none'}")
    curves = {}
    for name, proxy in proxies.items():
        rows = read_rows(proxy.provenance.get("trace", []))
        curves[name] = [(row["seconds"], row["accuracy"]) for row in rows]
    return save_curves(curves, f"{datasets.pop()} · students on held-out training images", path)


def save_curves(curves: Mapping[str, Curve], title: str, path: Path) -> Path:
    """Draw curves by their names, time on a logarithmic axis; returns the path.

    Args:
        title: as it is drawn; names of other people in it through `figure_name`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    for name, points in curves.items():
        seconds, accuracies = zip(*points, strict=True)
        places, heights = [max(1.0, each) for each in seconds], [100 * each for each in accuracies]
        axes.plot(places, heights, "o-", label=figure_name(name))
    _label_time(axes)
    axes.set_ylabel("accuracy %")
    axes.set_title(title, loc="left")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3, fontsize="small")
    return write_figure(figure, path)


def _label_time(axes: "Axes") -> None:
    """Seconds on a logarithmic axis, with ticks that people read."""
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    places = [number * unit for unit, numbers in TICKS.items() for number in numbers if low <= number * unit <= high]
    axes.set_xticks(places, [_in_words(place) for place in places])
    axes.minorticks_off()
    axes.set_xlabel("time for learning")


def _in_words(seconds: float) -> str:
    """A mark on the axis: 20 s, 5 min, 2 h."""
    for unit, name in ((3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:g} {name}"
    return f"{seconds:g} s"
