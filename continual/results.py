"""What came out of a run over a stream: a value, and the files that hold it."""

import html
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from continual.folder import MATRIX, MEMORY, RESULTS, TABLE, TRACE
from continual.settings import JOINT
from proxyset.errors import InputError
from proxyset.files import write_atomic
from proxyset.parsing import check, checksummed, read_row, read_text

if TYPE_CHECKING:
    from continual.memory import Memory

FORMAT = 2  # of results.json; format 1 does not say so and has no checksum


class StreamResult(Mapping[str, Any]):
    """What a run over a stream gave: everything that `results.json` holds, as a read-only mapping.

    `DEFINITIONS` in `continual.metrics` says what each measure means. Accuracies are shares of 1.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def to_dict(self) -> dict[str, Any]:
        """A copy as plain values, such as JSON takes."""
        return json.loads(json.dumps(self._values))

    @property
    def name(self) -> str:
        """The memory, and whether answers were distilled."""
        return self["memory"] + (" + KD" if self["kd"] else "")

    @property
    def tasks(self) -> list[str]:
        return [task["name"] for task in self["stream"]["tasks"]]

    @property
    def matrix(self) -> list[list[float | None]]:
        """`a[i][j]`: test accuracy on task j after stage i; None above the diagonal."""
        return self["matrix"]

    @property
    def average(self) -> list[float]:
        """After each stage the mean accuracy on the tasks seen so far."""
        return self["average"]

    @property
    def forgetting(self) -> float:
        """How much of the best accuracy on each earlier task was lost at the end; lower is better."""
        return self["forgetting"]

    def __repr__(self) -> str:
        what = f"{self['stream']['name']}, {self.name}, seed {self['seed']}"
        average = f"average {_percent(self.average[-1])} after {len(self.tasks)} tasks"
        return f"StreamResult({what}: {average}, forgetting {_percent(self.forgetting)})"

    def _repr_html_(self) -> str:
        """The accuracy matrix as a table, for notebooks."""
        head = "".join(f"<th>{html.escape(task)}</th>" for task in self.tasks)
        rows = "".join(
            f"<tr><th>after T{stage + 1}</th>{''.join(f'<td>{_percent(value)}</td>' for value in row)}</tr>"
            for stage, row in enumerate(self.matrix)
        )
        table = f"<table><tr><th>test accuracy on</th>{head}</tr>{rows}</table>"
        return f"<div>{html.escape(repr(self))}{table}</div>"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def write_results(folder: Path, result: StreamResult, memory: "Memory | None" = None) -> None:
    """The pictures and the table, then results.json, by whose checksum a change to it is noticed.

    Raises:
        InputError: they cannot be written.
        RunError: the disk is full.
    """
    draw_results(folder, result, memory)
    values = json.loads(checksummed({"format": FORMAT, **result.to_dict()}))
    write_atomic(folder / RESULTS, json.dumps(values, indent=1).encode())


def draw_results(folder: Path, result: StreamResult, memory: "Memory | None" = None) -> None:
    """matrix.png, of a trace trace.png, of a `memory` memory.png, and results.csv: a row per stage and task."""
    from continual.figures import save_matrix, save_memory
    from continual.tracing import save_trace

    save_matrix(result, folder / MATRIX)
    if result.get("trace"):
        save_trace(result, folder / TRACE)
    if memory is not None and memory.kept and result["memory"] != JOINT:
        save_memory(memory, folder / MEMORY)
    write_atomic(folder / TABLE, to_csv([result]))


def read_results(folder: Path) -> list[StreamResult]:
    """The result in a folder of `continual run`, or all of those in a folder of `continual compare`.

    Raises:
        InputError: there are none, one that cannot be read (see `read_result`), or results of runs that differ in
            more than memory, distillation and seed.
    """
    files = [folder / RESULTS] if (folder / RESULTS).exists() else sorted(folder.glob(f"*/{RESULTS}"))
    if not files:
        raise InputError(f"no results in {str(folder)!r}: give the folder of a finished `continual run` or `compare`")
    results = [read_result(file) for file in files]
    for file, result in zip(files, results, strict=True):
        if other := _different(result, results[0]):
            raise InputError(f"{str(file)!r} has another {other} than {str(files[0])!r}: they make no comparison")
    return sorted(results, key=lambda result: (result["memory"], result["kd"], result["seed"]))


def _different(one: StreamResult, other: StreamResult) -> str:
    """What two runs that stand in one table must share and do not; empty where they share all of it."""
    if one.tasks != other.tasks:
        return "stream"
    if one["budget"] != other["budget"]:
        return "budget"
    shared = (one["learning"].keys() & other["learning"].keys()) - {"kd", "trace"}  # versions add settings
    return next((f"`{name}`" for name in sorted(shared) if one["learning"][name] != other["learning"][name]), "")


def read_result(path: Path) -> StreamResult:
    """The result in one file.

    Raises:
        InputError: it is unreadable, was changed after it was written, or is not what a run writes; the message has
            the file and the place in it.
    """
    from continual.schema import StoredResult

    where = repr(str(path))
    values, has_checksum = read_row(read_text(path), where)
    if values.pop("format", 1) != (FORMAT if has_checksum else 1):
        raise InputError(f"{where} was changed after it was written: it has lost its format or its checksum")
    check(values, StoredResult, where)
    return StreamResult(values)


def to_csv(results: Sequence[StreamResult]) -> bytes:
    """Every accuracy of some results as CSV."""
    import pandas as pd

    rows = [
        {
            "memory": result["memory"],
            "kd": result["kd"],
            "seed": result["seed"],
            "stage": stage + 1,
            "task": task,
            "images": result["test_images"][place],
            "correct": result["correct"][stage][place],
            "accuracy": result.matrix[stage][place],
        }
        for result in results
        for stage in range(len(result.matrix))
        for place, task in enumerate(result.tasks[: stage + 1])
    ]
    return pd.DataFrame(rows).to_csv(index=False).encode(errors="replace")
