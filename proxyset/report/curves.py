"""Accuracy against seconds, as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from proxyset.artefact.proxy_set import ProxySet
from proxyset.artefact.trace import read_rows
from proxyset.names import figure_name
from proxyset.report.figures import write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Curve = Sequence[tuple[float, float]]
"""Points of seconds and accuracy (0..1)."""


def save_trace(proxy: ProxySet, path: Path) -> Path:
    """Draw the trace that a set was built with; returns the path.

    Raises:
        InputError: it has none that can be read.
    """
    rows = read_rows(proxy.provenance.get("trace", []))
    name = f"{proxy.provenance.get('method', 'proxy set')}, {proxy.ipc} per class"
    curves = {name: [(row["seconds"], row["accuracy"]) for row in rows]}
    return save_curves(curves, f"{proxy.spec.name} · students on held-out training images", path)


def save_curves(curves: Mapping[str, Curve], title: str, path: Path) -> Path:
    """Draw curves by their names, time on a logarithmic axis; returns the path."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    for name, points in curves.items():
        seconds, accuracies = zip(*points, strict=True)
        places, heights = [max(1.0, each) for each in seconds], [100 * each for each in accuracies]
        axes.plot(places, heights, "o-", label=figure_name(name))
    _label_time(axes)
    axes.set_ylabel("accuracy %")
    axes.set_title(figure_name(title), loc="left")
    axes.grid(alpha=0.3)
    axes.legend(loc="best", fontsize="small")
    return write_figure(figure, path)


def _label_time(axes: "Axes") -> None:
    """Seconds on a logarithmic axis, with ticks that people read."""
    ticks = {1: "1 s", 10: "10 s", 60: "1 min", 300: "5 min", 900: "15 min", 3600: "1 h", 4 * 3600: "4 h", 86400: "1 d"}
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    shown = {place: words for place, words in ticks.items() if low <= place <= high}
    axes.set_xticks(list(shown), list(shown.values()))
    axes.minorticks_off()
    axes.set_xlabel("time for learning")
