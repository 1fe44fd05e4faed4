"""Pictures of a search: proxy against whole, and accuracy by each choice."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import rankdata

from proxyset.checkpoint import write_atomic
from proxyset.nets import SPACE_720
from search.rank import share, top
from search.sources import FREE, TRUTH
from search.space import CHOICES

DPI = 100
PANELS_ACROSS = 3
PLAIN, MARKED = "#8a9aa9", "#d1495b"
LABELS = {"params": "rank by parameter count", "jacobian": "rank by Jacobian covariance"}

Scores = dict[str, "pd.Series[float]"]


def save_pictures(scores: Scores, table: pd.DataFrame, summary: dict[str, Any], out: Path) -> list[Path]:
    """Write what can be drawn of `scores` (by source, then architecture) to `out`; returns the files."""
    written = []
    truth = scores.get(TRUTH)
    proxies = [name for name in summary["sources"] if name != TRUTH and name in scores]
    if truth is not None and len(truth) >= 2 and proxies:
        figure = scatter({name: scores[name] for name in proxies}, truth, summary["sources"])
        written.append(_save(figure, out / "scatter.png"))
    if table["width"].notna().any():
        trained = [name for name in (*proxies, TRUTH) if name not in FREE and name in scores]
        archs = table.drop_duplicates("name").set_index("name")[list(CHOICES)]
        if trained:
            written.append(_save(by_choice({name: scores[name] for name in trained}, archs), out / "choices.png"))
    return written


def scatter(proxies: Scores, truth: "pd.Series[float]", facts: dict[str, Any]) -> Figure:
    """Whole-set accuracy against each proxy's score, its top 5 % marked (paper, Figure 4)."""
    across = min(PANELS_ACROSS, len(proxies))
    down = -(-len(proxies) // across)
    figure = Figure(figsize=(3.2 * across, 3.0 * down), dpi=DPI, layout="constrained")
    panels = np.atleast_1d(figure.subplots(down, across, sharey=True, squeeze=False)).ravel()
    for axes, (name, scores) in zip(panels, proxies.items(), strict=False):
        both = scores.index.intersection(truth.index, sort=False)
        x, y = scores[both].to_numpy(), 100 * truth[both].to_numpy()
        best = top(x, share(len(x), 5))
        x = rankdata(x) if name in FREE else 100 * x  # their values span orders of magnitude
        axes.scatter(x, y, s=12, color=PLAIN, linewidths=0)
        axes.scatter(x[best], y[best], s=22, color=MARKED, linewidths=0)
        rho = facts[name].get("spearman", np.nan)
        axes.set_title(f"{name}, Spearman {rho:.2f}" if np.isfinite(rho) else name, fontsize=10)
        axes.set_xlabel(LABELS.get(name, f"accuracy by {name} (%)"), fontsize=8)
        axes.tick_params(labelsize=8)
    for axes in panels[len(proxies) :]:
        axes.set_visible(False)
    for row in range(down):
        panels[row * across].set_ylabel("trained on the whole set (%)", fontsize=8)
    panels[0].legend(["architectures", "its top 5 %"], fontsize=7, loc="lower right", frameon=False)
    return figure


def by_choice(scores: Scores, archs: pd.DataFrame) -> Figure:
    """Mean accuracy of the architectures that share a value of a choice, a panel per choice that varies,
    a line per source.
    """
    varied = [choice for choice in CHOICES if archs[choice].nunique() > 1] or list(CHOICES[:1])
    figure = Figure(figsize=(2.6 * len(varied), 3.0), dpi=DPI, layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(varied), sharey=True))
    for axes, choice in zip(panels, varied, strict=True):
        values = _in_order(archs[choice])
        for name, own in scores.items():
            means = 100 * own.groupby(archs[choice].reindex(own.index)).mean().reindex(values)
            style = {"color": "black", "linewidth": 2.0} if name == TRUTH else {"linewidth": 1.2}
            axes.plot(range(len(values)), means.to_numpy(), marker="o", markersize=4, label=name, **style)
        axes.set_xticks(range(len(values)), [str(value) for value in values], fontsize=8)
        axes.set_title(choice, fontsize=10)
        axes.tick_params(labelsize=8)
        axes.set_xlim(-0.4, len(values) - 0.6)
    panels[0].set_ylabel("mean accuracy (%)", fontsize=8)
    panels[0].legend(fontsize=7, frameon=False)
    return figure


def _in_order(column: "pd.Series[Any]") -> list[Any]:
    """The values of a choice as they occur in the space: numbers by size, words as listed there."""
    return [value for value in SPACE_720[str(column.name)] if value in set(column.dropna())]


def _save(figure: Figure, path: Path) -> Path:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    write_atomic(path, buffer.getvalue())
    return path
