"""The state of long work on disk, from which it goes on bit for bit."""

import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from proxyset.errors import InputError
from proxyset.files import remove_leftovers, write_atomic
from proxyset.names import clean_name
from proxyset.parsing import Schema, check
from proxyset.tensors import check_seal, read_tensors, seal, write_bytes

LOG = logging.getLogger("proxyset")
KEY = "checkpoint"  # of the header

State = dict[str, Tensor]
EVERY = 10  # iterations of a build between two writes, where nobody says otherwise
SECONDS_BETWEEN_WRITES = 60.0


def copied(state: State) -> State:
    """A copy on the CPU, which later steps do not change."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in state.items()}


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
        self.identity = json.loads(json.dumps(identity, allow_nan=False))
        self.step = 0
        self.notes: dict[str, Any] = {}  # what else is to be found again: written and restored with the state
        self.seconds = 0.0  # spent before this process
        self._started = self._written = time.monotonic()
        self._latest: tuple[int, State] | None = None

    def restore(self) -> State | None:
        """The state last written, or None where there is none.

        Raises:
            InputError: the file is damaged, was changed, has no seal (older versions wrote none), or is of other work.
        """
        if not self.path.exists():
            return None
        try:
            state, header = _read(self.path)
        except InputError as error:
            raise InputError(f"cannot read the checkpoint {error}; `force=True` starts over") from None
        before, now = placeless(header.identity), placeless(self.identity)
        if before != now:
            different = [key for key in now if now[key] != before.get(key)]
            raise InputError(
                f"the checkpoint {str(self.path)!r} is of other work (different: {', '.join(different) or 'keys'}); "
                "give the same settings, or `force=True` starts over"
            )
        self._compare_machines(header)
        self.step, self.seconds, self.notes = header.step, header.seconds, header.notes
        return state

    def _compare_machines(self, before: "_Header") -> None:
        """Sums are split over threads and over the lanes of vector instructions: others round differently."""
        threads, instructions = torch.get_num_threads(), _instructions()
        if before.threads not in (None, threads):
            LOG.warning(
                "%s was made with %d thread%s, this process has %d: the result will not have the bits of a run "
                "that was never stopped (set OMP_NUM_THREADS=%d for those)",
                *(self.path.name, before.threads, "s" * (before.threads != 1), threads, before.threads),
            )
        if before.instructions not in (None, instructions):
            LOG.warning(
                "%s was made with %s instructions, this processor has %s: the result will not have the bits of a run "
                "that was never stopped",
                *(self.path.name, clean_name(str(before.instructions)), instructions),
            )

    def elapsed(self) -> float:
        """Seconds spent on this work, in all its processes."""
        return self.seconds + time.monotonic() - self._started

    def leave_out(self, seconds: float) -> None:
        """Do not count time that went into something else."""
        self.seconds -= seconds

    def begin(self, spent: float = 0.0) -> None:
        """Write a state without tensors, that of before the first step, unless there is one already.

        It keeps what the identity says, for work whose settings are not chosen again.

        Args:
            spent: seconds that have gone into this work before.
        """
        if not self.path.exists():
            self.seconds += spent
            self._latest = (0, {})
            self.write()

    def offer(self, state: State) -> None:
        """Count one step and keep its state: in memory always, on disk when due."""
        self.step += 1
        self._latest = self.step, copied(state)
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
            "instructions": _instructions(),
            "notes": self.notes,
        }
        write_atomic(self.path, write_bytes(state, seal(state, header, KEY)))
        self._written = time.monotonic()

    def remove(self) -> None:
        """Remove it, and what a process killed while writing it left."""
        self.path.unlink(missing_ok=True)
        remove_leftovers(self.path)


def is_of(path: Path, identity: dict[str, Any]) -> bool:
    """Whether the checkpoint at `path` can be read and is of the work with that identity."""
    return placeless(read_identity(path)) == placeless(json.loads(json.dumps(identity)))


def placeless(identity: Mapping[str, Any]) -> Mapping[str, Any]:
    """Without the place of the data, which are recognised by their content wherever they lie."""
    dataset = identity.get("dataset")
    if not isinstance(dataset, dict):
        return identity
    return {**identity, "dataset": {key: value for key, value in dataset.items() if key != "source"}}


def read_step(path: Path) -> int:
    """How many steps the checkpoint at `path` holds; 0 where there is none that can be read."""
    try:
        return _read(path)[1].step
    except InputError:
        return 0


def read_identity(path: Path) -> dict[str, Any]:
    """What the checkpoint at `path` is of; empty where there is none that can be read."""
    try:
        return _read(path)[1].identity
    except InputError:
        return {}


class _Header(Schema):
    """What a checkpoint says of itself."""

    identity: dict[str, Any]
    step: int = Field(ge=0)
    seconds: float = Field(ge=0)
    threads: int | None = Field(None, ge=1)
    instructions: str | None = None
    notes: dict[str, Any] = Field({})


def _read(path: Path) -> tuple[State, _Header]:
    """
    Raises:
        InputError: unreadable, changed after it was written, or without a seal.
    """
    state, metadata = read_tensors(path)
    where = repr(str(path))
    return state, check(check_seal(state, metadata, KEY, where), _Header, where)


def _instructions() -> str:
    """The vector instructions that torch uses: AVX2, AVX512, ..."""
    return torch.backends.cpu.get_cpu_capability()
