"""The memory of this process: kept for the next step, and measured."""

import ctypes
import re
import resource
import sys
from pathlib import Path

import torch


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
