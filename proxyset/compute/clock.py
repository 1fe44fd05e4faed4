"""Time as it is on a device that works on its own."""

import time
from collections.abc import Callable

import torch


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
