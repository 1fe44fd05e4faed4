"""The summary of a run in words and tables, for people."""

from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from proxyset.progress import duration
from search.sources.trained import TRUTH

WIDTH = 120  # of the tables where there is no terminal to fit
FEW = 10  # architectures under which a bootstrap over them says little


def print_summary(summary: dict[str, Any], console: Console) -> None:
    """The tables, and what to know when reading them."""
    if not console.is_terminal:
        console.width = WIDTH
    console.print(agreement_table(summary))
    console.print(choice_table(summary))
    for line in notes(summary):
        console.print(line, markup=False, highlight=False)


def notes(summary: dict[str, Any]) -> list[str]:
    """A line each: the best architectures, which ranking leads, the noise ceiling, failures, how to read it all."""
    lines = []
    for name, facts in summary["sources"].items():
        if facts.get("promoted"):
            best, k = facts["promoted"], summary["settings"]["promote"]
            lines.append(f"best of {name}'s top {k} on the whole set: {best['best']}, {_percent(best['accuracy'])} %")
    if "best" in summary["truth"]:
        lines.append(f"best on the whole set: {summary['truth']['best']}, {_percent(summary['truth']['accuracy'])} %")
    lines += [lead_in_words(row) for row in summary["leads"]]
    if summary["settings"].get("truth_column"):
        column, file = summary["settings"]["truth_column"], summary["settings"]["truth_file"]
        lines.append(f"the truth is the column {column} of {file}: nothing was trained on the whole set for it")
    if 0 < summary["truth"]["n"] < FEW:
        lines.append(f"only {summary['truth']['n']} architectures were compared: the intervals are rough")
    if len(summary.get("ceiling", [])) > 1:
        moves = ", ".join(f"{_number(row['spearman'])} with {row['repeats']}" for row in summary["ceiling"])
        lines.append(f"noise ceiling (Spearman of the whole set with itself) by repeats: {moves}")
    if summary["errors"]:
        first = summary["errors"][0]
        where = f"{first['name']} by {first['source']}"
        lines.append(f"{len(summary['errors'])} trials failed and are left out, such as {where}: {first['error']}")
    return [
        *lines,
        "[low, high]: 95 % bootstrap interval over architectures. top: the best by the proxy.",
        "accuracy: of the proxy's first choice, trained on the whole set. regret: how far that is below the best.",
        "Equal scores share their mean rank. –: scores are constant, or there is nothing to compare them with.",
    ]


def lead_in_words(row: dict[str, Any]) -> str:
    """Whether one ranking is better than another, with its interval and what can be concluded.

    Args:
        row: first, other, spearman (the difference), low, high, verdict.
    """
    first, other, value = row["first"], row["other"], row["spearman"]
    if row["verdict"] == "unknown":
        return f"{first} and {other}: a ranking is constant, so their ρ cannot be compared."
    interval = f"95 % CI {_number(row['low'])} to {_number(row['high'])}"
    if row["verdict"] == "no difference":
        return f"{first} and {other}: ρ differs by {_number(value)} ({interval}): no significant difference."
    words = {"significant": "significant", "suggestive": "suggestive, not significant"}[row["verdict"]]
    size, direction = (value, "higher") if value > 0 else (-value, "lower")
    return f"{first} against {other}: ρ is {_number(size)} {direction} ({interval}): {words}."


def agreement_table(summary: dict[str, Any]) -> Table:
    """A row per source: rank correlations with the truth."""
    sources = {name: facts for name, facts in summary["sources"].items() if name != TRUTH}
    sizes: dict[str, Any] = next((facts for facts in sources.values() if "n" in facts), {})
    k5, k10, k20 = (sizes.get(f"{label}_k", "?") for label in ("top5", "top10", "top20"))
    table = Table(title=f"rank correlation with training on the whole set, {summary['truth']['n']} architectures")
    columns = ("Spearman, all", "Kendall τ-b, all", f"Spearman, top {k20}", f"top 10 % ({k10})", f"top 5 % ({k5})")
    _columns(table, "ranked by", *columns)
    for name, facts in sources.items():
        table.add_row(
            escape(name),
            _with_interval(facts, "spearman", _number),
            _with_interval(facts, "kendall", _number),
            _with_interval(facts, "spearman_top20", _number),
            _number(facts.get("spearman_top10")),
            _number(facts.get("spearman_top5")),
        )
    return table


def choice_table(summary: dict[str, Any]) -> Table:
    """A row per source: how good its first choice is, and what the ranking cost."""
    truth = summary["truth"]
    k20 = next((facts["top20_k"] for facts in summary["sources"].values() if "top20_k" in facts), "?")
    table = Table(title="first choice and cost")
    _columns(table, "ranked by", "accuracy %", "regret", f"precision@{k20}", "images", "building", "trials")
    for name, facts in summary["sources"].items():
        failed = f", {facts['failed']} failed" if facts["failed"] else ""
        table.add_row(
            escape(name),
            _percent(truth.get("accuracy") if name == TRUTH else facts.get("chosen")),
            "" if name == TRUTH else _with_interval(facts, "regret", _percent),
            _number(facts.get("precision_top20")),
            _images(facts),
            duration(facts["build_seconds"]),
            f"{duration(facts['trial_seconds'])} ({facts['trials']}{failed})",
        )
    return table


def _images(facts: dict[str, Any]) -> str:
    """How many are kept, and how many are trained on where that is another number."""
    kept, trained_on = facts["images"], facts["training_images"]
    return f"{kept:,}" if trained_on == kept else f"{kept:,} ({trained_on:,} trained on)"


def _columns(table: Table, first: str, *others: str) -> None:
    table.add_column(first, no_wrap=True)
    for column in others:
        table.add_column(column, justify="right", no_wrap=True)


def _with_interval(facts: dict[str, float], name: str, show: Callable[[float | None], str]) -> str:
    if name not in facts:
        return "–"
    return f"{show(facts[name])} \\[{show(facts[f'{name}_low'])}, {show(facts[f'{name}_high'])}]"


def _number(value: float | None) -> str:
    """Two decimals with a minus sign."""
    return "–" if value is None or not np.isfinite(value) else f"{value:.2f}".replace("-", "−")


def _percent(value: float | None) -> str:
    return "–" if value is None or not np.isfinite(value) else f"{100 * value:.1f}".replace("-", "−")
