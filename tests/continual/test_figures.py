"""Pictures of a run."""

from collections.abc import Callable
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from continual import figures
from continual.loading import split_classes
from continual.memory import Memory
from continual.reservoir import Reservoir
from continual.settings import Budget
from proxyset.data.spec import Dataset


def test_rows_of_the_memory_carry_the_names_of_their_classes(
    make_dataset: Callable[..., Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reservoir that is smaller than the number of classes leaves some out."""
    stream = split_classes(make_dataset(classes=6, counts=10, flip=False), 2, seed=0)
    memory = Memory(stream, Budget(budget=3), Reservoir(stream, 0))
    for stage in range(2):
        memory.add(stage)
    drawn: list[Figure] = []
    monkeypatch.setattr(figures, "write_figure", lambda figure, path: drawn.append(figure))
    figures.save_memory(memory, tmp_path / "memory.png")
    there = {
        stream.class_names[task.classes[local]]
        for task, data in zip(stream.tasks, memory.kept, strict=True)
        for local in data.labels.tolist()
    }
    assert 0 < len(there) < 6
    assert [label.get_text() for label in drawn[0].axes[0].get_yticklabels()] == [
        name for name in stream.class_names if name in there
    ]
