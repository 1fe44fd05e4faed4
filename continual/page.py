"""The page of a run over a stream, or of a comparison of memories."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from continual.folder import MEMORY
from continual.metrics import DEFINITIONS
from continual.report import aggregate, tables
from continual.results import StreamResult
from proxyset.report.page import NAME, Page, Section, write_page
from proxyset.report.parts import Facts, Part, Table, facts_of, picture_of
from proxyset.report.plots import Axis, Plot, Point, Series

LONGEST_TICK = 10  # letters of a task's name under a plot
MEASURES = ("matrix", "correct", "test_images", "average", "pooled", "stream")  # which stand elsewhere on the page


def save_results_page(results: Sequence[StreamResult], out: Path) -> Path:
    """Write report.html about some results into a folder that has their pictures; returns the path.

    Raises:
        InputError, RunError: it cannot be written.
    """
    return write_page(results_page(results, out), out / NAME)


def results_page(results: Sequence[StreamResult], pictures: Path) -> Page:
    """What results say of one stream.

    Args:
        results: of one run, or of all runs of a comparison.
        pictures: the folder with those that were drawn.
    """
    first = results[0]
    memory = picture_of(pictures / MEMORY, "The memory after the last task", "the images in memory, class by class")
    settings = [facts_of(_settings(result), f"{result.name}, seed {result['seed']}") for result in results]
    return Page(
        f"{first['stream']['name']}: {len(first.tasks)} tasks, one after another",
        sentence(results),
        [
            Section("Accuracy", plots(results)),
            Section("Measures", [Table.of_rich(table) for table in tables(results)]),
            Section("Memory", memory),
            Section("What the measures mean", [Facts("definitions", _definitions())]),
            Section("Settings and provenance", [facts_of(first["stream"], "stream"), *settings]),
        ],
    )


def sentence(results: Sequence[StreamResult]) -> str:
    """What was done, in one sentence, and what came of it."""
    first, rows = results[0], aggregate(results)
    budget = ", ".join(f"{name} {value}" for name, value in first["budget"].items())
    stream = f"{first['stream']['name']}, {len(first.tasks)} tasks, with a memory of {budget}"
    if len(rows) == 1:
        forgot = 100 * np.mean(rows[0]["forgetting"])
        runs = f" on average over {len(results)} seeds" if len(results) > 1 else ""
        return (
            f"A {first['learning']['net']} network learned {stream} from {first.name}: after the last task it is "
            f"right on {_last(rows[0]):.1f} % of the test images of a task, averaged over the tasks{runs}, and forgot "
            f"{forgot:.1f} points."
        )
    best = max(rows, key=_last)
    return (
        f"{len(rows)} ways to remember were compared on {stream}, with {len(results)} runs: the best after the last "
        f"task is {best['label']}, with {_last(best):.1f} % averaged over the tasks."
    )


def plots(results: Sequence[StreamResult]) -> list[Part]:
    """Average accuracy after each stage, a line per memory; of a single run also the accuracy on each task."""
    first, rows = results[0], aggregate(results)
    stage = Axis("after task", [(place, _tick(name, place)) for place, name in enumerate(first.tasks)])
    memories = list(dict.fromkeys(row["memory"] for row in rows))
    lines = [
        Series(row["label"], _average(row, first.tasks), True, bool(row["kd"]), memories.index(row["memory"]))
        for row in rows
    ]
    note = "Bars are one standard deviation over the seeds." if len(results) > len(rows) else ""
    drawn: list[Part] = [Plot("Average over the tasks seen so far", stage, Axis("test accuracy %"), lines, note)]
    if len(results) == 1:
        each = [Series(task, _task(first, place), True) for place, task in enumerate(first.tasks)]
        drawn.append(Plot("Each task, as others follow", stage, Axis("test accuracy %"), each))
    return drawn


def _average(row: dict[str, Any], tasks: Sequence[str]) -> list[Point]:
    values, label = 100 * np.asarray(row["average"], dtype=float), row["label"]
    return [
        Point(stage, mean, f"{label} after {tasks[stage]}: {mean:.1f} ± {std:.1f} % (n = {len(values)})", "", std)
        for stage, (mean, std) in enumerate(zip(values.mean(0).tolist(), values.std(0).tolist(), strict=True))
    ]


def _task(result: StreamResult, place: int) -> list[Point]:
    name = result.tasks[place]
    seen = [(stage, 100 * share) for stage, row in enumerate(result.matrix) if (share := row[place]) is not None]
    return [Point(stage, value, f"{name} after {result.tasks[stage]}: {value:.1f} %") for stage, value in seen]


def _tick(name: str, place: int) -> str:
    return name if len(name) <= LONGEST_TICK else f"T{place + 1}"


def _settings(result: StreamResult) -> dict[str, Any]:
    """All that is said of a run but for what stands elsewhere on the page."""
    return {name: value for name, value in result.items() if name not in MEASURES}


def _last(row: dict[str, Any]) -> float:
    """Average accuracy after the last task in %, over the seeds."""
    return 100 * float(np.mean([average[-1] for average in row["average"]]))


def _definitions() -> list[tuple[str, str]]:
    return [(name.replace("_", " "), words) for name, words in DEFINITIONS.items()]
