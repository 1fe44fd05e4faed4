"""One run over a stream: learn every task, test after each, keep the state, write the results."""

import datetime
import json
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch

from continual.learner import Learner
from continual.memory import Budget, Memory
from continual.metrics import summarise
from continual.recipe import Learning
from continual.sources import JOINT, Show, hide, open_source
from continual.stream import Stream
from proxyset import __version__
from proxyset.checkpoint import Checkpoint, write_atomic
from proxyset.engine import resolve_device, timed
from proxyset.settings import Compute

STATE, RESULTS = "state.safetensors", "results.json"


def prepare(
    stream: Stream,
    memory: str,
    budget: Budget,
    learning: Learning,
    *,
    seed: int,
    compute: Compute,
    show: Show = hide,
) -> Memory:
    """The memory of a run, checked together with the rest of its settings.

    Raises:
        InputError: anything that would fail later.
    """
    learning.check(stream, memory)
    net = learning.network(stream.tasks[0].data.spec.size)
    at_hand = learning.scheme == "eeil" and learning.current_data == "full"
    source = open_source(
        memory,
        stream,
        settings=budget.memory_settings,
        store=budget.store,
        net=net,
        seed=seed,
        compute=compute,
        at_hand=at_hand,
        show=show,
    )
    kept = Memory(stream, budget, source)
    kept.check()
    return kept


def learn_stream(
    stream: Stream,
    memory: str = "dsa",
    budget: Budget | None = None,
    learning: Learning | None = None,
    *,
    seed: int = 0,
    compute: Compute | None = None,
    folder: Path | None = None,
    show: Show = hide,
) -> dict[str, Any]:
    """Learn the tasks of a stream one after another and measure what is kept.

    The same arguments on the same device give the same results, whether or not the run was stopped in between.

    Args:
        memory: `none`, `joint`, a method, or proxy-set files separated by commas.
        compute: device, precision and the rest (None: left to `engine.plan`).
        folder: where the state is kept after every task and gone on from, and the results are written; None: nowhere.

    Returns:
        What `results.json` holds: settings, choices, stream, the counts, the metrics, the memory, time.

    Raises:
        InputError: anything wrong with the settings, before any training.
    """
    budget, learning, compute = budget or Budget(), learning or Learning(), compute or Compute()
    device = resolve_device(compute.device)
    kept = prepare(stream, memory, budget, learning, seed=seed, compute=compute, show=show)
    learner = Learner(stream, kept, learning, seed=seed, device=device, show=show)
    identity = describe(stream, memory, kept, budget, learning, seed, device)
    count = len(stream.tasks)
    correct = torch.full((count, count), -1)
    state = Checkpoint((folder or Path()) / STATE, 1, identity)
    saved = state.restore() if folder else None
    if saved is not None:
        correct = saved.pop("correct")
        learner.set_state(saved, state.step)
    worked = state.step < count
    for stage in range(state.step, count):
        learner.learn(stage)
        correct[stage, : stage + 1] = learner.test(stage)
        if folder:
            state.offer(learner.state() | {"correct": correct})
    seconds = state.elapsed() if worked else state.seconds  # looking at a finished run again takes no time
    results = identity | measure(stream, correct) | {"memory_kept": kept.report(), "seconds": round(seconds, 1)}
    results |= {
        "threads": torch.get_num_threads(),
        "versions": {"proxyset": __version__, "torch": torch.__version__, "python": platform.python_version()},
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    if folder:
        write_results(folder, results, kept)
    return results


def describe(
    stream: Stream, memory: str, kept: Memory, budget: Budget, learning: Learning, seed: int, device: torch.device
) -> dict[str, Any]:
    """Everything that determines the numbers of a run."""
    size = stream.tasks[0].data.spec.size
    return {
        "memory": memory,
        "kd": learning.kd,
        "memory_settings": kept.settings(),
        "budget": {"ipc": budget.ipc} if budget.budget is None else {"budget": budget.budget},
        "choices": learning.choices(),
        "learning": learning.model_dump() | {"net": learning.network(size)},
        "stream": stream.describe(),
        "seed": seed,
        "device_type": device.type,
    }


def measure(stream: Stream, correct: torch.Tensor) -> dict[str, Any]:
    """The counts and all metrics."""
    images = [len(task.data.test) for task in stream.tasks]
    metrics = summarise(correct.numpy().astype(np.float64), np.array(images))
    return {"test_images": images, "correct": correct.tolist(), **metrics}


def write_results(folder: Path, results: dict[str, Any], kept: Memory | None = None) -> None:
    """results.json, results.csv (a row per stage and task), matrix.png and memory.png."""
    from continual.plot import save_matrix, save_memory

    names = [task["name"] for task in results["stream"]["tasks"]]
    title = f"{results['stream']['name']} · {results['memory']}{' + KD' if results['kd'] else ''}"
    save_matrix(results["matrix"], names, title, folder / "matrix.png")
    if kept is not None and kept.kept and results["memory"] != JOINT:
        save_memory(kept, folder / "memory.png")
    write_atomic(folder / "results.csv", table([results]))
    write_atomic(folder / RESULTS, json.dumps(results, indent=1).encode())


def table(runs: list[dict[str, Any]]) -> bytes:
    """Every accuracy of some runs as CSV."""
    import pandas as pd

    rows = [
        {
            "memory": run["memory"],
            "kd": run["kd"],
            "seed": run["seed"],
            "stage": stage + 1,
            "task": task["name"],
            "images": run["test_images"][place],
            "correct": run["correct"][stage][place],
            "accuracy": run["matrix"][stage][place],
        }
        for run in runs
        for stage in range(len(run["matrix"]))
        for place, task in enumerate(run["stream"]["tasks"][: stage + 1])
    ]
    return pd.DataFrame(rows).to_csv(index=False).encode()


def estimate(stream: Stream, kept: Memory, learning: Learning, device: torch.device) -> tuple[float, float]:
    """Seconds to make the memory and to learn, from a few timed steps on throwaway state."""
    learner = Learner(stream, kept, learning, seed=0, device=device)
    each = _seconds_per_image(learner, min(learning.batch_size, len(stream.tasks[0].data.train)))
    images = 0.0  # seen in training, in all
    for stage, task in enumerate(stream.tasks):
        held = stream.cells(stage) * kept.budget.quota(stream, stage) if kept.source is not None else 0
        new = len(task.data.train) if learning.current_data == "full" else held // (stage + 1)
        if learner.joint:
            images += learning.epochs * sum(len(task.data.train) for task in stream.tasks[: stage + 1])
        elif learning.scheme == "gdumb":
            images += learning.gdumb_epochs * held
        else:
            images += learning.epochs * (new + held * stage / (stage + 1))
            images += learning.balance_epochs * held if learning.balance and stage else 0
    return kept.estimate(), images * each * (4 / 3 if learning.kd else 1)  # a third more: the teacher goes forward only


def _seconds_per_image(learner: Learner, count: int) -> float:
    data = learner.stream.tasks[0].data.train
    few = data.images[:count], data.labels[:count]
    return timed(lambda: learner.try_batch(*few), learner.device) / count
