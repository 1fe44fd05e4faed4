"""The jobs of one step, shared out to processes: one for each device, which keep what they were made with."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Generic, TypeVar, cast

import torch

from proxyset.errors import RunError

J = TypeVar("J")
R = TypeVar("R")
MakeMember = Callable[[torch.device], Callable[[J], R]]
"""Makes what does the jobs on a device, once in the process that has it; must be picklable."""


class Crew(Generic[J, R]):
    """Processes that work for this one until it ends.

    Sums are split over threads, so that every process has as many as this one: its results have the same bits.

    Args:
        devices: one process for each; the same may come twice.
    """

    def __init__(self, devices: Sequence[torch.device], make: "MakeMember[J, R]") -> None:
        spawn = multiprocessing.get_context("spawn")  # a process that has used a GPU or threads cannot be forked
        threads = torch.get_num_threads()
        self._members = [
            ProcessPoolExecutor(1, spawn, initializer=_begin, initargs=(make, device, threads)) for device in devices
        ]

    def __len__(self) -> int:
        return len(self._members)

    def run(self, jobs: Sequence[J]) -> list[R]:
        """Do one job on each device, at once; their results in the same order.

        Raises:
            RunError: a process died.
            Exception: what a job raised.
        """
        try:
            running = [member.submit(_do, job) for member, job in zip(self._members, jobs, strict=True)]
            return [cast(R, each.result()) for each in running]
        except BrokenProcessPool:
            raise RunError(
                "a process that shared the work died (out of memory, or killed); what is finished is kept"
            ) from None

    def close(self) -> None:
        """End the processes."""
        for member in self._members:
            member.shutdown(wait=False, cancel_futures=True)


_DOES: list[Callable[[Any], Any]] = []  # of a member's process: what does its jobs


def _begin(make: "MakeMember[Any, Any]", device: torch.device, threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to every process at the terminal; one decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    _DOES[:] = [make(device)]


def _end_with_parent() -> None:
    """Else a killed parent leaves its processes behind, waiting for jobs for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _do(job: Any) -> Any:
    return _DOES[0](job)
