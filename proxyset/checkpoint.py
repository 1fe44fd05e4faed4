"""State on disk: written whole or not at all, and read back to go on bit for bit."""

import contextlib
import glob
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from proxyset.settings import InputError

State = dict[str, Tensor]
SECONDS_BETWEEN_WRITES = 60.0


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that a crash at any moment leaves the old one or the new one, never a part.

    Raises:
        InputError: the folder cannot be created or written.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"cannot write {str(path)!r}: {error.strerror}") from None
    finally:
        if temporary is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def check_writable(folder: Path) -> None:
    """Raise `InputError` now rather than after hours of work if nothing can be written to `folder`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"cannot write to {str(folder)!r}: {error.strerror}; choose --out") from None


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
            raise InputError(f"cannot read the checkpoint {str(self.path)!r} ({error}); --force starts over") from None
        if header["identity"] != self.identity:
            different = [key for key in self.identity if self.identity[key] != header["identity"].get(key)]
            raise InputError(
                f"the checkpoint {str(self.path)!r} is of other work (different: {', '.join(different) or 'keys'}); "
                "give the same settings, or --force starts over"
            )
        self.step, self.seconds = header["step"], header["seconds"]
        return state

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
        header = {"identity": self.identity, "step": step, "seconds": self.elapsed()}
        contiguous = {name: tensor.contiguous() for name, tensor in state.items()}
        write_atomic(self.path, safetensors.torch.save(contiguous, metadata={"checkpoint": json.dumps(header)}))
        self._written = time.monotonic()

    def remove(self) -> None:
        """Remove it, and what a process killed while writing it left."""
        self.path.unlink(missing_ok=True)
        for part in self.path.parent.glob(f".{glob.escape(self.path.name)}.*.part"):
            part.unlink(missing_ok=True)
