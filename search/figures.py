"""Figures of a search: proxy against whole set, and accuracy by each choice."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from scipy.stats import rankdata

from proxyset.files import write_atomic
from proxyset.names import clean_name, figure_name
from proxyset.nets.arch import SPACE_720
from search.rank import far_below, top
from search.regret import Course, courses, seconds_by_architecture
from search.scores import MeanScores
from search.sources.trained import TRUTH
from search.space import CHOICES

DPI = 100
PANELS_ACROSS = 3
PLAIN, MARKED, TRUE = "#8a9aa9", "#d1495b", "#00798c"
WORST = 0.2  # accuracy below the best, under which the picture of regret does not go
LABELS = {
    "whole-again": "whole set, another seed (%)",
    "params": "rank by parameter count",
    "jacobian": "rank by Jacobian covariance",
}


def save_figures(scores: MeanScores, table: pd.DataFrame, summary: dict[str, Any], out: Path) -> list[Path]:
    """Write what can be drawn of `scores` (by source, then architecture) to `out`; returns the files."""
    figures = {}
    drawn = scatter(scores, summary)
    if drawn is not None:
        figures["scatter.png"] = drawn
    if table["width"].notna().any():
        trained = {n: scores[n] for n, facts in summary["sources"].items() if not facts["ordinal"] and n in scores}
        if trained:
            archs = table.drop_duplicates("name").set_index("name")[list(CHOICES)]
            figures["choices.png"] = by_choice(trained, archs)
    building = {name: facts["build_seconds"] for name, facts in summary["sources"].items()}
    seconds, settings = seconds_by_architecture(table), summary["settings"]
    looked_up = settings.get("truth_file") is not None  # which takes no time
    drawn = None if looked_up else regret(courses(scores, seconds, building, settings["seed"]))
    if drawn is not None:
        figures["regret.png"] = drawn
    elif looked_up:
        (out / "regret.png").unlink(missing_ok=True)  # of an earlier version
    for name, figure in figures.items():
        write_atomic(out / name, png(figure))
    return [out / name for name in figures]


def scatter(scores: MeanScores, summary: dict[str, Any]) -> Figure | None:
    """Whole-set accuracy against each ranking's score (paper, Figure 4); None without a truth.

    Accuracies are in per cent on both axes, which show where the architectures are; those far below are counted. The
    ranking's first choice and the true best are named.
    """
    truth, facts = scores.get(TRUTH), summary["sources"]
    if truth is None:
        return None
    ranked = {name: scores[name] for name in facts if name != TRUTH and name in scores}
    proxies = {name: one for name, one in ranked.items() if len(one.index.intersection(truth.index)) > 1}
    if not proxies:
        return None
    across = min(PANELS_ACROSS, len(proxies))
    down = -(-len(proxies) // across)
    figure = Figure(figsize=(3.6 * across, 3.5 * down), dpi=DPI, layout="constrained")
    panels = np.atleast_1d(figure.subplots(down, across, sharey=True, squeeze=False)).ravel()
    for axes, (name, values) in zip(panels, proxies.items(), strict=False):
        _panel(axes, name, values, truth, facts[name])
    for axes in panels[len(proxies) :]:
        axes.set_visible(False)
    for row in range(down):
        panels[row * across].set_ylabel("accuracy by the whole set (%)", fontsize=8)
    best = figure_name(str(truth.idxmax()), longest=60)
    figure.suptitle(f"+ true best: {best}, {100 * truth.max():.1f} %", fontsize=8, color=TRUE)
    return figure


def _panel(axes: Axes, name: str, scores: "pd.Series[float]", truth: "pd.Series[float]", facts: dict[str, Any]) -> None:
    both = scores.index.intersection(truth.index, sort=False)
    x, y = scores[both].to_numpy(), 100 * truth[both].to_numpy()
    chosen, best = int(top(x, 1)[0]), int(top(y, 1)[0])
    x = rankdata(x) if facts["ordinal"] else 100 * x  # values of free rankings span orders of magnitude
    axes.scatter(x, y, s=14, color=PLAIN, linewidths=0)
    axes.scatter(x[best], y[best], s=90, marker="+", color=TRUE, linewidths=1.8)
    axes.scatter(x[chosen], y[chosen], s=60, marker="o", facecolors="none", edgecolors=MARKED, linewidths=1.8)
    hidden = _zoom(axes, x, y, [chosen, best])
    axes.set_title(f"{name}{_rho(facts)}", fontsize=9, parse_math=False)
    far = f"; {hidden} far below, not shown" if hidden else ""
    label = f"{LABELS.get(name, f'rank by {name}' if facts['ordinal'] else f'accuracy by {name} (%)')}{far}"
    choice = f"o choice: {clean_name(str(both[chosen]), longest=48)}, {y[chosen]:.1f} %"
    axes.set_xlabel(label, fontsize=8, parse_math=False)
    axes.text(0.5, -0.24, choice, transform=axes.transAxes, ha="center", fontsize=7, color=MARKED, parse_math=False)
    axes.tick_params(labelsize=8)


def _rho(facts: dict[str, Any]) -> str:
    """ρ with its interval, for a title."""
    rho, low, high = (facts.get(f"spearman{end}", np.nan) for end in ("", "_low", "_high"))
    if not np.isfinite(rho):
        return ""
    between = f" [{low:.2f}, {high:.2f}]" if np.isfinite([low, high]).all() else ""
    return f", ρ {rho:.2f}{between}".replace("-", "−")


def _zoom(axes: Axes, x: np.ndarray, y: np.ndarray, named: list[int]) -> int:
    """Let the axes show where the architectures are. How many lie so far below, on either axis, that they are not
    shown (those that are named are).
    """
    shown = ~(far_below(x) | far_below(y))
    shown[named] = True
    for values, limit in ((x, axes.set_xlim), (y, axes.set_ylim)):
        low, high = values[shown].min(), values[shown].max()
        margin = 0.06 * (high - low) or 1.0
        limit(low - margin, high + margin)
    return int((~shown).sum())


def regret(found: list[Course]) -> Figure | None:
    """The best whole-set accuracy found against the time of all trainings, a line for each way of searching."""
    if not found:
        return None
    figure = Figure(figsize=(6.4, 4.0), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    word, unit = _unit(max(float(course.seconds[-1]) for course in found))
    for course in found:
        times, best = course.seconds / unit, 100 * course.best
        if course.low is not None and course.high is not None:
            axes.plot(times, best, color="black", linewidth=1.6, label=course.name)
            axes.fill_between(times, 100 * course.low, 100 * course.high, color="black", alpha=0.12, linewidth=0)
        else:
            axes.step(times, best, where="post", linewidth=1.6, marker="o", markersize=2.5, label=course.name)
    lowest = min(float(course.best[0]) for course in found)
    highest = max(float(course.best.max()) for course in found)
    axes.set_ylim(100 * max(lowest, highest - WORST) - 0.3, 100 * highest + 0.3)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(f"{word} of all trainings, one at a time, with the building of the set", fontsize=8)
    axes.set_ylabel("best accuracy by the whole set so far (%)", fontsize=8)
    axes.set_title("what is found after which time (shaded: 90 % of the orders of random search)", fontsize=9)
    axes.tick_params(labelsize=8)
    for text in axes.legend(fontsize=7, frameon=False, loc="lower right").get_texts():
        text.set_parse_math(False)
    return figure


def _unit(seconds: float) -> tuple[str, float]:
    """What to measure such a time in, and its seconds."""
    return ("seconds", 1.0) if seconds < 300 else ("minutes", 60.0) if seconds < 5 * 3600 else ("hours", 3600.0)


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
