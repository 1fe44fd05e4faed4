"""Where computation runs and what it costs: device, memory, time."""

import resource
import sys

import torch
from pydantic import Field

from proxyset.settings import InputError, Settings


class Estimate(Settings):
    """What a piece of work will take, from a few timed steps."""

    seconds: float = Field(0.0, description="wall-clock seconds on this device")
    memory: int = Field(0, description="peak memory in bytes: of the process on a CPU, of the device on a GPU")


def resolve_device(name: str) -> torch.device:
    """`auto` (a GPU where there is one), `cpu`, `cuda`, `cuda:N` or `mps` to a device that exists here.

    Raises:
        InputError: no such device.
    """
    mps = torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"unknown device {name!r}: auto, cpu, cuda, cuda:N or mps") from None
    here = {"cpu": True, "cuda": (device.index or 0) < torch.cuda.device_count(), "mps": mps}
    if not here.get(device.type, False):
        raise InputError(f"device {name!r} is not available here; --device auto takes what there is")
    return device


def synchronise(device: torch.device) -> None:
    """Wait for the device, so that a clock read next is true."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def peak_memory(device: torch.device) -> int:
    """Highest memory use so far in bytes: of the process on a CPU, of the allocator on a GPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
