"""Proxy sets and baselines scored side by side, and the tables that show it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from proxyset.data import Dataset, ImageSet
from proxyset.engine import plan, resolve_device
from proxyset.evaluation import Evaluation, Score, evaluate
from proxyset.methods import METHODS
from proxyset.progress import ProgressLine, duration
from proxyset.proxy import ProxySet
from proxyset.seeds import make_generator
from proxyset.settings import Compute, InputError, nearest


@dataclass(frozen=True)
class Contender:
    """One row of a comparison: a training set, or a function from a network's number to its own."""

    name: str
    train: ImageSet | Callable[[int], ImageSet]
    file: Path | None = None  # where its scores are kept
    epochs: int | None = None  # in place of the protocol's


def check_baselines(names: Sequence[str]) -> None:
    """Raise `InputError` for a baseline that is neither `whole` nor a method that picks real images."""
    known = [*(name for name, method in METHODS.items() if method.picks_real), "whole"]
    for name in names:
        if name not in known:
            raise InputError(f"unknown baseline {name!r}: {nearest(name, known)}")


def contenders(
    proxies: dict[str, ProxySet],
    baselines: Sequence[str],
    dataset: Dataset,
    seed: int,
    compute: Compute,
    whole_epochs: int,
) -> list[Contender]:
    """The proxy sets, and each baseline at each of their images per class."""
    alike = len({Path(name).stem for name in proxies}) < len(proxies)  # the same name in two folders
    entries = [Contender(name if alike else Path(name).stem, proxy.data, Path(name)) for name, proxy in proxies.items()]
    for name in baselines:
        if name == "whole":
            entries.append(Contender("whole", dataset.train, epochs=whole_epochs))
            continue
        for ipc in sorted({proxy.ipc for proxy in proxies.values()}):
            entries.append(Contender(f"{name} ipc{ipc}", _baseline(name, ipc, dataset, seed, compute)))
    return entries


def _baseline(
    name: str, ipc: int, dataset: Dataset, seed: int, compute: Compute
) -> ImageSet | Callable[[int], ImageSet]:
    """A coreset; `random` is drawn anew for every network, so that its spread is over draws too."""
    method = METHODS[name]()
    method.check(dataset.train, dataset.spec, ipc)

    def pick(number: int) -> ImageSet:
        generator = make_generator(seed, "baseline", name, number)
        return method.condense(dataset.train, dataset.spec, ipc, generator=generator, engine=plan(compute))

    return pick if name == "random" else pick(0)


def score_all(
    entries: Sequence[Contender],
    nets: Sequence[str],
    dataset: Dataset,
    protocol: Evaluation,
    seed: int,
    compute: Compute,
) -> list[dict[str, Any]]:
    """Score every contender with every network, keep the scores in the artefacts as they come, print the table."""
    rows = []
    for entry in entries:
        settings = protocol.model_copy(update={"epochs": entry.epochs or protocol.resolved_epochs()})
        for net in nets:
            line = ProgressLine(f"{entry.name} on {net}")
            score = evaluate(
                entry.train,
                dataset.test,
                dataset.spec,
                settings,
                net=net,
                seed=seed,
                compute=compute,
                progress=line,
            )
            line.close()
            result = score.to_dict() | {
                "protocol": settings.model_dump(),
                "seed": seed,
                "device": resolve_device(compute.device).type,
            }
            if entry.file is not None:
                ProxySet.load(entry.file).with_scores([result]).save(entry.file)
            rows.append({"name": entry.name, "file": str(entry.file) if entry.file else None, **result})
    _print_scores(rows, nets)
    return rows


def _print_scores(rows: Sequence[dict[str, Any]], nets: Sequence[str]) -> None:
    table = Table(title="test accuracy %, mean ± std over networks (n)")
    table.add_column("training set")
    for net in nets:
        table.add_column(net, justify="right")
    table.add_column("time", justify="right")
    names = list(dict.fromkeys(row["name"] for row in rows))
    files = list(dict.fromkeys(row["name"] for row in rows if row["file"]))
    for name in names:
        own = [row for row in rows if row["name"] == name]
        table.add_row(name, *(_cell(row["accuracies"]) for row in own), duration(sum(row["seconds"] for row in own)))
    if len(files) > 1:
        pooled = [[a for row in rows if row["file"] and row["net"] == net for a in row["accuracies"]] for net in nets]
        table.add_row(f"all {len(files)} sets", *(_cell(accuracies) for accuracies in pooled), "")
    Console(stderr=True).print(table)


def _cell(accuracies: Sequence[float]) -> str:
    return f"{100 * np.mean(accuracies):.1f} ± {100 * np.std(accuracies):.1f} ({len(accuracies)})"


def print_provenance(proxy: ProxySet) -> None:
    """What a proxy set is and how it scored, on stdout."""
    table = Table(show_header=False)
    spec, facts = proxy.spec, proxy.provenance
    table.add_row("images", f"{len(proxy.data)} ({proxy.ipc} per class), {spec.channels}×{spec.size}×{spec.size}")
    table.add_row("classes", ", ".join(spec.class_names))
    for name, value in facts.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {item}" for key, item in value.items())
        if name != "scores":
            table.add_row(name, str(value))
    for result in facts.get("scores", []):
        epochs = result["protocol"]["epochs"]
        score = Score(result["net"], tuple(result["accuracies"]), result["seconds"])
        table.add_row("score", f"{score.net}, {epochs} epochs: {_cell(score.accuracies)}, {duration(score.seconds)}")
    Console().print(table)
