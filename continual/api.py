"""One run over a stream: learn every task, test after each, keep the state, write the results."""

import datetime
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from continual.choose import MemoryChoice, memory_name, provider_for
from continual.folder import RUN, STATE, begun, claim
from continual.memory import Memory
from continual.metrics import summarise
from continual.record import Record
from continual.results import StreamResult, write_results
from continual.schemes.base import Scheme
from continual.schemes.registry import scheme_class
from continual.settings import Budget, Learning
from continual.stream import Stream
from continual.trainer import Trainer
from proxyset import __version__
from proxyset.checkpoint import Checkpoint, State
from proxyset.compute.session import Session
from proxyset.errors import InputError
from proxyset.progress import Progress
from proxyset.registry import describe as describe_error


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
        folder: a new or empty one, or that of this run: the state is kept there after every task and gone on from, and
            the results are written there; None: nowhere.
        progress: see `proxyset.progress.shown`.

    Raises:
        InputError: anything wrong with the settings, before any training; or `folder` holds something else.
        RunError: the training diverged, or the disk is full; finished tasks are kept in `folder`.
    """
    trainer = Trainer(stream, learning or Learning(), seed=seed, session=session, progress=progress)
    run = StreamRun(trainer, memory, budget or Budget())
    if folder is None:
        return run.learn()
    with claim(Path(folder), RUN, resume=True) as claimed:
        run.restore(claimed.path)
        with begun(claimed, RUN) as place:
            return run.learn(place)


class StreamRun:
    """One run over a stream, with everything checked that can be checked before the work.

    Attributes:
        finished: tasks that are learned already.
        correct: see `continual.metrics`, T×T with −1 for what was not tested.

    Raises:
        InputError: anything that would fail later.
    """

    def __init__(self, trainer: Trainer, memory: MemoryChoice, budget: Budget) -> None:
        self.scheme = prepare(trainer, memory, budget)
        self.identity = describe(self.scheme, memory_name(memory), budget)
        count = len(trainer.stream.tasks)
        self.correct = torch.full((count, count), -1)
        self.record = Record(trainer.stream)
        if trainer.learning.trace:
            self.record.watch(trainer)
        self.state = Checkpoint(Path(), 1, self.identity)  # counts the seconds of a run that keeps no state
        self.on_stage: Callable[[int, torch.Tensor], None] | None = None  # is told the accuracies after each task

    @property
    def finished(self) -> int:
        return self.state.step

    def restore(self, folder: Path) -> None:
        """Take over what an earlier process finished, if any.

        Raises:
            InputError: the state is damaged, was changed, or is of another run.
        """
        state = Checkpoint(folder / STATE, 1, self.identity)
        saved = state.restore()
        if saved is not None:
            try:
                self._take_over(saved, state.step)
            except (InputError, KeyError, ValueError, RuntimeError) as error:
                raise InputError(
                    f"the state {str(state.path)!r} does not fit this run ({describe_error(error)}); "
                    "`force=True` starts over"
                ) from None
        self.state = state

    def _take_over(self, saved: State, stages: int) -> None:
        correct, images = saved.pop("correct"), torch.tensor(self._test_images())
        learned = torch.ones_like(self.correct, dtype=torch.bool).tril()
        learned[stages:] = False
        if stages > len(images) or correct.shape != learned.shape or correct.dtype != torch.int64:
            raise ValueError("of other tasks")
        if not (((correct >= 0) & (correct <= images))[learned].all() and (correct[~learned] == -1).all()):
            raise ValueError("impossible counts")
        if not all(tensor.isfinite().all() for tensor in saved.values()):
            raise ValueError("numbers that are not finite")
        self.record.set_state(saved, stages)
        self.scheme.set_state(saved, stages)
        self.correct = correct

    def learn(self, folder: Path | None = None) -> StreamResult:
        """Learn and test the tasks that are left, and write the results into `folder`, which is claimed and begun."""
        count, state = len(self.scheme.stream.tasks), self.state
        if folder is not None and not state.step:
            self.state = state = Checkpoint(folder / STATE, 1, self.identity)
        seconds = state.seconds
        for stage in range(state.step, count):
            before = state.elapsed()
            self.scheme.learn(stage)
            self.correct[stage, : stage + 1] = self.scheme.test(stage)
            self.record.add_stage(state.elapsed() - before, self.scheme.memory)
            if folder is not None:
                state.offer(self.scheme.state() | self.record.state() | {"correct": self.correct})
            if self.on_stage is not None:
                self.on_stage(stage, self.correct[stage, : stage + 1] / torch.tensor(self._test_images()[: stage + 1]))
            seconds = state.elapsed()  # looking at a finished run again takes no time
        choices = self.scheme.describe(self.scheme.learning, self.identity["memory"])
        result = StreamResult(self.identity | {"choices": choices} | self._measures(seconds) | _circumstances())
        if folder is not None:
            write_results(folder, result, self.scheme.memory)
        return result

    def _measures(self, seconds: float) -> dict[str, Any]:
        """The counts, all metrics and the costs."""
        images = self._test_images()
        metrics = summarise(self.correct.numpy().astype(np.float64), np.array(images))
        costs = {"memory_kept": self.scheme.memory.report(), "seconds": round(seconds, 1)}
        counts = {"test_images": images, "correct": self.correct.tolist()}
        return counts | metrics | costs | self.record.to_dict()

    def _test_images(self) -> list[int]:
        return [len(task.data.test) for task in self.scheme.stream.tasks]


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
    kept = Memory(trainer.stream, budget, provider, keeps_answers=kind.keeps_answers)
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
        "budget": budget.amount(),
        **budget.way(),
        "choices": scheme.describe(learning, ""),  # of any memory, as the states of earlier versions have it
        "learning": learning.model_dump() | {"net": trainer.net},
        "stream": trainer.stream.describe(),
        "seed": trainer.seed,
        "device_type": trainer.session.device.type,
        "compute": compute.model_dump(exclude={"device"}),
    }


def _circumstances() -> dict[str, Any]:
    return {
        "threads": torch.get_num_threads(),
        "versions": {"proxyset": __version__, "torch": torch.__version__, "python": platform.python_version()},
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
