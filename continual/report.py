"""Results in words and tables."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from continual.experiment import RESULTS
from continual.metrics import DEFINITIONS
from proxyset.progress import duration
from proxyset.settings import InputError

# Figure 3 of the paper: SVHN → MNIST → USPS, 10 images per class, accuracy % after T3 (DSA with KD: off the plot).
PAPER_TASKS = ["svhn", "mnist", "usps"]
PAPER = {
    ("herding", False): "90.7",
    ("dc", False): "93.0",
    ("dsa", False): "94.4",
    ("herding", True): "94.5",
    ("dc", True): "95.2",
    ("dsa", True): "about 95.5",
}


def read_runs(folder: Path) -> list[dict[str, Any]]:
    """The results in a folder of `continual run`, or all of those in a folder of `continual compare`.

    Raises:
        InputError: there are none.
    """
    files = [folder / RESULTS] if (folder / RESULTS).exists() else sorted(folder.glob(f"*/{RESULTS}"))
    if not files:
        raise InputError(f"no results in {str(folder)!r}: give the folder of a finished `continual run` or `compare`")
    try:
        runs = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the results in {str(folder)!r} ({error})") from None
    return sorted(runs, key=lambda run: (run["memory"], run["kd"], run["seed"]))


def aggregate(runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row per memory and distillation, in the order in which they come: the metrics of all its seeds."""
    rows: dict[tuple[str, bool], dict[str, Any]] = {}
    for run in runs:
        row = rows.setdefault((run["memory"], run["kd"]), {"memory": run["memory"], "kd": run["kd"]})
        for metric in ("seed", "average", "pooled", "average_incremental", "forgetting", "backward_transfer"):
            row.setdefault(metric, []).append(run[metric])
        row.setdefault("kept", []).append(run["memory_kept"])
        row.setdefault("seconds", []).append(run["seconds"])
    return list(rows.values())


def print_report(runs: Sequence[dict[str, Any]]) -> None:
    """What was learned, which choices were made, and the tables of all runs, on stdout."""
    console = Console(markup=False, highlight=False, soft_wrap=True)
    first = runs[0]
    stream, learning = first["stream"], first["learning"]
    shape = f"{stream['channels']}×{stream['size']}×{stream['size']}"
    console.print(f"{stream['name']}: {stream['kind']}, {shape}, each task normalised by its own mean and std")
    for place, task in enumerate(stream["tasks"]):
        classes = ", ".join(task["classes"])
        counts = f"{task['train']} training and {task['test']} test images"
        console.print(f"  T{place + 1} {task['name']}: {counts}, classes {classes}")
    amount = " ".join(f"{name} {value}" for name, value in first["budget"].items())
    console.print(f"memory: {amount} (ipc counts images per class of every task)")
    console.print(f"{first['choices']}; {learning['net']}, {learning['epochs']} epochs, lr {learning['lr']}")
    wide = Console(width=max(console.width, 120), markup=False, highlight=False)
    wide.print(_stages(runs))
    wide.print(_measures(runs))
    if len(runs) == 1:
        wide.print(_matrix(first))
    for name, words in DEFINITIONS.items():
        console.print(f"{name.replace('_', ' ')}: {words}")


def _stages(runs: Sequence[dict[str, Any]]) -> Table:
    tasks = [task["name"] for task in runs[0]["stream"]["tasks"]]
    paper = tasks == PAPER_TASKS and runs[0]["budget"] == {"ipc": 10}
    table = Table(title="average accuracy % on the tasks seen so far, mean ± std over seeds (n)")
    table.add_column("memory")
    for stage in range(len(tasks)):
        table.add_column(f"after T{stage + 1}", justify="right")
    table.add_column("n")
    if paper:
        table.add_column("paper, T3", justify="right")
    for row in aggregate(runs):
        cells = [_cell([average[stage] for average in row["average"]]) for stage in range(len(tasks))]
        cells += [str(len(row["seed"])), *([PAPER.get((row["memory"], row["kd"]), "")] if paper else [])]
        table.add_row(_name(row), *cells)
    return table


def _measures(runs: Sequence[dict[str, Any]]) -> Table:
    table = Table("memory", title="after the last task (accuracies and differences in %), and what the memory takes")
    for name in ("pooled", "incremental", "forgetting", "backward", "images", "KiB", "made in", "run in"):
        table.add_column(name, justify="right")
    for row in aggregate(runs):
        cells = [_cell([pooled[-1] for pooled in row["pooled"]])]
        cells += [_cell(row[name]) for name in ("average_incremental", "forgetting", "backward_transfer")]
        kept = row["kept"][0]
        made = float(np.mean([memory["seconds"] for memory in row["kept"]]))
        cells += [str(kept["images"]), f"{kept['bytes'] / 1024:.1f}", duration(made)]
        table.add_row(_name(row), *cells, duration(float(np.mean(row["seconds"]))))
    return table


def _matrix(run: dict[str, Any]) -> Table:
    places = range(len(run["matrix"]))
    table = Table("", *(f"T{place + 1}" for place in places), title="test accuracy % on each task")
    for stage, row in enumerate(run["matrix"]):
        cells = ("" if value is None else f"{100 * value:.1f}" for value in row)
        table.add_row(f"after T{stage + 1}", *cells)
    return table


def _name(row: dict[str, Any]) -> str:
    return str(row["memory"]) + (" + KD" if row["kd"] else "")


def _cell(values: Sequence[float]) -> str:
    mean = f"{100 * np.mean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ± {100 * np.std(values):.1f}"
