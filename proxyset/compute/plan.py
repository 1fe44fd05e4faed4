"""How work runs, decided once and before it: device, precision, compilation, micro-batches, memory, time.

Decisions come from what the user asked (`Compute`) and the amount of work. They read shapes and the kind of hardware
but no clock, so that the same command makes the same choices.
"""

import contextlib
import math
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import Field

from proxyset.compute.footprint import Footprint
from proxyset.compute.memory import peak_memory
from proxyset.data.images import ImageSet
from proxyset.errors import InputError
from proxyset.settings import Settings

CACHE = 16 * 2**20  # bytes of the largest activation of a micro-batch on a CPU; 4 to 16 MiB are as fast as each other
LIVE = 3  # bytes held while a gradient is computed, over the bytes of all activations
BASE = 448 * 2**20  # bytes that a process takes before any work: Python, torch, a small dataset
COMPILE_SECONDS = 60.0  # of the functions of one piece of work, on two cores
COMPILED_SHARE = {"fp32": 0.75, "bf16": 0.45}  # time of a compiled step over an eager one (benchmarks/condense.py)
EAGER_FLOPS = {"cpu": 1e11, "cuda": 5e12}  # nominal, whatever the number of threads; where compiling is worth a thought
SHARED = 16  # one part of so many of a GPU's memory is for a micro-batch: up to four processes have it together
EAGER_STEP = 2e-3  # seconds that a minibatch costs however small it is


class Estimate(Settings):
    """What a piece of work will take, from a few timed steps."""

    seconds: float = Field(0.0, description="wall-clock seconds on this device")
    memory: int = Field(0, description="peak memory in bytes: of the process on a CPU, of the device on a GPU")
    uncompiled: float = Field(0.0, description="seconds without compilation, where there is any (0: there is none)")


@dataclass(frozen=True)
class Work:
    """How much there is to do: minibatches, and images in them, that pass forward and backward through a network.

    A network with BatchNorm cannot be compiled: its statistics change outside of what would be.
    """

    footprint: Footprint
    images: float
    minibatches: float
    batch_norm: bool = False


@dataclass(frozen=True)
class Engine:
    """How the steps of one piece of work run, everything decided."""

    device: torch.device = torch.device("cpu")  # noqa: RUF009 (immutable)
    precision: Literal["fp32", "bf16"] = "fp32"
    compiled: bool = False
    memory_limit: int | None = None  # bytes

    def facts(self) -> dict[str, Any]:
        """The settings that can change a result's bits."""
        mode = {"precision": self.precision, "compile": "on" if self.compiled else "off"}
        return {"device_type": self.device.type} | mode | {"memory_limit": self.memory_limit}

    def eager(self) -> "Engine":
        """The same place without anything that takes time to prepare: what timed steps run with."""
        return Engine(self.device, "fp32" if self.compiled else self.precision, memory_limit=self.memory_limit)

    def estimate(self, eager: float) -> Estimate:
        """What work takes that runs `eager` seconds without compilation; memory is what has been used so far."""
        memory = peak_memory(self.device)
        if not self.compiled:
            return Estimate(seconds=eager, memory=memory)
        seconds = eager * COMPILED_SHARE[self.precision] + COMPILE_SECONDS
        return Estimate(seconds=seconds, memory=memory, uncompiled=eager)

    def microbatch(self, footprint: Footprint, count: int) -> int:
        """Images that pass through the network at a time when a gradient sums over `count` of them.

        On a CPU as many as keep activations in the cache, where a gradient is faster (and needs far less memory) than
        in one piece; on a GPU as many as a sixteenth of its memory takes. Never more than the memory limit allows. What
        is free at the moment has no say, because the sums, and so the bits, depend on the number.

        Raises:
            InputError: not even one image fits under the memory limit.
        """
        scale = 2 if self.precision == "bf16" else 1
        each = max(1, LIVE * footprint.activations // scale)
        best = count
        if self.device.type == "cuda":
            best = torch.cuda.get_device_properties(self.device).total_memory // SHARED // each
        elif self.device.type == "cpu":
            best = CACHE * scale // max(1, footprint.largest)
        size = math.ceil(count / max(1, round(count / max(1, best))))  # parts of one size, near the best
        if self.memory_limit is None:
            return size
        base = BASE if self.device.type == "cpu" else 0
        room = (self.memory_limit - base) // each
        if room < 1:
            raise InputError(
                f"`memory_limit={self.memory_limit / 2**30:g}` is too small: with one image at a time "
                f"{(base + each) / 2**30:.2f} GiB are needed"
            )
        return min(size, math.ceil(count / math.ceil(count / room)))

    def place(self, data: ImageSet) -> ImageSet:
        """The images where the steps run, if they leave most of the memory there; otherwise where they are."""
        if self.device.type == "cuda":
            total = torch.cuda.get_device_properties(self.device).total_memory
            return data.to(self.device) if data.images.nbytes < total // 4 else data
        return data

    def autocast(self) -> AbstractContextManager[Any]:
        """bf16 for convolutions and products; sums, norms and distances stay in fp32."""
        if self.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def check_memory(self, estimate: Estimate) -> None:
        """Raise `InputError` where the work needs more memory than the limit allows, whatever its micro-batches."""
        if self.memory_limit is not None and estimate.memory > self.memory_limit:
            raise InputError(
                f"{estimate.memory / 2**30:.2f} GiB are needed, "
                f"more than `memory_limit={self.memory_limit / 2**30:g}`: "
                "a smaller `batch_synthetic` or a smaller `net` needs less"
            )


def saving(work: Work, device: torch.device, precision: str) -> float:
    """Seconds that compiled steps save: nominal, so that the choice does not change with the weather."""
    if device.type not in EAGER_FLOPS:
        return 0.0
    eager = 3 * work.footprint.flops * work.images / EAGER_FLOPS[device.type] + EAGER_STEP * work.minibatches
    return eager * (1 - COMPILED_SHARE[precision])


def resolve_devices(names: str) -> tuple[torch.device, ...]:
    """One device (see `resolve_device`), or several of one kind with commas between.

    Raises:
        InputError: one of them is not here, or they are of different kinds.
    """
    devices = tuple(resolve_device(name.strip()) for name in names.split(","))
    if len({device.type for device in devices}) > 1:
        raise InputError(f"`device={names}` names devices of different kinds, which do not give the same bits")
    return devices


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
        raise InputError(f"unknown `device` {name!r}: auto, cpu, cuda, cuda:N or mps") from None
    here = {"cpu": True, "cuda": (device.index or 0) < torch.cuda.device_count(), "mps": mps}
    if not here.get(device.type, False):
        raise InputError(f"device {name!r} is not available here; `device=auto` takes what there is")
    return device


def has_bf16(device: torch.device) -> bool:
    """Whether the hardware multiplies in bfloat16, so that it is faster and not only smaller."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # since torch 2.11
        return bool(known.get("avx512_bf16") or known.get("amx_bf16"))
    return False
