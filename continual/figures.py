"""Pictures: accuracy over the stages, the accuracy matrix, the memory."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from continual.memory import Memory
from continual.results import StreamResult
from proxyset.data.picture import sheet
from proxyset.data.spec import to_pixels
from proxyset.names import figure_name
from proxyset.report.figures import write_figure

LONGEST_TITLE = 120  # characters
UPRIGHT = 8  # letters of a task's name that fit under a column
INCHES_PER_LETTER = 0.07  # across and upwards, of a slanted name
MAX_PER_CLASS = 30  # images of one class and task that fit side by side


def save_curves(rows: Sequence[dict[str, Any]], tasks: Sequence[str], title: str, path: Path) -> None:
    """Average accuracy over the tasks seen so far after every stage, a line per memory: the paper's Figure 3.

    Args:
        rows: memory, label, kd, and `average`: runs × stages, shares of 1. Dashed lines are with distillation; bars are
            one standard deviation over the runs.
        tasks: their names, in order.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.5 * len(tasks) + 3.5, 4), dpi=100, layout="constrained")
    axes = figure.subplots()
    memories = list(dict.fromkeys(row["memory"] for row in rows))
    for row in rows:
        values = 100 * np.asarray(row["average"])
        place = np.arange(len(tasks)) + 0.03 * (rows.index(row) - len(rows) / 2)  # so that bars lie side by side
        axes.errorbar(
            place,
            values.mean(0),
            values.std(0),
            color=f"C{memories.index(row['memory'])}",
            linestyle="--" if row["kd"] else "-",
            marker="o",
            markersize=4,
            capsize=2,
            label=figure_name(row["label"]),
        )
    axes.set_xticks(
        range(len(tasks)),
        [f"T{stage + 1}\n{figure_name(task)}" for stage, task in enumerate(tasks)],
    )
    axes.set_ylabel("accuracy on the tasks seen so far, %")
    axes.set_title(figure_name(title, longest=LONGEST_TITLE), loc="left", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    write_figure(figure, path)


def save_matrix(result: StreamResult, path: Path) -> None:
    """The accuracy matrix as a heat map: after each stage (row) the accuracy on each task (column)."""
    from matplotlib.figure import Figure

    tasks, count = [figure_name(task) for task in result.tasks], len(result.tasks)
    shares = [[np.nan if value is None else value for value in row] for row in result.matrix]
    values = 100 * np.array(shares, dtype=float)
    longest = max(map(len, tasks))
    slanted = longest > UPRIGHT
    room = INCHES_PER_LETTER * longest if slanted else 0.0
    figure = Figure(figsize=(0.9 * count + 2.5 + room, 0.6 * count + 1.5 + room), dpi=100, layout="constrained")
    axes = figure.subplots()
    picture = axes.imshow(values, vmin=0, vmax=100, cmap="viridis", aspect="auto")
    for stage in range(count):
        for task in range(stage + 1):
            colour = "white" if values[stage, task] < 60 else "black"
            axes.text(task, stage, f"{values[stage, task]:.1f}", ha="center", va="center", color=colour)
    axes.set_xticks(range(count), tasks, rotation=30 if slanted else 0, ha="right" if slanted else "center")
    axes.set_yticks(range(count), [f"after T{stage + 1}" for stage in range(count)])
    axes.set_title(
        figure_name(f"{result['stream']['name']} · {result.name}", longest=LONGEST_TITLE), loc="left", fontsize=10
    )
    figure.colorbar(picture, label="test accuracy, %")
    write_figure(figure, path)


def save_memory(memory: Memory, path: Path) -> None:
    """The images in memory as they are stored: a row per class; where tasks share classes, one block of columns per
    task.
    """
    from matplotlib.figure import Figure

    stream = memory.stream
    named = [(name, row) for name, row in zip(stream.class_names, _rows(memory), strict=True) if len(row)]
    rows = [row for _, row in named]
    picture = sheet(rows).numpy()
    scale = max(1, round(32 / (stream.tasks[0].data.spec.size + 1))) / 100
    figure = Figure(figsize=(picture.shape[1] * scale, picture.shape[0] * scale), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto")
    step = picture.shape[0] / len(rows)
    axes.set_yticks(
        [row * step + step / 2 - 1 for row in range(len(rows))],
        [figure_name(name) for name, _ in named],
    )
    axes.set_xticks([])
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    provider = memory.provider.name if memory.provider is not None else "none"
    formation = memory.kept[0].formation
    soft = " · soft targets" if memory.report()["soft_targets"] else ""
    soft += f" · {formation}×{formation} tiles" if formation > 1 else ""
    tasks = "" if stream.grows else f", columns: {', '.join(task.name for task in stream.tasks)}"
    axes.set_title(
        figure_name(f"memory after the last task · {provider}{soft}{tasks}", longest=LONGEST_TITLE),
        loc="left",
        fontsize=9,
    )
    write_figure(figure, path)


def _rows(memory: Memory) -> list[torch.Tensor]:
    """For each class of the stream its images as pixels, task by task."""
    parts: list[list[torch.Tensor]] = [[] for _ in memory.stream.class_names]
    for task, data in zip(memory.stream.tasks, memory.kept, strict=False):
        pixels = to_pixels(data.images, task.data.spec)
        for local, label in enumerate(task.classes):
            parts[label].append(pixels[data.labels == local][:MAX_PER_CLASS])
    return [torch.cat(row) if row else torch.empty(0) for row in parts]
