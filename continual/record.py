"""Notes on a run: time and memory per task, and, where asked for, accuracy on every task after every epoch."""

from typing import Any

import torch
from torch import Tensor

from continual.memory import Memory
from continual.stream import Stream
from continual.trainer import Phase, Trainer
from proxyset.checkpoint import State
from proxyset.nets.classifier import Classifier

PHASES = ("new", "balanced", "afresh", "joint")


class Record:
    """Notes of one run.

    Attributes:
        costs: per finished stage seconds (making the memory and testing included), stored images, images trained on,
            and bytes of the memory after it: stages×4 float64.
        trace: a row per epoch: stage (from 0), place in `PHASES`, epoch (from 1), and for every task of the stream how
            many test images were right, −1 for tasks that are still to come: int64.
    """

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.costs = torch.empty(0, 4, dtype=torch.float64)
        self.trace = torch.empty(0, 3 + len(stream.tasks), dtype=torch.int64)

    def watch(self, trainer: Trainer) -> None:
        """Test the network on all tasks so far after every epoch of `trainer`; that changes nothing that it learns."""

        def after_epoch(net: Classifier, phase: Phase, done: int) -> None:
            right = trainer.look(net, phase.stage)
            to_come = torch.full((len(self.stream.tasks) - len(right),), -1)
            place = torch.tensor([phase.stage, PHASES.index(phase.name), done])
            self.trace = torch.cat([self.trace, torch.cat([place, right, to_come])[None]])

        trainer.watch = after_epoch

    def add_stage(self, seconds: float, memory: Memory) -> None:
        """Note what a stage took, and what is remembered after it."""
        kept = memory.report()
        row = [seconds, kept["images"], kept["training_images"], kept["bytes"]]
        self.costs = torch.cat([self.costs, torch.tensor([row], dtype=torch.float64)])

    def state(self) -> State:
        seconds, kept = (part.clone(memory_format=torch.contiguous_format) for part in self.costs.split([1, 3], 1))
        return {"record.seconds": seconds, "record.kept": kept, "record.trace": self.trace}

    def set_state(self, saved: State, stages: int) -> None:
        """Go on after so many stages.

        Raises:
            KeyError, ValueError: these are no notes of such a run.
        """
        trace = saved["record.trace"]
        costs = torch.cat([saved["record.seconds"], saved["record.kept"]], 1)
        if costs.shape != (stages, 4) or trace.shape[1:] != self.trace.shape[1:] or trace.dtype != torch.int64:
            raise ValueError("notes of another run")
        if len(trace) and not (0 <= int(trace[:, 0].max()) < stages and 0 <= int(trace[:, 1].max()) < len(PHASES)):
            raise ValueError("notes of other stages")
        self.costs, self.trace = costs, trace

    def to_dict(self) -> dict[str, Any]:
        """As results have it: `per_task`, and `trace` where there is one."""
        names = ("seconds", "images", "training_images", "bytes")
        per_task = [dict(zip(names, _row(row), strict=True)) for row in self.costs]
        trace = [
            {"stage": int(row[0]) + 1, "phase": PHASES[int(row[1])], "epoch": int(row[2]), "correct": row[3:].tolist()}
            for row in self.trace
        ]
        return {"per_task": per_task, **({"trace": trace} if trace else {})}


def _row(row: Tensor) -> list[float | int]:
    return [round(row[0].item(), 1), *(int(value) for value in row[1:])]
