"""A map over jobs: in this process, or in reused workers of Ray on this machine or on a cluster.

With `dispatch.py` and `ray_local.py` the only file of `proxyset` that imports ray, and only inside functions.
"""

import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from proxyset.compute.dispatch import Assignment, Dispatcher, MakeWorker
from proxyset.compute.ray_environment import prepare_ray
from proxyset.compute.ray_local import guarded, scratch_folder
from proxyset.errors import InputError, RunError

J = TypeVar("J")
R = TypeVar("R")

OBJECT_STORE = 128 * 2**20  # bytes, besides large data that workers share


class WorkersLost(RunError):
    """Ray itself died on this machine."""


@dataclass(frozen=True)
class Pool:
    """Where jobs run.

    Attributes:
        workers: jobs at once. 1 without an address: in this process, one after another. None: as many as fit.
        address: a running Ray cluster: `auto`, or host:port.
        cpus: cores, and torch threads, of a worker.
        gpus: share of a GPU that a worker gets.
        retries: how often a job is started again after its worker died.
        object_store: bytes for what workers share on this machine.
    """

    workers: int | None = 1
    address: str | None = None
    cpus: int = 1
    gpus: float = 0.0
    retries: int = 2
    object_store: int = OBJECT_STORE

    @property
    def in_process(self) -> bool:
        return self.workers == 1 and self.address is None


def run_jobs(
    make_worker: "MakeWorker[J, R]",
    jobs: Sequence[J],
    pool: Pool,
    on_result: Callable[[int, R], None] | None = None,
    on_lost: Callable[[J, str], R] | None = None,
) -> list[R]:
    """Do all jobs and return their results in the order of the jobs; each is a call of its own.

    Args:
        make_worker: gives the function that does a job; called once in every process that works.
        on_result: called in this process with the number of a job and its result, as they come.
        on_lost: see `Assignment`.

    Raises:
        WorkersLost, InputError, RunError: see `stream_jobs`.
    """
    results: dict[int, R] = {}

    def keep(number: int, result: R, running: int) -> None:
        results[number] = result
        if on_result is not None:
            on_result(number, result)

    stream_jobs(Assignment(make_worker, jobs, keep, on_lost), pool)
    return [results[number] for number in range(len(jobs))]


def stream_jobs(work: Assignment[J, R], pool: Pool) -> None:
    """Do all jobs and hand each result on as it comes: as many as there are, none is kept.

    Raises:
        WorkersLost: Ray died on this machine.
        InputError, RunError: as the jobs raise them; RunError also where a job's worker died once more than
            `pool.retries`, or a job raised anything else in a worker. What `work.on_result` raises ends the work.
    """
    if not pool.in_process:
        spread_jobs(work, pool)
        return
    worker = work.make_worker()
    for number, job in enumerate(work.jobs):
        work.on_result(number, worker(job), int(number + 1 < len(work.jobs)))


def spread_jobs(work: Assignment[J, R], pool: Pool) -> None:
    """The same in workers of Ray alone, also where there is one: a job that takes its process down is started again.

    Raises:
        WorkersLost, InputError, RunError: see `stream_jobs`.
    """
    with ray_running(pool):
        check_resources(pool)
        Dispatcher(work, pool.cpus, pool.gpus, pool.retries, lambda: workers_that_fit(pool)).run()


def workers_that_fit(pool: Pool) -> int:
    """How many workers of the pool run at once on the Ray that runs now."""
    import ray

    resources = ray.cluster_resources()
    fit = int(resources.get("CPU", 1) // pool.cpus)
    if pool.gpus:
        fit = min(fit, int(resources.get("GPU", 0) / pool.gpus + 1e-6))
    return max(1, fit if pool.workers is None else min(fit, pool.workers))


@contextlib.contextmanager
def ray_running(pool: Pool) -> Iterator[Path]:
    """Ray as the pool says; one that already runs in this process is used and left running.

    Yields:
        A folder for temporary files, removed in the end.

    Raises:
        InputError: no cluster at the address.
        WorkersLost: Ray died on this machine.
    """
    prepare_ray(local=pool.address is None)
    import ray

    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # what fails is reported as a result
    with scratch_folder() as folder:
        if ray.is_initialized():
            yield folder
        elif pool.address is not None:
            with _joined(pool.address):
                yield folder
        else:
            with _started(pool, folder):
                yield folder


QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL, "configure_logging": True}


@contextlib.contextmanager
def _joined(address: str) -> Iterator[None]:
    """The cluster at an address."""
    import ray

    try:
        with _signals_kept():
            ray.init(address, **QUIET)
    except (ConnectionError, ValueError) as error:  # nobody there; no address at all
        reason = str(error).splitlines()[0]
        raise InputError(f"no Ray cluster at `address={address}`: {reason}") from None
    try:
        yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _started(pool: Pool, folder: Path) -> Iterator[None]:
    """A Ray of our own, which ends with this process."""
    import ray

    # workers import a user's modules by name, which lie in the working folder
    path = os.pathsep.join(dict.fromkeys([str(Path.cwd()), *filter(None, sys.path)]))

    def start() -> None:
        # "local", because without an address Ray would join whatever else runs on this machine
        with _signals_kept():
            ray.init(
                "local",
                num_cpus=None if pool.workers is None else pool.workers * pool.cpus,
                include_dashboard=False,
                object_store_memory=pool.object_store,
                runtime_env={"env_vars": {"PYTHONPATH": path}},
                _temp_dir=str(folder / "r"),  # a folder below, because Ray opens its own to everybody
                **QUIET,
            )

    with guarded(folder, start) as guard:
        try:
            with guard:
                yield
        except BaseException:
            if guard.lost:
                raise WorkersLost(
                    "Ray died on this machine (out of memory, or killed); what is finished is kept: `resume` goes on"
                ) from None
            raise
        finally:
            ray.shutdown()


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray replaces what handles SIGTERM; the command saves and says how to go on."""
    on_sigterm = signal.getsignal(signal.SIGTERM)
    yield
    with contextlib.suppress(ValueError):  # not the main thread
        signal.signal(signal.SIGTERM, on_sigterm)


def check_resources(pool: Pool) -> None:
    """Refuse what would wait for ever: a worker that no machine has room for.

    Raises:
        InputError: no machine has it.
    """
    import ray

    needs = {"CPU": float(pool.cpus), "GPU": pool.gpus}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(all(node.get(name, 0.0) >= need for name, need in needs.items()) for node in nodes):
        here = "; ".join(f"{node.get('CPU', 0):g} CPU, {node.get('GPU', 0):g} GPU" for node in nodes)
        asked = f"{needs['CPU']:g} CPU and {needs['GPU']:g} GPU"
        raise InputError(f"a worker needs {asked}, but no machine has that (there is: {here})")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_workers(device: torch.device) -> int:
    """One on two cores or fewer and on a GPU, otherwise one per core but one."""
    return cores() - 1 if cores() > 2 and device.type == "cpu" else 1
