"""Results in words and tables."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from continual.choose import short_names, split_memory
from continual.folder import CURVES, SUMMARY, TABLE
from continual.metrics import DEFINITIONS
from continual.results import StreamResult, to_csv
from continual.settings import USUAL
from proxyset.files import write_atomic
from proxyset.names import clean_name
from proxyset.progress import duration

# Figure 3 of the paper: SVHN → MNIST → USPS, 10 images per class, accuracy % after T3 (DSA with KD: off the plot).
PAPER_TASKS = ("svhn", "mnist", "usps")
PAPER = {
    ("herding", False): "90.7",
    ("dc", False): "93.0",
    ("dsa", False): "94.4",
    ("herding", True): "94.5",
    ("dc", True): "95.2",
    ("dsa", True): "about 95.5",
}
LONGEST_LINE = 10_000
METRICS = ("average", "pooled", "average_incremental", "forgetting", "backward_transfer")


def aggregate(results: Sequence[StreamResult]) -> list[dict[str, Any]]:
    """One row per memory and distillation, in the order in which they come: the metrics of all its seeds, and a short
    `label`.
    """
    rows: dict[tuple[str, bool], dict[str, Any]] = {}
    names = short_names(memories_of(results))
    for result in results:
        label = clean_name(names[result["memory"]]) + (" + KD" if result["kd"] else "")
        key = {"memory": result["memory"], "kd": result["kd"], "label": label}
        row = rows.setdefault((result["memory"], result["kd"]), key)
        for metric in ("seed", *METRICS, "memory_kept", "seconds"):
            row.setdefault(metric, []).append(result[metric])
    return list(rows.values())


def memories_of(results: Sequence[StreamResult]) -> list[str]:
    """What the memories of some results are called, each once."""
    return list(dict.fromkeys(result["memory"] for result in results))


def write_summary(results: Sequence[StreamResult], folder: Path) -> None:
    """summary.json and results.csv of all results, and curves.png: the paper's Figure 3."""
    from continual.figures import save_curves

    first, rows = results[0], aggregate(results)
    seeds = len({result["seed"] for result in results})
    budget = ", ".join(f"{name} {value}" for name, value in first["budget"].items())
    title = f"{first['stream']['name']} · {first['learning']['net']} · {budget} · {seeds} seed{'s' * (seeds > 1)}"
    save_curves(rows, first.tasks, title, folder / CURVES)
    write_atomic(folder / TABLE, to_csv(results))
    summary = {"rows": rows, "choices": choices_of(results), "stream": first["stream"]}
    write_atomic(folder / SUMMARY, json.dumps(summary, indent=1).encode())


def print_report(results: Sequence[StreamResult]) -> None:
    """What was learned, which choices were made, and the tables of all results, on stdout."""
    console = Console(markup=False, highlight=False, soft_wrap=True)
    for line in (*_words(results), *_full_names(results)):
        console.print(clean_name(line, longest=LONGEST_LINE))
    wide = Console(width=max(console.width, 120), markup=False, highlight=False)
    for table in tables(results):
        wide.print(table)
    for name, words in DEFINITIONS.items():
        console.print(f"{name.replace('_', ' ')}: {words}")


def tables(results: Sequence[StreamResult]) -> list[Table]:
    """Accuracy after each stage, and the measures; of a single result also its accuracy matrix, and what tasks cost."""
    shown = [_stages(results), _measures(results)]
    if len(results) == 1:
        shown.append(_matrix(results[0]))
        if results[0].get("per_task"):
            shown.append(_costs(results[0]))
    return shown


def choices_of(results: Sequence[StreamResult]) -> str:
    """The choices of all runs; where they differ, each of them with the memories that it is of."""
    memories: dict[str, list[str]] = {}
    for result in results:
        of = memories.setdefault(result["choices"], [])
        if result["memory"] not in of:
            of.append(result["memory"])
    if len(memories) == 1:
        return next(iter(memories))
    return "; ".join(f"{choices} ({', '.join(of)})" for choices, of in memories.items())


