"""What a finished grid adds to the page of its sets: a row per cell, pooled over seeds, and accuracy over bytes."""

from pathlib import Path

import numpy as np
import pandas as pd

from proxyset.errors import InputError, one_line
from proxyset.folders import read_marker
from proxyset.report.grid_cell import AXES
from proxyset.report.grid_run import KIND
from proxyset.report.page import Section
from proxyset.report.parts import Cell, Part, Table
from proxyset.report.plots import Axis, Plot, Point, Series
from proxyset.report.tables import mean_std

POOLED = "seed"
LABELS = [axis for axis in AXES if axis != POOLED]


def is_grid(folder: Path) -> bool:
    """Whether a folder holds a grid."""
    return read_marker(folder).get("kind") == KIND


def grid_sections(folder: Path) -> list[Section]:
    """The results of the grid in a folder; none where it has not been finished.

    Raises:
        InputError: its table cannot be read.
    """
    path = folder / "results.csv"
    if not is_grid(folder) or not path.is_file():
        return []
    try:
        frame = pd.read_csv(path, keep_default_na=False, na_values=[""])[[*AXES, "accuracy", "set_bytes"]].dropna(
            subset=["accuracy"]
        )
        frame = frame.astype({"accuracy": float, "set_bytes": float})
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{str(path)!r} is no table of a grid: {one_line(error)}") from None
    return [Section("Grid", [_table(frame), *_plots(frame)])] if len(frame) else []


def _table(frame: pd.DataFrame) -> Table:
    rows = []
    for labels, group in frame.groupby(LABELS, dropna=False, sort=False):
        accuracies = group["accuracy"].tolist()
        kept = group["set_bytes"].mean()
        size = Cell("–") if np.isnan(kept) else Cell(f"{kept / 1024:,.1f}", kept)
        names = [Cell(_words(label)) for label in labels]
        rows.append([*names, size, Cell(mean_std(accuracies), float(np.mean(accuracies)))])
    caption = "Test accuracy in %, mean ± standard deviation over the networks of all seeds (n)"
    heads = ["images per class" if axis == "ipc" else axis for axis in LABELS]
    return Table(caption, [*heads, "KiB", "accuracy % (n)"], rows, labels=len(LABELS))


def _plots(frame: pd.DataFrame) -> list[Part]:
    """For each dataset, test and network the accuracy of every method over the bytes of its sets."""
    plots: list[Part] = []
    sized = frame.dropna(subset=["set_bytes"])
    for (dataset, test, net), part in sized.groupby(["dataset", "test", "net"], sort=False):
        series = []
        for method, group in part.groupby("method", sort=False):
            points = []
            for ipc, cell in group.groupby("ipc"):
                accuracy, spread = 100 * cell["accuracy"].mean(), 100 * cell["accuracy"].std(ddof=0)
                text = f"{method}, {_words(ipc)} per class: {mean_std(cell['accuracy'].tolist())}"
                points.append(Point(cell["set_bytes"].mean() / 1024, accuracy, text, "", spread))
            series.append(Series(str(method), points, line=True))
        title = " · ".join(map(_words, (dataset, test, net)))
        plots.append(Plot(title, Axis("KiB"), Axis("test accuracy %"), series))
    return plots


def _words(label: object) -> str:
    """A value of an axis; the whole set has no size."""
    if isinstance(label, float):
        return "–" if np.isnan(label) else f"{label:g}"
    return str(label)
