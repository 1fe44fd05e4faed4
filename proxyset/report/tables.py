"""Tables for the terminal."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from proxyset.artefact.proxy_set import ProxySet
from proxyset.names import clean_name
from proxyset.progress import duration
from proxyset.train.evaluate import Score

MOST_LETTERS = 10_000  # of one cell


def score_table(rows: Sequence[dict[str, Any]], nets: Sequence[str]) -> list[list[str]]:
    """The rows of `score_all` as lines of cells, titles first: a line per training set, a column per network."""
    names = list(dict.fromkeys(row["name"] for row in rows))
    files = list(dict.fromkeys(row["name"] for row in rows if row["file"]))
    lines = [["training set", *nets, "time"]]
    for name in names:
        scores = [row for row in rows if row["name"] == name]
        cells = [_cell(row["accuracies"]) for row in scores]
        lines.append([name, *cells, duration(sum(row["seconds"] for row in scores))])
    if len(files) > 1:
        pooled = [[a for row in rows if row["file"] and row["net"] == net for a in row["accuracies"]] for net in nets]
        lines.append([f"all {len(files)} sets", *(_cell(accuracies) for accuracies in pooled), ""])
    return lines


def print_scores(rows: Sequence[dict[str, Any]], nets: Sequence[str]) -> None:
    """`score_table` on stderr."""
    head, *lines = score_table(rows, nets)
    table = Table(title="test accuracy %, mean ± std over networks (n)")
    for number, title in enumerate(head):
        table.add_column(_text(title), justify="right" if number else "left")
    for line in lines:
        table.add_row(*map(_text, line))
    Console(stderr=True).print(table)


def _cell(accuracies: Sequence[float]) -> str:
    return f"{100 * np.mean(accuracies):.1f} ± {100 * np.std(accuracies):.1f} ({len(accuracies)})"


def _text(words: str, longest: int = 80) -> Text:
    """Words of other people: no control characters, and no markup ("[red]")."""
    return Text(clean_name(words, longest=longest))


def print_provenance(proxy: ProxySet) -> None:
    """What a proxy set is and how it scored, on stdout."""
    table = Table(show_header=False)
    spec, facts = proxy.spec, proxy.provenance
    table.add_row("images", f"{len(proxy.data)} ({proxy.ipc} per class), {spec.channels}×{spec.size}×{spec.size}")
    if proxy.data.targets is not None:
        certain = proxy.data.targets.max(1).values.mean().item()
        agree = (proxy.data.targets.argmax(1) == proxy.data.labels).float().mean().item()
        table.add_row("soft targets", f"highest {certain:.2f} on average; {agree:.0%} have it at the image's class")
    table.add_row("classes", _text(", ".join(clean_name(name) for name in spec.class_names), MOST_LETTERS))
    for name, value in facts.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {item}" for key, item in value.items())
        if name != "scores":
            table.add_row(_text(name), _text(str(value), MOST_LETTERS))
    for result in facts.get("scores", []):
        epochs = result["protocol"]["epochs"]
        score = Score(result["net"], tuple(result["accuracies"]), result["seconds"])
        facts_of_score = f"{epochs} epochs: {_cell(score.accuracies)}, {duration(score.seconds)}"
        table.add_row("score", _text(f"{clean_name(score.net)}, {facts_of_score}", MOST_LETTERS))
    Console().print(table)
