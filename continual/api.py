"""One run over a stream: learn every task, test after each, keep the state, write the results."""

import datetime
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch

from continual.choose import MemoryChoice, memory_name, provider_for
from continual.memory import Memory
from continual.metrics import summarise
from continual.results import StreamResult, write_results
from continual.schemes.base import Scheme
from continual.schemes.registry import scheme_class
from continual.settings import Budget, Learning
from continual.stream import Stream
from continual.trainer import Trainer
from proxyset import __version__
from proxyset.checkpoint import Checkpoint
from proxyset.compute.session import Session
from proxyset.progress import Progress

STATE = "state.safetensors"


def learn_stream(
    stream: Stream,
    memory: MemoryChoice = "dsa",
    budget: Budget | None = None,
    learning: Learning | None = None,
    *,
    seed: int = 0,
    session: Session | None = None,
    folder: Path | str | None = None,
    progress: Progress | bool | None = None,
) -> StreamResult:
    """Learn the tasks of a stream one after another and measure what is kept.

    The same arguments on the same kind of device with the same number of threads give the same results, whether or not
    the run was stopped in between.

    Args:
        memory: `none`, `joint` (all data: the ceiling), a method (its name, `package.module:Class`, or a method with
            its settings), or proxy-set files, one for each task.
        budget: how much is remembered (None: 10 images per class of every task).
        learning: how each task is learned (None: EEIL without distillation).
        session: where it runs (None: decided here).
        folder: where the state is kept after every task and gone on from, and the results are written; None: nowhere.
        progress: see `proxyset.progress.shown`.

    Raises:
        InputError: anything wrong with the settings, before any training.
    """
    budget, learning = budget or Budget(), learning or Learning()
    trainer = Trainer(stream, learning, seed=seed, session=session, progress=progress)
    scheme = prepare(trainer, memory, budget)
    identity = describe(scheme, memory_name(memory), budget)
    place = None if folder is None else Path(folder)
    correct, seconds = learn_tasks(scheme, identity, place)
    costs = {"memory_kept": scheme.memory.report(), "seconds": round(seconds, 1)}
    result = StreamResult(identity | measure(stream, correct) | costs | _circumstances())
    if place is not None:
        write_results(place, result, scheme.memory)
    return result


def learn_tasks(scheme: Scheme, identity: dict[str, Any], folder: Path | None) -> tuple[torch.Tensor, float]:
    """Learn and test all tasks, going on from the state in `folder`.

    Returns:
        `correct` (see `continual.metrics`), T×T with −1 for what was not tested; the seconds that it took in all.

    Raises:
        InputError: the state is damaged, or of another run.
    """
    count = len(scheme.stream.tasks)
    correct = torch.full((count, count), -1)
    state = Checkpoint((folder or Path()) / STATE, 1, identity)
    saved = state.restore() if folder is not None else None
    if saved is not None:
        correct = saved.pop("correct")
        scheme.set_state(saved, state.step)
    if state.step == count:
        return correct, state.seconds  # looking at a finished run again takes no time
    for stage in range(state.step, count):
        scheme.learn(stage)
        correct[stage, : stage + 1] = scheme.test(stage)
        if folder is not None:
            state.offer(scheme.state() | {"correct": correct})
    return correct, state.elapsed()


def prepare(trainer: Trainer, memory: MemoryChoice, budget: Budget) -> Scheme:
    """The scheme of a run with its memory, everything checked.

    Raises:
        InputError: anything that would fail later.
    """
    name, learning = memory_name(memory), trainer.learning
    kind = scheme_class(learning.scheme, name)
    kind.check(learning, trainer.stream, name)
    trainer.check()
    provider = provider_for(memory, budget, trainer, ranks_by_learner=kind.ranks_by_learner(learning))
    kept = Memory(trainer.stream, budget, provider)
    kept.check()
    return kind(trainer, kept)


def describe(scheme: Scheme, memory: str, budget: Budget) -> dict[str, Any]:
    """Everything that determines the numbers of a run."""
    trainer, learning = scheme.trainer, scheme.learning
    compute = trainer.session.compute
    return {
        "memory": memory,
        "kd": learning.kd,
        "memory_settings": scheme.memory.settings(),
        "budget": {"ipc": budget.ipc} if budget.budget is None else {"budget": budget.budget},
        "choices": scheme.describe(learning),
        "learning": learning.model_dump() | {"net": trainer.net},
        "stream": trainer.stream.describe(),
        "seed": trainer.seed,
        "device_type": trainer.session.device.type,
        "compute": compute.model_dump(exclude={"device"}),
    }


def measure(stream: Stream, correct: torch.Tensor) -> dict[str, Any]:
    """The counts and all metrics."""
    images = [len(task.data.test) for task in stream.tasks]
    metrics = summarise(correct.numpy().astype(np.float64), np.array(images))
    return {"test_images": images, "correct": correct.tolist(), **metrics}


def _circumstances() -> dict[str, Any]:
    return {
        "threads": torch.get_num_threads(),
        "versions": {"proxyset": __version__, "torch": torch.__version__, "python": platform.python_version()},
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
