"""Where and how computation runs, and what it costs: device, precision, compilation, micro-batches, memory, time.

`plan` decides, from what the user asked (`Compute`) and the amount of work, once and before anything runs; it reads
shapes and the kind of hardware but no clock, so that the same command makes the same choices. `kernels.py` holds what
then runs.
"""

import copy
import ctypes
import functools
import logging
import math
import re
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from proxyset.data.images import ImageSet
from proxyset.settings import Compute, InputError, Settings

LOG = logging.getLogger("proxyset")

CACHE = 16 * 2**20  # bytes of the largest activation of a micro-batch on a CPU; 4 to 16 MiB are as fast as each other
LIVE = 3  # bytes held while a gradient is computed, over the bytes of all activations
BASE = 448 * 2**20  # bytes that a process takes before any work: Python, torch, a small dataset
COMPILE_SECONDS = 60.0  # of the functions of one piece of work, on two cores
COMPILED_SHARE = {"fp32": 0.75, "bf16": 0.45}  # time of a compiled step over an eager one (benchmarks/condense.py)
EAGER_FLOPS = {"cpu": 1e11, "cuda": 5e12}  # nominal, whatever the number of threads; where compiling is worth a thought
EAGER_STEP = 2e-3  # seconds that a minibatch costs however small it is


class Estimate(Settings):
    """What a piece of work will take, from a few timed steps."""

    seconds: float = Field(0.0, description="wall-clock seconds on this device")
    memory: int = Field(0, description="peak memory in bytes: of the process on a CPU, of the device on a GPU")
    uncompiled: float = Field(0.0, description="seconds without compilation, where there is any (0: there is none)")


