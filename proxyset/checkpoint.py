"""The state of long work on disk, from which it goes on bit for bit."""

import glob
import json
import logging
import time
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from proxyset.errors import InputError
from proxyset.files import write_atomic

LOG = logging.getLogger("proxyset")

State = dict[str, Tensor]
SECONDS_BETWEEN_WRITES = 60.0


class Checkpoint:
    """The state of one long computation: offered after every step, on disk every `every` steps or 60 seconds.

    Args:
        path: where it is kept.
        every: steps between two writes.
        identity: what must be the same for the state to be of any use (dataset hash, settings, seed, device type).
    """

    def __init__(self, path: Path, every: int, identity: dict[str, Any]) -> None:
        self.path = path
        self.every = every
        self.identity = json.loads(json.dumps(identity))
        self.step = 0
        self.seconds = 0.0  # spent before this process
        self._started = self._written = time.monotonic()
        self._latest: tuple[int, State] | None = None

    def restore(self) -> State | None:
        """The state last written, or None where there is none.

        Raises:
            InputError: the file is damaged, or belongs to other work.
        """
        if not self.path.exists():
            return None
        try:
            with safetensors.safe_open(self.path, framework="pt") as file:
                header = json.loads((file.metadata() or {})["checkpoint"])
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (safetensors.SafetensorError, OSError, KeyError, ValueError) as error:
            raise InputError(
                f"cannot read the checkpoint {str(self.path)!r} ({error}); `force=True` starts over"
            ) from None
        if header["identity"] != self.identity:
            different = [key for key in self.identity if self.identity[key] != header["identity"].get(key)]
            raise InputError(
                f"the checkpoint {str(self.path)!r} is of other work (different: {', '.join(different) or 'keys'}); "
                "give the same settings, or `force=True` starts over"
            )
        self._compare_threads(header.get("threads"))
        self.step, self.seconds = header["step"], header["seconds"]
        return state

    def _compare_threads(self, before: int | None) -> None:
        """Sums are split over threads, so another number of them rounds differently."""
        now = torch.get_num_threads()
        if before is not None and before != now:
            LOG.warning(
                "%s was made with %d thread%s, this process has %d: the result will not have the bits of a run "
                "that was never stopped (set OMP_NUM_THREADS=%d for those)",
                *(self.path.name, before, "s" * (before > 1), now, before),
            )

    def elapsed(self) -> float:
        """Seconds spent on this work, in all its processes."""
        return self.seconds + time.monotonic() - self._started

    def offer(self, state: State) -> None:
        """Count one step and keep its state: in memory always, on disk when due."""
        self.step += 1
        self._latest = (
            self.step,
            {name: tensor.detach().to("cpu", copy=True) for name, tensor in state.items()},
        )
        if self.step % self.every == 0 or time.monotonic() - self._written > SECONDS_BETWEEN_WRITES:
            self.write()

    def write(self) -> None:
        """Write the state last offered, if any."""
        if self._latest is None:
            return
        step, state = self._latest
        header = {
            "identity": self.identity,
            "step": step,
            "seconds": self.elapsed(),
            "threads": torch.get_num_threads(),
        }
        contiguous = {name: tensor.contiguous() for name, tensor in state.items()}
        write_atomic(self.path, safetensors.torch.save(contiguous, metadata={"checkpoint": json.dumps(header)}))
        self._written = time.monotonic()

    def remove(self) -> None:
        """Remove it, and what a process killed while writing it left."""
        self.path.unlink(missing_ok=True)
        for part in self.path.parent.glob(f".{glob.escape(self.path.name)}.*.part"):
            part.unlink(missing_ok=True)


def read_step(path: Path) -> int:
    """How many steps the checkpoint at `path` holds; 0 where there is none that can be read."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return int(json.loads((file.metadata() or {})["checkpoint"])["step"])
    except (safetensors.SafetensorError, OSError, KeyError, ValueError):
        return 0
