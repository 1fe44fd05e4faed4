"""The summary of a run in words and tables, for people."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from proxyset.progress import duration
from search.finals import command_to_keep, network_path
from search.records import WITHIN
from search.sources.trained import AGAIN, TRUTH

WIDTH = 120  # of the tables where there is no terminal to fit
FEW = 10  # architectures under which a bootstrap over them says little


def print_summary(summary: dict[str, Any], console: Console, run: Path = Path("RUN")) -> None:
    """The tables, what to know when reading them, the verdicts, and what to do now.

    Args:
        run: the run's folder, for the commands that are named.
    """
    if not console.is_terminal:
        console.width = WIDTH
    tables = (choice_table(summary), cost_table(summary))
    for table in (trust_table(summary), *tables) if summary["truth"]["n"] else tables:
        console.print(table)
    for line in [*notes(summary), *ending(summary, run)]:
        console.print(line, markup=False, highlight=False)


def notes(summary: dict[str, Any]) -> list[str]:
    """A line each: the best architectures, which ranking leads, the noise ceiling, failures, how to read it all."""
    lines = []
    k = summary["settings"]["promote"]
    for name, facts in summary["sources"].items():
        if facts.get("promoted") and (k > 1 or not summary["finals"]):  # the best of one is in the table
            best = facts["promoted"]
            where = "tested" if summary["finals"] else "on the whole set"
            lines.append(f"best of {name}'s top {k}, {where}: {best['best']}, {_percent(best['accuracy'])} %")
    if "best" in summary["truth"]:
        lines.append(f"best on the whole set: {summary['truth']['best']}, {_percent(summary['truth']['accuracy'])} %")
    for name, facts in summary["sources"].items():
        if "halving" in facts:
            full = facts["halving"]
            lines.append(f"{name} and {full['of']} order the architectures alike with ρ {_number(full['spearman'])}")
    lines += [lead_in_words(row) for row in summary["leads"]]
    if summary["settings"].get("truth_column"):
        column, file = summary["settings"]["truth_column"], summary["settings"]["truth_file"]
        lines.append(f"the truth is the column {column} of {file}: nothing was trained on the whole set for it")
    lines += missing(summary)
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
        "[low, high]: 95 % bootstrap interval over architectures. by it: by the ranking itself. whole-again: the noise "
        "ceiling.",
        f"accuracy: of the first choice, trained on the whole set, on the {_judge(summary)} images. regret: how far "
        "that is below the best. tested: the same architecture, trained in the end and kept, on the test images.",
        "Equal scores share their mean rank. –: scores are constant, or there is nothing to compare them with.",
    ]


def missing(summary: dict[str, Any]) -> list[str]:
    """What is not there to hold a ranking against, and what would bring it."""
    if not summary["truth"]["n"]:
        return ["no verdict: nothing was trained on the whole set to compare with (truth=sample:20)"]
    there = summary["sources"]
    lines = []
    if AGAIN not in there:
        lines.append("no noise ceiling: `whole` among the proxies trains the whole set again, under another seed")
    if not any(facts["free"] for facts in there.values()):
        lines.append("no free rankings beside it: free=False left them out")
    return lines


def ending(summary: dict[str, Any], run: Path) -> list[str]:
    """The verdicts, the network that was found, and how to use it or how to get one."""
    lines = [f"verdict on {row['name']}: {row['grade']}: {row['why']}" for row in summary["verdicts"]]
    best, where = summary["found"], shlex.quote(str(run))
    if best:
        chosen = f" (by validation, {_percent(best['validation'])} %)" if best["validation"] is not None else ""
        lines.append(f"best found: {best['name']}{chosen}, test accuracy {_percent(best['test'])} %")
        lines.append(f"its weights: {network_path(run, best['name'])}")
        lines.append(f"to use it: search predict {where} PICTURE, or search export {where}")
        return lines
    first = next((name for name in summary["sources"] if "choice" in summary["sources"][name]), None)
    if first is not None:
        lines.append(f"best by {first}: {summary['sources'][first]['choice']}; its weights are not kept")
        lines.append(f"to train, test and keep it: {command_to_keep(run, summary['settings'].get(WITHIN))}")
    return lines


def _judge(summary: dict[str, Any]) -> str:
    """Which images ranked."""
    return "validation" if summary["settings"].get("validation") else "test"


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


def trust_table(summary: dict[str, Any]) -> Table:
    """A row per source: how its order agrees with the truth, over all architectures and over the best."""
    sizes = _sizes(summary)
    table = Table(title=f"rank correlation with training on the whole set, {summary['truth']['n']} architectures")
    k, k5 = (sizes.get(f"{label}_k", "?") for label in ("best", "top5"))
    columns = ("Spearman ρ, all", f"ρ, best {k} by truth", f"ρ, best {k} by it", f"top 5 % ({k5})", "Kendall τ-b")
    _columns(table, "ranked by", *columns)
    for name, facts in _rankings(summary).items():
        table.add_row(
            escape(name),
            *(_with_interval(facts, f"spearman{part}", _number) for part in ("", "_best_by_truth", "_best")),
            _number(facts.get("spearman_top5")),
            _number(facts.get("kendall")),
        )
    return table


def choice_table(summary: dict[str, Any]) -> Table:
    """A row per source: its first choice, how good that is, and how it did in the end where it was kept."""
    truth, tested = summary["truth"], any("test" in facts for facts in summary["sources"].values())
    k20, count = _sizes(summary).get("top20_k", 0), truth["n"]
    precise = 0 < k20 < count  # among all architectures, all are found
    table = Table(title="first choice")
    more = [f"precision@{k20}"] * precise + ["tested %"] * tested
    _columns(table, "ranked by", "architecture", "accuracy %", "regret", *more, left=2)
    for name, facts in summary["sources"].items():
        cells = [escape(name), escape(facts.get("choice", "–"))]
        cells.append(_percent(truth.get("accuracy") if name == TRUTH else facts.get("chosen")))
        cells.append("" if name == TRUTH else _with_interval(facts, "regret", _percent))
        if precise:
            cells.append(_number(facts.get("precision_top20")))
        if tested:
            cells.append(_percent(facts.get("test")))
        table.add_row(*cells)
    return table


def cost_table(summary: dict[str, Any]) -> Table:
    """A row per source: what its ranking cost."""
    table = Table(title="cost")
    _columns(table, "ranked by", "images", "building", "trials")
    for name, facts in summary["sources"].items():
        failed = f", {facts['failed']} failed" if facts["failed"] else ""
        trials = f"{duration(facts['trial_seconds'])} ({facts['trials']}{failed})"
        table.add_row(escape(name), _images(facts), duration(facts["build_seconds"]), trials)
    return table


def _rankings(summary: dict[str, Any]) -> dict[str, Any]:
    return {name: facts for name, facts in summary["sources"].items() if name != TRUTH}


def _sizes(summary: dict[str, Any]) -> dict[str, Any]:
    """The facts of a source that was compared with a truth: they have the counts."""
    return next((facts for facts in _rankings(summary).values() if "n" in facts), {})


def _images(facts: dict[str, Any]) -> str:
    """How many are kept, and how many are trained on where that is another number."""
    kept, trained_on = facts["images"], facts["training_images"]
    return f"{kept:,}" if trained_on == kept else f"{kept:,} ({trained_on:,} trained on)"


def _columns(table: Table, *names: str, left: int = 1) -> None:
    """Columns of which the first `left` hold words."""
    for number, name in enumerate(names):
        table.add_column(name, justify="left" if number < left else "right", no_wrap=True)


def _with_interval(facts: dict[str, float], name: str, show: Callable[[float | None], str]) -> str:
    if name not in facts:
        return "–"
    return f"{show(facts[name])} \\[{show(facts[f'{name}_low'])}, {show(facts[f'{name}_high'])}]"


def _number(value: float | None) -> str:
    """Two decimals with a minus sign."""
    return "–" if value is None or not np.isfinite(value) else f"{value:.2f}".replace("-", "−")


def _percent(value: float | None) -> str:
    return "–" if value is None or not np.isfinite(value) else f"{100 * value:.1f}".replace("-", "−")