@dataclass(frozen=True)
class Footprint:
    """What one image costs a network in one forward pass, in fp32.

    Attributes:
        flops: floating-point operations of its convolutions and products.
        largest: bytes of its largest activation.
        activations: bytes of all its activations.
    """

    flops: int
    largest: int
    activations: int


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
        """What of it the bits of a result depend on."""
        mode = {"precision": self.precision, "compile": "on" if self.compiled else "off"}
        return {"device_type": self.device.type} | mode | {"memory_limit": self.memory_limit}

    def eager(self) -> "Engine":
        """What `estimate` is given the time of: the same place, without anything that takes time to prepare."""
        return Engine(self.device, "fp32" if self.compiled else self.precision, memory_limit=self.memory_limit)

    def estimate(self, eager: float) -> Estimate:
        """Of work that takes `eager` seconds without compilation, and the memory that the process has used so far."""
        memory = peak_memory(self.device)
        if not self.compiled:
            return Estimate(seconds=eager, memory=memory)
        seconds = eager * COMPILED_SHARE[self.precision] + COMPILE_SECONDS
        return Estimate(seconds=seconds, memory=memory, uncompiled=eager)

    def microbatch(self, footprint: Footprint, count: int) -> int:
        """Images that pass through the network at a time when a gradient sums over `count` of them.

        On a CPU as many as keep activations in the cache, where a gradient is faster (and needs far less memory) than
        in one piece; on a GPU as many as a quarter of its memory takes. Never more than the memory limit allows. What
        is free at the moment has no say, because the sums, and so the bits, depend on the number.

        Raises:
            InputError: not even one image fits under the memory limit.
        """
        scale = 2 if self.precision == "bf16" else 1
        each = max(1, LIVE * footprint.activations // scale)
        best = count
        if self.device.type == "cuda":
            best = torch.cuda.get_device_properties(self.device).total_memory // 4 // each
        elif self.device.type == "cpu":
            best = CACHE * scale // max(1, footprint.largest)
        size = math.ceil(count / max(1, round(count / max(1, best))))  # parts of one size, near the best
        if self.memory_limit is None:
            return size
        base = BASE if self.device.type == "cpu" else 0
        room = (self.memory_limit - base) // each
        if room < 1:
            raise InputError(
                f"--memory-limit {self.memory_limit / 2**30:g} is too small: with one image at a time "
                f"{(base + each) / 2**30:.2f} GiB are needed"
            )
        return min(size, math.ceil(count / math.ceil(count / room)))

    def place(self, data: ImageSet) -> ImageSet:
        """The images where the steps run, if they leave most of the memory there; otherwise where they are."""
        if self.device.type == "cuda":
            total = torch.cuda.get_device_properties(self.device).total_memory
            return data.to(self.device) if data.images.nbytes < total // 4 else data
        return data

    def check_memory(self, estimate: Estimate) -> None:
        """Raise `InputError` where the work needs more memory than the limit allows, whatever its micro-batches."""
        if self.memory_limit is not None and estimate.memory > self.memory_limit:
            raise InputError(
                f"{estimate.memory / 2**30:.2f} GiB are needed, more than --memory-limit "
                f"{self.memory_limit / 2**30:g}: fewer --batch-synthetic or a smaller --net needs less"
            )


def plan(compute: Compute, work: Work | None = None) -> Engine:
    """Decide how `work` runs (None: work that only ever runs eagerly in fp32).

    Raises:
        InputError: no such device here.
    """
    device = resolve_device(compute.device)
    if device.type == "cpu":
        keep_freed_memory()
    limit = None if compute.memory_limit is None else int(compute.memory_limit * 2**30)
    if work is None:
        return Engine(device, memory_limit=limit)
    precision: Literal["fp32", "bf16"] = "bf16" if compute.precision == "bf16" else "fp32"
    if precision == "bf16" and not has_bf16(device):
        _say_once(f"bf16 will be slow: {device} has no units for it")
    worth = compute.compile == "auto" and saving(work, device, precision) > COMPILE_SECONDS
    if work.batch_norm and compute.compile == "on":
        _say_once("not compiled: the network has BatchNorm, whose statistics change outside of what is compiled")
    compiled = (compute.compile == "on" or worth) and not work.batch_norm and has_compiler()
    return Engine(device, precision, compiled, limit)


def saving(work: Work, device: torch.device, precision: str) -> float:
    """Seconds that compiled steps save: nominal, so that the choice does not change with the weather."""
    if device.type not in EAGER_FLOPS:
        return 0.0
    eager = 3 * work.footprint.flops * work.images / EAGER_FLOPS[device.type] + EAGER_STEP * work.minibatches
    return eager * (1 - COMPILED_SHARE[precision])


def footprint(net: nn.Module, channels: int, size: int) -> Footprint:
    """Measure a copy of a network on the meta device, at no cost; all zero where it cannot run there.

    Args:
        net: a network, or its outline.
    """
    key = repr(net), channels, size
    if key not in _MEASURED:
        _MEASURED[key] = _measure(net, channels, size)
    return _MEASURED[key]


_MEASURED: dict[tuple[str, int, int], Footprint] = {}  # measuring takes as long as ten steps of a small network


def _measure(net: nn.Module, channels: int, size: int) -> Footprint:
    outputs: list[int] = []

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and not list(module.children()):
            outputs.append(output.numel() * 4)

    try:
        net = copy.deepcopy(net).to("meta").eval()
        for module in net.modules():
            module.register_forward_hook(note)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            net(torch.empty(1, channels, size, size, device="meta"))
    except Exception:  # a user's network may do what only real tensors can
        return Footprint(0, 0, 0)
    return Footprint(counter.get_total_flops(), max(outputs, default=0), sum(outputs))


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


def has_bf16(device: torch.device) -> bool:
    """Whether the hardware multiplies in bfloat16, so that it is faster and not only smaller."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # since torch 2.11
        return bool(known.get("avx512_bf16") or known.get("amx_bf16"))
    return False


@functools.cache
def has_compiler() -> bool:
    """Whether torch finds the C++ compiler that it needs; where not, one line says so."""
    try:
        from torch._inductor.cpp_builder import get_cpp_compiler

        get_cpp_compiler()
    except ImportError:  # another version of torch: it will be seen when the first step is compiled
        return True
    except Exception as error:
        _say_once(f"not compiled: {str(error).strip().splitlines()[0]}")
        return False
    return True


@functools.cache
def _say_once(line: str) -> None:
    LOG.warning(line)


@functools.cache
def keep_freed_memory() -> None:
    """Let the C library keep freed blocks for the next step.

    By default glibc returns blocks over 32 MiB, and free memory over 64 MiB at the end of the heap, to the system at
    once. The activations of every minibatch are such blocks: of the 1.4 s that an eager gradient of 256 CIFAR-10 images
    takes on two cores, half went into clearing fresh pages. The process keeps its peak memory until it ends.
    """
    trim, threshold = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
        if mallopt is not None:
            mallopt(trim, 2**31 - 1)
            mallopt(threshold, 2**30) or mallopt(threshold, 2**25)  # older versions take no more than 32 MiB


def synchronise(device: torch.device) -> None:
    """Wait for the device, so that a clock read next is true."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of the second call; the first warms up."""
    for _ in range(2):
        synchronise(device)
        started = time.perf_counter()
        work()
        synchronise(device)
        seconds = time.perf_counter() - started
    return seconds


def peak_memory(device: torch.device) -> int:
    """Highest memory use so far in bytes: of the process on a CPU, of the allocator on a GPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "linux":  # where getrusage remembers the process that started this one
        found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))
        if found:
            return int(found[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
