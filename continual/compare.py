"""Several memories, with and without distillation, over several seeds: in turn, or in parallel through Ray."""

import json
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from continual.experiment import estimate, learn_stream, prepare, table
from continual.memory import Budget
from continual.recipe import Learning, Recipe
from continual.report import aggregate
from continual.sources import JOINT, label
from continual.stream import Stream, StreamChoice, load_stream
from proxyset.checkpoint import write_atomic
from proxyset.config import say
from proxyset.engine import resolve_device
from proxyset.progress import duration
from proxyset.ray_environment import prepare_ray
from proxyset.settings import Compute, InputError, RunError

OBJECT_STORE = 128 * 2**20  # bytes; what travels between the processes is settings and results


@dataclass(frozen=True)
class Cell:
    """One run of the grid, and everything it takes to do it elsewhere."""

    memory: str
    kd: bool
    seed: int
    stream: StreamChoice
    budget: Budget
    recipe: Recipe
    data_root: Path
    compute: Compute
    folder: Path

    @property
    def path(self) -> Path:
        """The run's own folder."""
        return self.folder / f"{label(self.memory)}{'-kd' if self.kd else ''}-seed{self.seed}"

    def load(self) -> Stream:
        return load_stream(self.stream, data_root=self.data_root, seed=self.seed)

    def learning(self) -> Learning:
        return Learning(**self.recipe.model_dump(), kd=self.kd)

    def check(self, stream: Stream) -> None:
        """Raise `InputError` for what would fail later."""
        prepare(stream, self.memory, self.budget, self.learning(), seed=self.seed, compute=self.compute)

    def run(self) -> dict[str, Any]:
        """Do it, going on from the state in its folder where there is one."""
        return learn_stream(
            self.load(),
            self.memory,
            self.budget,
            self.learning(),
            seed=self.seed,
            compute=self.compute,
            folder=self.path,
        )


def grid(memories: Sequence[str], seeds: Sequence[int], kd: str, **common: Any) -> list[Cell]:
    """A cell for every memory, with and without distillation as `kd` says (both, with, without), and every seed.

    Memories whose networks start afresh after each task run without distillation only.

    Raises:
        InputError: a cell that cannot work, or two memories of one name.
    """
    wanted = {"both": (False, True), "with": (True,), "without": (False,)}[kd]
    scheme = common["recipe"].scheme
    cells = [
        Cell(memory, distil, seed, **common)
        for memory in dict.fromkeys(memories)
        for distil in ((False,) if memory == JOINT or scheme == "gdumb" else wanted)
        for seed in dict.fromkeys(seeds)
    ]
    if len({cell.path for cell in cells}) < len(cells):
        raise InputError("two of the memories have the same name")
    for seed in dict.fromkeys(seeds):
        own = [cell for cell in cells if cell.seed == seed]
        stream = own[0].load()
        for cell in own:
            cell.check(stream)
    return cells


def draw(runs: Sequence[dict[str, Any]], folder: Path) -> None:
    """summary.json and results.csv of all runs, and curves.png: the paper's Figure 3."""
    from continual.plot import save_curves

    stream = runs[0]["stream"]
    tasks = [task["name"] for task in stream["tasks"]]
    seeds = len({run["seed"] for run in runs})
    budget = ", ".join(f"{name} {value}" for name, value in runs[0]["budget"].items())
    title = f"{stream['name']} · {runs[0]['learning']['net']} · {budget} · {seeds} seeds"
    save_curves(aggregate(runs), tasks, title, folder / "curves.png")
    write_atomic(folder / "results.csv", table(list(runs)))
    summary = {"rows": aggregate(runs), "choices": runs[0]["choices"], "stream": stream}
    write_atomic(folder / "summary.json", json.dumps(summary, indent=1).encode())


def estimate_grid(cells: Sequence[Cell]) -> tuple[float, float]:
    """Seconds to make all memories and to do all runs one after another, judged by the first seed."""
    stream = cells[0].load()
    memories: dict[str, float] = {}
    runs = 0.0
    first = [cell for cell in cells if cell.seed == cells[0].seed]
    for cell in first:
        learning = cell.learning()
        kept = prepare(stream, cell.memory, cell.budget, learning, seed=cell.seed, compute=cell.compute)
        memories[cell.memory], seconds = estimate(stream, kept, learning, resolve_device(cell.compute.device))
        runs += seconds
    seeds = len(cells) / len(first)
    return seeds * sum(memories.values()), seeds * runs


def run_grid(cells: Sequence[Cell], workers: int) -> list[dict[str, Any]]:
    """The results of all cells, in their order; `workers` at a time, one thread each, where there are more than one.

    Raises:
        RunError: a run that was done elsewhere failed.
    """
    if workers > 1:
        return _run_in_parallel(cells, workers)
    results = []
    for number, cell in enumerate(cells):
        results.append(cell.run())
        _tell(number, cells, results[-1])
    return results


def _run_in_parallel(cells: Sequence[Cell], workers: int) -> list[dict[str, Any]]:
    prepare_ray()
    import ray

    gpus = torch.cuda.device_count() / workers if resolve_device(cells[0].compute.device).type == "cuda" else 0
    own = not ray.is_initialized()  # one that already runs in this process is used and left running
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        # "local", because without an address Ray would join whatever else runs on this machine
        quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "error"}
        if own:
            ray.init("local", num_cpus=workers, object_store_memory=OBJECT_STORE, **quiet)
        signal.signal(signal.SIGTERM, on_sigterm)  # Ray replaces it; the command says how to go on
        remote = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=1)(_run_alone)
        done: dict[Path, dict[str, Any]] = {}
        for kd in (False, True):  # what is condensed without distillation is then there with it
            pending = {remote.remote(cell): cell for cell in cells if cell.kd == kd}
            while pending:
                (ready,), _ = ray.wait(list(pending))
                cell = pending.pop(ready)
                done[cell.path] = ray.get(ready)
                _tell(len(done) - 1, cells, done[cell.path])
    except ray.exceptions.RayError as error:
        raise RunError(f"a parallel run failed ({str(error).splitlines()[-1]}); --workers 1 shows more") from None
    finally:
        if own:
            ray.shutdown()
    return [done[cell.path] for cell in cells]


def _run_alone(cell: Cell) -> dict[str, Any]:
    torch.set_num_threads(1)
    return cell.run()


def default_workers(device: torch.device) -> int:
    """In turn on two cores or fewer, and on a GPU; otherwise one worker per core but one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores - 1 if cores > 2 and device.type == "cpu" else 1


def _tell(number: int, cells: Sequence[Cell], results: dict[str, Any]) -> None:
    last, what = 100 * results["average"][-1], results["memory"] + (" + KD" if results["kd"] else "")
    say(
        f"{number + 1}/{len(cells)}  {what}, seed {results['seed']}: {last:.1f} % after the last task, "
        f"{duration(results['seconds'])}"
    )