def _words(results: Sequence[StreamResult]) -> Iterator[str]:
    """The stream and the choices, line by line."""
    result = results[0]
    stream, learning = result["stream"], result["learning"]
    shape = f"{stream['channels']}×{stream['size']}×{stream['size']}"
    yield f"{stream['name']}: {stream['kind']}, {shape}, each task normalised by its own mean and std"
    for place, task in enumerate(stream["tasks"]):
        classes = ", ".join(map(clean_name, task["classes"]))
        counts = f"{task['train']} training and {task['test']} test images"
        yield f"  T{place + 1} {clean_name(task['name'])}: {counts}, classes {classes}"
    amount = " ".join(f"{name} {value}" for name, value in result["budget"].items())
    way = "".join(f", {name} {result[name]}" for name in USUAL if result.get(name, USUAL[name]) != USUAL[name])
    yield f"memory: {amount} (ipc counts images per class of every task){way}"
    yield f"{choices_of(results)}; {learning['net']}, {learning['epochs']} epochs, lr {learning['lr']}"


def _full_names(results: Sequence[StreamResult]) -> Iterator[str]:
    """What the tables call by a shorter name."""
    return (f"{short}: {name}" for name, short in short_names(memories_of(results)).items() if short != name)


def _stages(results: Sequence[StreamResult]) -> Table:
    first = results[0]
    tasks = first.tasks
    paper = _is_the_papers(tasks) and first["budget"] == {"ipc": 10}
    table = Table(title="average accuracy % on the tasks seen so far, mean ± std over seeds (n)")
    table.add_column("memory")
    for stage in range(len(tasks)):
        table.add_column(f"after T{stage + 1}", justify="right")
    table.add_column("n")
    if paper:
        table.add_column("paper, T3 (all images, wide net)", justify="right")
    for row in aggregate(results):
        cells = [_spread([average[stage] for average in row["average"]]) for stage in range(len(tasks))]
        cells += [str(len(row["seed"])), *([_published(row)] if paper else [])]
        table.add_row(row["label"], *cells)
    return table


def _published(row: dict[str, Any]) -> str:
    """What the paper reports of a row's method, whatever its settings."""
    method, _ = split_memory(row["memory"])
    return PAPER.get((method, row["kd"]), "")


def _is_the_papers(tasks: Sequence[str]) -> bool:
    """Whether these are the tasks of the paper's Figure 3; a part of one, such as svhn10k, counts too."""
    return len(tasks) == len(PAPER_TASKS) and all(map(str.startswith, tasks, PAPER_TASKS))


def _measures(results: Sequence[StreamResult]) -> Table:
    table = Table("memory", title="after the last task (accuracies and differences in %), and what the memory takes")
    for name in ("pooled", "incremental", "forgetting", "backward", "images", "KiB", "made in", "run in"):
        table.add_column(name, justify="right")
    for row in aggregate(results):
        cells = [_spread([pooled[-1] for pooled in row["pooled"]])]
        cells += [_spread(row[name]) for name in ("average_incremental", "forgetting", "backward_transfer")]
        kept = row["memory_kept"][0]
        made = float(np.mean([memory["seconds"] for memory in row["memory_kept"]]))
        cells += [_images(kept), f"{kept['bytes'] / 1024:.1f}", duration(made)]
        table.add_row(row["label"], *cells, duration(float(np.mean(row["seconds"]))))
    return table


def _images(kept: dict[str, Any]) -> str:
    """How many are stored, and how many are trained on where that is another number; older results do not say it."""
    trained_on = kept.get("training_images") or kept["images"]
    return str(kept["images"]) if trained_on == kept["images"] else f"{kept['images']} ({trained_on} trained on)"


def _matrix(result: StreamResult) -> Table:
    places = range(len(result.matrix))
    table = Table("", *(f"T{place + 1}" for place in places), title="test accuracy % on each task")
    for stage, row in enumerate(result.matrix):
        cells = ("" if value is None else f"{100 * value:.1f}" for value in row)
        table.add_row(f"after T{stage + 1}", *cells)
    return table


def _costs(result: StreamResult) -> Table:
    table = Table("", "time", "images", "KiB", title="what each task took, and the memory after it")
    for stage, cost in enumerate(result["per_task"]):
        table.add_row(f"T{stage + 1}", duration(cost["seconds"]), _images(cost), f"{cost['bytes'] / 1024:.1f}")
    return table


def _spread(values: Sequence[float]) -> str:
    """Mean and standard deviation of shares, in percent."""
    mean = f"{100 * np.mean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ± {100 * np.std(values):.1f}"
