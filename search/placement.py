"""Where the trials run: in this process, in worker processes of this machine, or on a cluster; on which device."""

import math
from dataclasses import dataclass, replace

import torch

from proxyset.compute.parallel import Pool, cores
from proxyset.compute.session import Session
from proxyset.errors import InputError
from proxyset.settings import Compute
from search.settings import Execution

TRIALS_PER_GPU = 4  # at once by default: small networks leave most of a GPU idle


@dataclass(frozen=True)
class Placement:
    """Where the trials run, everything decided.

    Attributes:
        session: of this process, which builds the proxy sets.
        pool: the workers (without meaning where `here`).
        compute: how a worker computes, with its device.
        here: one after another in this process, with its session.
        max_concurrent: the most trials at once (None: what there is room for).
    """

    session: Session
    pool: Pool
    compute: Compute
    here: bool
    max_concurrent: int | None = None

    @property
    def at_once(self) -> int:
        """How many trials run at the same time on this machine."""
        return 1 if self.here else self.pool.workers or 1

    @property
    def device(self) -> str:
        """What a trial runs on."""
        return str(self.session.device) if self.here else self.compute.device

    @property
    def threads(self) -> int:
        """torch's threads in a trial."""
        return torch.get_num_threads() if self.here else self.pool.cpus

    def pool_for(self, nbytes: int) -> Pool:
        """The pool with room for so many bytes of images, and no more workers than were asked for."""
        pool = replace(self.pool, object_store=self.pool.object_store + 2 * nbytes)
        return pool if pool.address is None else replace(pool, workers=self.max_concurrent)

    def trial_session(self) -> Session:
        """A session that computes as the trials do."""
        return self.session if self.here else Session(self.compute)


def place(pool: Pool | None, session: Session) -> Placement:
    """Where `rank_architectures` runs its trials.

    Args:
        pool: None, or one worker of this machine: in this process. Where it leaves `gpus` at 0 and the session is on a
            GPU, the workers share the GPUs of this machine equally.
    """
    if pool is None or pool.in_process:
        return Placement(session, Pool(), session.compute, here=True)
    return _spread(pool, session)


def place_by_flags(execution: Execution, session: Session) -> Placement:
    """Where `search run` runs its trials."""
    gpus = execution.gpus_per_trial
    if session.compute.device.startswith("cuda") and gpus == 0:
        raise InputError(f"`device={session.compute.device}` needs a GPU, but `gpus_per_trial=0` gives trials none")
    if session.compute.device == "cpu" and gpus:
        raise InputError(f"`device=cpu` uses no GPU, but `gpus_per_trial={gpus:g}` asks for one")
    if gpus and execution.address is None:
        _check_share(gpus, session.device)
    if gpus == 0 and session.device.type == "cuda":
        session = Session(session.compute.model_copy(update={"device": "cpu"}))
    if execution.workers == 0:
        return Placement(session, Pool(), session.compute, here=True)
    if execution.address is None and execution.cpus_per_trial > cores():
        raise InputError(
            f"`cpus_per_trial={execution.cpus_per_trial}` is more than the {cores()} cores of this machine"
        )
    pool = Pool(
        workers=execution.workers,
        address=execution.address,
        cpus=execution.cpus_per_trial,
        gpus=gpus or 0.0,
        retries=execution.retries,
    )
    return replace(_spread(pool, session), max_concurrent=execution.max_concurrent)


def default_workers(device: torch.device, cpus: int, gpus: float) -> int:
    """As many as the cores of this machine allow, and no more than its GPUs have room for.

    Args:
        cpus: cores of a trial.
        gpus: GPU share of a trial (0: a quarter, where the device is a GPU).
    """
    workers = max(1, cores() // cpus)
    if device.type == "cuda":
        per_gpu = TRIALS_PER_GPU if gpus == 0 else max(1, int(1 / gpus))
        workers = min(workers, max(1, int(torch.cuda.device_count() * per_gpu)))
    elif device.type == "mps":
        workers = min(workers, TRIALS_PER_GPU)
    return workers


def _spread(pool: Pool, session: Session) -> Placement:
    """Over the workers of a pool, with the GPU share and the device that follow from the session's."""
    device = session.device
    if pool.workers is None and pool.address is None:
        pool = replace(pool, workers=default_workers(device, pool.cpus, pool.gpus))
    if pool.gpus == 0 and device.type == "cuda":
        pool = replace(pool, gpus=_share(pool))
    if pool.gpus:
        _check_index(session)
        name = "cuda"
    else:
        name = device.type if device.type != "cuda" else "cpu"
    return Placement(session, pool, session.compute.model_copy(update={"device": name}), here=False)


def _share(pool: Pool) -> float:
    """An equal part of a GPU for each worker, rounded down to what Ray counts in."""
    if pool.address is not None:
        return 1 / TRIALS_PER_GPU
    per_gpu = math.ceil((pool.workers or 1) / max(1, torch.cuda.device_count()))
    return math.floor(10000 / per_gpu) / 10000


def _check_share(gpus: float, device: torch.device) -> None:
    """Refuse GPUs that this machine does not have."""
    there = torch.cuda.device_count() if device.type == "cuda" else 0
    if gpus > there:
        has = f"only {there}" if there else "none that trials can share"
        raise InputError(f"`gpus_per_trial={gpus:g}` asks for a GPU, but this machine has {has}")


def _check_index(session: Session) -> None:
    """Ray chooses the GPU of each worker: one that the user chose can only be the only one."""
    index = session.device.index
    if index is not None and torch.cuda.device_count() > 1:
        raise InputError(
            f"`device={session.compute.device}` names one GPU, but workers share all of them: make it the only one "
            f"(CUDA_VISIBLE_DEVICES={index}), or use `workers=0`"
        )
