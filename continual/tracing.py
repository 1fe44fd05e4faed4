"""A picture of forgetting as it happens: accuracy on every task after every epoch, and the memory's bytes."""

from pathlib import Path

from continual.results import StreamResult
from proxyset.names import figure_name
from proxyset.report.figures import write_figure


def save_trace(result: StreamResult, path: Path) -> None:
    """Draw the `trace` of a result: a line per task over all epochs of the run, a rule where a new phase begins.

    Beneath are the bytes that are remembered after each task.
    """
    from matplotlib.figure import Figure

    points, images = result["trace"], result["test_images"]
    figure = Figure(figsize=(8, 5.5), dpi=100, layout="constrained")
    axes, below = figure.subplots(2, 1, height_ratios=(4, 1))
    for task, name in enumerate(result.tasks):
        counts = [(place, point["correct"][task]) for place, point in enumerate(points, 1)]
        if known := [(place, right) for place, right in counts if right >= 0]:
            places, right = zip(*known, strict=True)
            heights = [100 * count / images[task] for count in right]
            axes.plot(places, heights, ".-", label=f"T{task + 1} {figure_name(name, longest=30)}")
    for place in _begins(result):
        axes.axvline(place + 0.5, color="0.8", linewidth=1)
    axes.set_xlabel("epochs of all trainings")
    axes.set_ylabel("test accuracy, %")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.set_title(figure_name(f"{result['stream']['name']} · {result.name}", longest=100), loc="left", fontsize=10)
    costs = result.get("per_task", [])
    below.bar([f"T{stage + 1}" for stage in range(len(costs))], [cost["bytes"] / 1024 for cost in costs], color="0.6")
    for stage, cost in enumerate(costs):
        below.text(stage, cost["bytes"] / 1024, f"{cost['seconds']:.0f} s", ha="center", va="bottom", fontsize=8)
    below.set_ylabel("memory, KiB")
    below.margins(y=0.35)
    write_figure(figure, path)


def _begins(result: StreamResult) -> list[int]:
    """After how many epochs of the whole run a new phase begins."""
    phases = [(point["stage"], point["phase"]) for point in result["trace"]]
    return [place for place in range(1, len(phases)) if phases[place] != phases[place - 1]]
