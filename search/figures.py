"""Figures of a search: proxy against whole set, and accuracy by each choice."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import rankdata

from proxyset.files import write_atomic
from proxyset.nets.arch import SPACE_720
from search.rank import share, top
from search.scores import MeanScores
from search.sources.base import unit_of
from search.sources.trained import TRUTH
from search.space import CHOICES

DPI = 100
PANELS_ACROSS = 3
PLAIN, MARKED = "#8a9aa9", "#d1495b"
LABELS = {"params": "rank by parameter count", "jacobian": "rank by Jacobian covariance"}


def save_figures(scores: MeanScores, table: pd.DataFrame, summary: dict[str, Any], out: Path) -> list[Path]:
    """Write what can be drawn of `scores` (by source, then architecture) to `out`; returns the files."""
    figures = {}
    drawn = scatter(scores, summary)
    if drawn is not None:
        figures["scatter.png"] = drawn
    if table["width"].notna().any():
        free = [name for name, facts in summary["sources"].items() if facts["free"]]
        trained = {name: scores[name] for name in summary["sources"] if name not in free and name in scores}
        if trained:
            archs = table.drop_duplicates("name").set_index("name")[list(CHOICES)]
            figures["choices.png"] = by_choice(trained, archs)
    for name, figure in figures.items():
        write_atomic(out / name, png(figure))
    return [out / name for name in figures]


def scatter(scores: MeanScores, summary: dict[str, Any]) -> Figure | None:
    """Whole-set accuracy against each ranking's score, its top 5 % marked (paper, Figure 4); None without a truth."""
    truth, facts = scores.get(TRUTH), summary["sources"]
    proxies = {name: scores[name] for name in facts if name != TRUTH and name in scores}
    if truth is None or len(truth) < 2 or not proxies:
        return None
    across = min(PANELS_ACROSS, len(proxies))
    down = -(-len(proxies) // across)
    figure = Figure(figsize=(3.2 * across, 3.0 * down), dpi=DPI, layout="constrained")
    panels = np.atleast_1d(figure.subplots(down, across, sharey=True, squeeze=False)).ravel()
    for axes, (name, values) in zip(panels, proxies.items(), strict=False):
        _panel(axes, name, values, truth, facts[name])
    for axes in panels[len(proxies) :]:
        axes.set_visible(False)
    for row in range(down):
        panels[row * across].set_ylabel("trained on the whole set (%)", fontsize=8)
    panels[0].legend(["architectures", "top 5 % by this ranking"], fontsize=7, loc="lower right", frameon=False)
    return figure


def _panel(axes: Axes, name: str, scores: "pd.Series[float]", truth: "pd.Series[float]", facts: dict[str, Any]) -> None:
    both = scores.index.intersection(truth.index, sort=False)
    x, y = scores[both].to_numpy(), 100 * truth[both].to_numpy()
    best = top(x, share(len(x), 5))
    in_accuracy = unit_of(facts) == "accuracy"
    x = 100 * x if in_accuracy else rankdata(x)  # values of other rankings span orders of magnitude
    axes.scatter(x, y, s=12, color=PLAIN, linewidths=0)
    axes.scatter(x[best], y[best], s=22, color=MARKED, linewidths=0)
    rho = facts.get("spearman", np.nan)
    axes.set_title(f"{name}, Spearman {rho:.2f}" if np.isfinite(rho) else name, fontsize=10, parse_math=False)
    axes.set_xlabel(
        LABELS.get(name, f"accuracy by {name} (%)" if in_accuracy else f"rank by {name}"), fontsize=8, parse_math=False
    )
    axes.tick_params(labelsize=8)


def by_choice(scores: MeanScores, archs: pd.DataFrame) -> Figure:
    """Mean accuracy of the architectures that share a value of a choice, a panel per choice that varies,
    a line per source.
    """
    varied = [choice for choice in CHOICES if archs[choice].nunique() > 1] or list(CHOICES[:1])
    figure = Figure(figsize=(2.6 * len(varied), 3.0), dpi=DPI, layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(varied), sharey=True))
    for axes, choice in zip(panels, varied, strict=True):
        values = _in_order(archs[choice])
        for name, by_arch in scores.items():
            means = 100 * by_arch.groupby(archs[choice].reindex(by_arch.index)).mean().reindex(values)
            style = {"color": "black", "linewidth": 2.0} if name == TRUTH else {"linewidth": 1.2}
            axes.plot(range(len(values)), means.to_numpy(), marker="o", markersize=4, label=name, **style)
        axes.set_xticks(range(len(values)), [str(value) for value in values], fontsize=8)
        axes.set_title(choice, fontsize=10)
        axes.tick_params(labelsize=8)
        axes.set_xlim(-0.4, len(values) - 0.6)
    panels[0].set_ylabel("mean accuracy (%)", fontsize=8)
    for text in panels[0].legend(fontsize=7, frameon=False).get_texts():
        text.set_parse_math(False)
    return figure


def _in_order(column: "pd.Series[Any]") -> list[Any]:
    """The values of a choice: in the order of the paper's space, then others (numbers by size)."""
    values, known = set(column.dropna()), SPACE_720[str(column.name)]
    return [value for value in known if value in values] + sorted(values - set(known))


def png(figure: Figure) -> bytes:
    """A figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": "proxyset"})
    return buffer.getvalue()
