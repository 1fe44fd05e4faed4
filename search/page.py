"""The page of a run: how rankings agree with the truth, every architecture, the choices that matter."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from proxyset.names import in_words
from proxyset.report.page import NAME, Page, Section, write_page
from proxyset.report.parts import Cell, Part, Table, Words, facts_of, picture_of
from proxyset.report.plots import Axis, Plot, Point, Series
from search.folder import Record
from search.rank import far_below
from search.scores import MeanScores, mean_scores
from search.sources.trained import AGAIN, TRUTH
from search.tables import choice_table, cost_table, ending, notes, trust_table

MOST_POINTS = 6000  # of all plots; of more architectures these are taken evenly from best to worst
PICTURES = {
    "choices.png": "Accuracy by each choice",
    "regret.png": "Regret against time",
}


def save_run_page(record: Record, summary: dict[str, Any], out: Path) -> Path:
    """Write report.html about a run into a folder that has its pictures; returns the path.

    Raises:
        InputError, RunError: it cannot be written.
    """
    return write_page(run_page(record, summary, out), out / NAME)


def run_page(record: Record, summary: dict[str, Any], pictures: Path) -> Page:
    """What a run says, from its rows and its summary.

    Args:
        pictures: the folder with those that were drawn.
    """
    found = mean_scores(record.rows, record.names)
    scores = {name: found[name] for name in record.sources if name in found}
    dataset = str(record.settings.get("dataset", "the images"))
    shares = {name for name in scores if not summary["sources"][name]["ordinal"]}
    drawn = [one for name, words in PICTURES.items() for one in picture_of(pictures / name, words, words)]
    return Page(
        f"{len(record.names)} architectures ranked on {Path(dataset).stem}",
        sentence(record, summary),
        [
            Section("What was found", [Words(ending(summary, record.path))]),
            Section("How far to trust the ranking", [Table.of_rich(trust_table(summary)), *scatters(scores, shares)]),
            Section("The choice and what it cost", [*_tables(summary), Words(notes(summary))]),
            Section("All architectures", [architectures(record, scores, shares)]),
            Section("Pictures", drawn),
            Section("Settings and sources", _folded(record)),
        ],
    )


def _tables(summary: dict[str, Any]) -> list[Part]:
    return [Table.of_rich(choice_table(summary)), Table.of_rich(cost_table(summary))]


def sentence(record: Record, summary: dict[str, Any]) -> str:
    """What was done, in one sentence, and what came of it."""
    proxies = [name for name in record.sources if name not in (TRUTH, AGAIN)]
    count, truth = len(record.names), summary["truth"]
    words = f"{count} architectures were ranked by {in_words(proxies)}"
    if not truth["n"]:
        return f"{words}; none was trained on the whole set, so nothing says how far to trust that."
    words += f", and {truth['n']} of them were trained on the whole set to see how far that can be trusted"
    best = max(proxies, key=lambda name: _rho(summary["sources"][name]), default=None)
    if best is None or _rho(summary["sources"][best]) == -np.inf:
        return f"{words}."
    facts = summary["sources"][best]
    value, low, high = (f"{facts[f'spearman{end}']:.2f}".replace("-", "−") for end in ("", "_low", "_high"))
    return f"{words}: the ranking by {best} agrees best, Spearman {value} [{low}, {high}]."


def scatters(scores: MeanScores, shares: Collection[str]) -> list[Part]:
    """For each ranking the truth of every architecture against its score; a pointer over a point says which it is.

    Args:
        shares: the rankings whose scores are accuracies.
    """
    truth, room = scores.get(TRUTH), MOST_POINTS // len(scores)
    return [
        scatter(name, values, truth, room, share=name in shares)
        for name, values in scores.items()
        if truth is not None and name != TRUTH and len(values.index.intersection(truth.index)) > 1
    ]


def scatter(name: str, values: "pd.Series[float]", truth: "pd.Series[float]", room: int, *, share: bool) -> Plot:
    """The truth against one ranking, its first choice in another colour. Scores that are no accuracies stand by rank.

    What lies far below all others (`far_below`) is left out and named.

    Args:
        room: how many points are drawn at most.
        share: whether the scores are accuracies.
    """
    both = values.index.intersection(truth.index, sort=False)
    across = 100 * values[both] if share else values[both].rank()
    far = far_below(truth[both].to_numpy()) | far_below(across.to_numpy())
    near = truth[both][~far].sort_values(ascending=False).index
    chosen = str(values[both].idxmax())
    points = [
        Point(
            float(across[arch]),
            100 * float(truth[arch]),
            f"{arch}: {_score(values, arch, share).text} by {name}, {_score(truth, arch, True).text} on the whole set",
            str(arch),
            strong=arch == chosen,
        )
        for arch in dict.fromkeys([*_evenly(list(near), room), *([chosen] if chosen in near else [])])
    ]
    notes = [f"In red its first choice, {chosen}."]
    notes += [f"{len(points):,} of {len(near):,} are shown."] if len(points) < len(near) else []
    names = [str(arch) for arch in both[far]]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    notes += [f"Too far below to be drawn: {', '.join(names[:3])}{more}."] if names else []
    axis = f"accuracy % by {name}" if share else f"rank by {name}"
    series = [Series(name, sorted(points, key=lambda point: point.strong))]
    return Plot(f"Ranked by {name}", Axis(axis), Axis("accuracy % on the whole set"), series, " ".join(notes))


def architectures(record: Record, scores: MeanScores, shares: Collection[str]) -> Table:
    """Every architecture with all of its scores, the best by the truth first.

    Args:
        shares: the rankings whose scores are accuracies.
    """
    order = scores.get(TRUTH, next(iter(scores.values())))
    names = sorted(record.names, key=lambda name: -float(order.get(name, -np.inf)))
    parameters = {row["name"]: row["parameters"] for row in record.rows}
    sources = [name for name in (TRUTH, *record.sources) if name in scores]
    sources = list(dict.fromkeys(sources))
    rows = []
    for name in names:
        size = parameters.get(name)
        cells = [_score(scores[source], name, source in shares) for source in sources]
        rows.append([Cell(name, key=name), *cells, Cell("–" if size is None else f"{size:,}", size)])
    return Table("Mean over the repeats", ["architecture", *map(_head, sources), "parameters"], rows)


def _head(source: str) -> str:
    return "whole set" if source == TRUTH else source


def _score(values: "pd.Series[float]", name: str, share: bool) -> Cell:
    if name not in values.index:
        return Cell("–")
    value = float(values[name])
    return Cell(f"{100 * value:.1f} %" if share else f"{value:,.6g}".replace("-", "−"), value)


def _evenly(names: list[Any], room: int) -> list[Any]:
    """So many of them as there is room for."""
    step = -(-len(names) // room)
    return names[:: step or 1]


def _folded(record: Record) -> list[Part]:
    sources = [facts_of(facts, f"source {name}") for name, facts in record.sources.items()]
    return [facts_of(record.settings, "settings"), *sources]


def _rho(facts: dict[str, Any]) -> float:
    value = facts.get("spearman")
    return -np.inf if value is None or not np.isfinite(value) else float(value)
