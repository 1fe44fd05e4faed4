"""Tables for the terminal."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import Tensor

from proxyset.artefact.proxy_set import ProxySet
from proxyset.names import clean_name
from proxyset.progress import duration
from proxyset.train.evaluate import Score
from proxyset.train.protocols import describe_protocol

MOST_LETTERS = 10_000  # of one cell


def score_table(rows: Sequence[dict[str, Any]], nets: Sequence[str]) -> list[list[str]]:
    """The rows of `score_all` as lines of cells, titles first: a line per training set, a column per network.

    `images` is what a network sees in an epoch. Where there are several protocols, every line names its own.
    """
    several = len(_protocols(rows)) > 1
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        name = f"{row['name']}, {row['protocol']['protocol']}" if several else row["name"]
        groups.setdefault(name, []).append(row)
    lines = [["training set", "images", "KiB", *nets, "time"]]
    for name, scores in groups.items():
        accuracies = {row["net"]: row["accuracies"] for row in scores}
        cells = [mean_std(accuracies.get(net, [])) for net in nets]
        size = [f"{scores[0]['images']:,}", f"{scores[0]['bytes'] / 1024:,.1f}"]
        lines.append([name, *size, *cells, duration(sum(row["seconds"] for row in scores))])
    files = {row["name"]: row.get("work") for row in rows if row["file"]}
    if len(files) > 1 and len(set(files.values())) == 1 and not several:  # they differ in nothing but their seed
        pooled = [[a for row in rows if row["file"] and row["net"] == net for a in row["accuracies"]] for net in nets]
        lines.append([f"all {len(files)} sets", "", "", *map(mean_std, pooled), ""])
    return lines


def title_of(rows: Sequence[dict[str, Any]]) -> str:
    """Which protocol the scores of a table are of, as that of the first row; all of them where there are several."""
    names = _protocols(rows)
    return f"protocol {describe_protocol(rows[0]['protocol'])}" if len(names) == 1 else f"protocols {', '.join(names)}"


def _protocols(rows: Sequence[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row["protocol"]["protocol"] for row in rows))


def print_scores(rows: Sequence[dict[str, Any]], nets: Sequence[str]) -> None:
    """`score_table` on stderr."""
    head, *lines = score_table(rows, nets)
    protocol = clean_name(title_of(rows), longest=MOST_LETTERS)
    table = Table(title=Text(f"test accuracy %, mean ± std over networks (n)\n{protocol}"))
    for number, title in enumerate(head):
        table.add_column(_text(title), justify="right" if number else "left")
    for line in lines:
        table.add_row(*map(_text, line))
    Console(stderr=True).print(table)


def print_fair(rows: Sequence[dict[str, Any]]) -> None:
    """The rows of `fair_scores` on stderr."""
    table = Table(title=Text("DD-Ranking, in points of accuracy; LRS and ARS in 0..1"))
    heads = ("training set", "network", "KiB", "HLR ↓", "over random", "over as many", "LRS", "ARS")
    for number, title in enumerate(heads):
        table.add_column(_text(title), justify="right" if number > 1 else "left")
    for row in rows:
        points = [f"{100 * row[name]:+.1f}" for name in ("hlr", "ior", "over_as_many")]
        shares = [f"{row[name]:.3f}" for name in ("lrs", "ars")]
        table.add_row(*map(_text, (row["name"], row["net"], f"{row['bytes'] / 1024:,.1f}", *points, *shares)))
    Console(stderr=True).print(table)


def mean_std(accuracies: Sequence[float]) -> str:
    """Accuracies of networks, 0..1, as `83.4 ± 1.8 (5)`: mean and standard deviation in %, and how many; – of none."""
    if not accuracies:
        return "–"
    return f"{100 * np.mean(accuracies):.1f} ± {100 * np.std(accuracies):.1f} ({len(accuracies)})"


def _text(words: str, longest: int = 80) -> Text:
    """Words of other people: no control characters, and no markup ("[red]")."""
    return Text(clean_name(words, longest=longest))


def print_provenance(proxy: ProxySet) -> None:
    """What a proxy set is and how it scored, on stdout."""
    table = Table(show_header=False)
    for name, words in describe_set(proxy):
        table.add_row(_text(name), _text(words, MOST_LETTERS))
    scores = proxy.provenance.get("scores", [])
    for result in scores:
        epochs = result.get("epochs", result["protocol"]["epochs"])
        score = Score(result["net"], tuple(result["accuracies"]), result["seconds"])
        how = f"{epochs} epochs, protocol {describe_protocol(result['protocol'])}{on_test_images(result, scores)}"
        words = f"{clean_name(score.net)}, {how}: {mean_std(score.accuracies)}, {duration(score.seconds)}"
        table.add_row("score", _text(words, MOST_LETTERS))
    Console().print(table)


def on_test_images(score: Mapping[str, Any], others: Iterable[Mapping[str, Any]]) -> str:
    """Words that tell on which test images a score is, where others are on different ones; empty where none is."""
    if len({other.get("test_sha256") for other in others}) < 2:
        return ""
    which = score.get("test_sha256")
    return f", on test images {which[:8]}" if which else ", on test images of which nothing is known"


def describe_set(proxy: ProxySet) -> list[tuple[str, str]]:
    """Names and values of all that a proxy set says of itself, but for its scores."""
    facts, rows = proxy.provenance, _describe_size(proxy)
    if proxy.data.targets is not None:
        rows.append(("soft targets", _describe_targets(proxy.data.targets, proxy.data.labels)))
    rows.append(("classes", ", ".join(map(clean_name, proxy.spec.class_names))))
    for name, value in facts.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {item}" for key, item in value.items())
        if name not in ("scores", "keep_as", "bytes"):
            rows.append((name, str(value)))
    return rows


def _describe_size(proxy: ProxySet) -> list[tuple[str, str]]:
    """How many images a set holds, how many a network trains on, and what it takes in a file, for people."""
    spec, f = proxy.spec, proxy.data.formation
    shape = f"{spec.channels}×{spec.size}×{spec.size}"
    tiles = f" of {f}×{f} tiles" if f > 1 else ""
    enlarged = ", each tile at full size" if f > 1 else ""
    return [
        ("stored images", f"{len(proxy.data)} ({proxy.ipc} per class), {shape}{tiles}"),
        ("training images", f"{proxy.data.trained_on}{enlarged}"),
        ("bytes", f"{proxy.nbytes:,} as {proxy.keep_as}"),
    ]


def _describe_targets(targets: Tensor, labels: Tensor) -> str:
    """Of N×classes, or N×f²×classes for the tiles of a formation."""
    answers = targets.flatten(0, -2)
    agree = answers.argmax(1) == labels.repeat_interleave(len(answers) // len(labels))
    certain = answers.max(1).values.mean().item()
    return f"highest {certain:.2f} on average; {agree.float().mean():.0%} have it at the image's class"
