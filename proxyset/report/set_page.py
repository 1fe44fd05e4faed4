"""The page of a proxy set, or of several beside each other."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from proxyset.artefact.proxy_set import ProxySet
from proxyset.artefact.trace import read_rows
from proxyset.progress import duration
from proxyset.report.page import Page, Section
from proxyset.report.parts import Cell, Facts, Part, Table, Words
from proxyset.report.plots import Axis, Plot, Point, Series
from proxyset.report.set_images import gallery, slider
from proxyset.report.tables import describe_set, mean_std, on_test_images
from proxyset.train.protocols import describe_protocol

NO_SETTING = ("settings", "scores", "trace", "created", "seconds", "peak_memory_bytes")
Sets = Mapping[str, ProxySet]
"""Proxy sets by what they are called on the page."""


def set_page(files: Mapping[str, Path], proxies: Sets) -> Page:
    """What is known of some sets, from their files.

    Args:
        files: where each set is; what a trace kept lies beside it.
        proxies: at least one, by the same names.
    """
    several = len(proxies) > 1
    names = " and ".join(proxies) if len(proxies) <= 3 else f"{len(proxies)} proxy sets"
    sentence = " ".join(describe(proxy, name if several else "") for name, proxy in list(proxies.items())[:5])
    return Page(
        names if several else title_of(next(iter(proxies.values()))),
        sentence,
        [
            Section("Images", [one for group in _alike(proxies) for one in _images(group, len(_alike(proxies)) > 1)]),
            Section("Scores", scores(proxies)),
            Section("Condensation", [one for name in proxies for one in _condensation(files[name], proxies, name)]),
            Section("Settings that differ", differing(proxies) if several else []),
            Section("Settings and provenance", [Facts(name, describe_set(proxy)) for name, proxy in proxies.items()]),
        ],
    )


def title_of(proxy: ProxySet) -> str:
    return f"{proxy.spec.name}: {method_of(proxy)}, {proxy.ipc} per class"


def method_of(proxy: ProxySet) -> str:
    return str(proxy.provenance.get("method") or "unknown method")


def describe(proxy: ProxySet, name: str = "") -> str:
    """What was done, in one sentence: from how many images to how many, by what, how long it took, how it scored.

    Args:
        name: which set it is, where there are several.
    """
    facts = proxy.provenance
    real = facts.get("dataset", {}).get("images")
    of = f"{real:,} images of {proxy.spec.name}" if real else f"Images of {proxy.spec.name}"
    tiles = f" of {proxy.data.formation}×{proxy.data.formation} tiles" if proxy.data.formation > 1 else ""
    took = f" in {duration(facts['seconds'])}" if "seconds" in facts else ""
    made = f"{of} became {len(proxy.data):,}{tiles}, {proxy.ipc} of each of {proxy.spec.classes} classes, "
    made += f"by {method_of(proxy)}{took}"
    if not facts.get("scores"):
        done = "; it has not been scored yet"
    else:
        score = max(facts["scores"], key=lambda score: len(score["accuracies"]))  # not the best: that would be luck
        n, accuracies = len(score["accuracies"]), score["accuracies"]
        who = f"{n} fresh {score['net']} networks" if n > 1 else f"a fresh {score['net']} network"
        spread = f" ± {100 * np.std(accuracies):.1f}" if n > 1 else ""
        share = f"{100 * np.mean(accuracies):.1f}{spread} %"
        done = f"; {who}, trained on these alone, reach{'' if n > 1 else 'es'} {share} on the test images"
        done += f" (protocol {describe_protocol(score['protocol'])})"
    return f"{name}: {made}{done}." if name else f"{made}{done}."


def scores(proxies: Sets) -> list[Part]:
    """All scores as a table, and the accuracy of every trained network as a point."""
    rows, points = [], []
    for place, (name, proxy) in enumerate(proxies.items()):
        kept = proxy.provenance.get("scores", [])
        for score in kept:
            cells = score_cells(score, kept)
            size = [Cell(f"{proxy.data.trained_on:,}"), Cell(f"{proxy.nbytes / 1024:,.1f}", proxy.nbytes)]
            rows.append([Cell(name), *cells[:3], *size, *cells[3:]])
            points += [
                Point(place, 100 * accuracy, f"{name}, {score['net']}, network {number + 1}: {100 * accuracy:.1f} %")
                for number, accuracy in enumerate(score["accuracies"])
            ]
    if not rows:
        return [Words(["Not scored yet: proxyset eval does that, and keeps the scores in the file."])]
    head = ["set", "network", "protocol", "device", "training images", "KiB", "accuracy % (n)", "time"]
    table = Table("Test accuracy in %, mean ± standard deviation over networks (n)", head, rows, labels=4)
    ticks = [(place, name if len(name) <= 16 else f"{name[:15]}…") for place, name in enumerate(proxies)]
    if len(proxies) > 4:
        ticks = [(place, str(place + 1)) for place in range(len(proxies))]
    plot = Plot("Every network", Axis("set", ticks), Axis("test accuracy %"), [Series("networks", points)])
    return [table, plot]


def score_cells(score: Mapping[str, Any], others: Iterable[Mapping[str, Any]] = ()) -> list[Cell]:
    """Network, protocol, device, accuracy and time of a score as a set keeps it.

    Args:
        others: from which its test images are told apart.
    """
    seconds = float(score["seconds"])
    return [
        Cell(str(score["net"])),
        Cell(describe_protocol(score["protocol"]) + on_test_images(score, others)),
        Cell(str(score.get("device", ""))),
        Cell(mean_std(score["accuracies"]), float(np.mean(score["accuracies"]))),
        Cell(duration(seconds), seconds),
    ]


def differing(proxies: Sets) -> list[Part]:
    """What two sets do not have in common: of their settings, and of how they were made."""
    flat = [_flat(proxy) for proxy in proxies.values()]
    names = [name for name in dict.fromkeys(name for one in flat for name in one) if _distinct(name, flat)]
    rows = [[Cell(name), *(Cell(one.get(name, "–")) for one in flat)] for name in names]
    caption = "What is the same in all sets is left out" if rows else ""
    if not rows:
        return [Words(["All settings are the same."])]
    return [Table(caption, ["setting", *proxies], rows, labels=1 + len(proxies))]


def _flat(proxy: ProxySet) -> dict[str, str]:
    """Provenance with the settings of the method beside the rest."""
    facts = {name: value for name, value in proxy.provenance.items() if name not in NO_SETTING}
    return {name: str(value) for name, value in (facts | proxy.provenance.get("settings", {})).items()}


def _distinct(name: str, flat: Sequence[Mapping[str, str]]) -> bool:
    return len({one.get(name) for one in flat}) > 1


def _alike(proxies: Sets) -> list[dict[str, ProxySet]]:
    """The sets in groups that have the same classes."""
    groups: dict[tuple[str, ...], dict[str, ProxySet]] = {}
    for name, proxy in proxies.items():
        groups.setdefault(proxy.spec.class_names, {})[name] = proxy
    return list(groups.values())


def _images(group: dict[str, ProxySet], named: bool) -> list[Part]:
    return [*([Words([", ".join(group)])] if named else []), gallery(group)]


def _condensation(file: Path, proxies: Sets, name: str) -> list[Part]:
    """How a set came to be, as far as that was kept: accuracy over time, and its images."""
    proxy = proxies[name]
    return [*_accuracy_over_time(proxy, name if len(proxies) > 1 else ""), *slider(file, proxy)]


def _accuracy_over_time(proxy: ProxySet, name: str) -> list[Part]:
    rows = read_rows(proxy.provenance.get("trace", []))
    if not rows:
        return []
    points = [
        Point(max(0.1, row["seconds"]), 100 * row["accuracy"], f"{row['iteration']:g} iterations, {_percent(row)}")
        for row in rows
    ]
    title = f"{name}: students on held-out training images" if name else "Students on held-out images"
    time, accuracy = Axis("time for learning", log=True), Axis("accuracy %")
    return [Plot(title, time, accuracy, [Series(method_of(proxy), points, line=True)])]


def _percent(row: Mapping[str, Any]) -> str:
    return f"{duration(row['seconds'])}: {100 * row['accuracy']:.1f} %"
