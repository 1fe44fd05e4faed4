"""From a dataset and a method to a proxy set with its provenance."""

import datetime
import hashlib
import json
import platform
from pathlib import Path
from typing import Any

import torch

from proxyset import __version__
from proxyset.checkpoint import Checkpoint
from proxyset.data import Dataset
from proxyset.engine import Engine, peak_memory, plan
from proxyset.kernels import FAILED
from proxyset.methods import Method
from proxyset.progress import Progress, silent
from proxyset.proxy import ProxySet
from proxyset.seeds import make_generator
from proxyset.settings import Compute, RunError


def build(
    dataset: Dataset,
    method: Method,
    ipc: int,
    *,
    seed: int = 0,
    compute: Compute | None = None,
    progress: Progress = silent,
    checkpoint: Checkpoint | None = None,
) -> ProxySet:
    """Condense the training split of `dataset` to `ipc` images per class.

    The same arguments on the same device give the same bits, whether or not a checkpoint interrupted the work.

    Args:
        compute: device, precision and the rest (None: left to `engine.plan`).

    Raises:
        InputError: the method cannot do that with this dataset.
        RunError: the work failed; the checkpoint, if any, holds the last good state.
    """
    engine = engine_for(dataset, method, ipc, compute)
    device = engine.device
    clock = checkpoint or Checkpoint(Path(), 1, {})  # counts the seconds of all the processes that worked on it
    data = method.condense(
        dataset.train,
        dataset.spec,
        ipc,
        generator=make_generator(seed, "condense", method.name),
        engine=engine,
        progress=progress,
        checkpoint=checkpoint,
    )
    provenance = identity(dataset, method, ipc, seed, engine) | {
        "compile": "failed" if engine in FAILED else engine.facts()["compile"],
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "seconds": round(clock.elapsed(), 3),
        "peak_memory_bytes": peak_memory(device),
        "versions": {
            "proxyset": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "scores": [],
    }
    return ProxySet(data, dataset.spec, provenance)


def build_file(
    dataset: Dataset,
    method: Method,
    ipc: int,
    path: Path,
    *,
    seed: int = 0,
    compute: Compute | None = None,
    progress: Progress = silent,
    every: int = 10,
    fresh: bool = False,
) -> ProxySet:
    """`build` into the artefact `path`, going on where an earlier call for it was interrupted or killed.

    Args:
        every: iterations between two writes of the state, which lies beside the artefact until that is whole.
        fresh: start over in place of going on.

    Raises:
        InputError: as `build`, or what an earlier call left is of other work.
        RunError, KeyboardInterrupt: the last good state is kept.
    """
    facts = identity(dataset, method, ipc, seed, engine_for(dataset, method, ipc, compute))
    checkpoint = Checkpoint(checkpoint_path(path), every * method.steps(ipc), facts)
    if fresh:
        checkpoint.remove()
    try:
        proxy = build(dataset, method, ipc, seed=seed, compute=compute, progress=progress, checkpoint=checkpoint)
    except RunError as error:
        where = f" ({checkpoint.path})" if checkpoint.path.exists() else ""
        raise RunError(f"{error}{where}") from None
    except KeyboardInterrupt:
        checkpoint.write()
        raise KeyboardInterrupt(f"interrupted, {checkpoint.step} steps are kept") from None
    proxy.save(path)
    checkpoint.remove()
    return proxy


def engine_for(dataset: Dataset, method: Method, ipc: int, compute: Compute | None = None) -> Engine:
    """How the steps of this work will run.

    Raises:
        InputError: the method cannot do that with this dataset, or there is no such device.
    """
    method.check(dataset.train, dataset.spec, ipc)
    return plan(compute or Compute(), method.work(dataset.train, dataset.spec, ipc))


def checkpoint_path(path: Path) -> Path:
    """Where the state of an unfinished artefact is."""
    return path.with_suffix(".checkpoint")


def store_path(facts: dict[str, Any], name: str, store: Path) -> Path:
    """Where a proxy set of this `identity`, of the dataset called `name`, is kept to be used again.

    That is the file that `proxyset build` makes by default if it is of the same identity, otherwise one with a hash of
    the identity in its name, so that sets built with other settings stay apart. How it was computed is no part of
    it: a set that a GPU made serves a machine without one.
    """
    facts = _lasting(facts)
    stem = f"{name}-{facts['method']}-ipc{facts['ipc']}-seed{facts['seed']}"
    plain = store / f"{stem}.safetensors"
    if plain.exists() and is_same(ProxySet.load(plain), facts):
        return plain
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:8]
    return store / f"{stem}-{digest}.safetensors"


def is_same(proxy: ProxySet, facts: dict[str, Any]) -> bool:
    """Whether a proxy set was built from just these facts (see `identity`), however it was computed."""
    return all(proxy.provenance.get(key) == value for key, value in _lasting(facts).items())


def _lasting(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts as they read back from a file, without how the set was computed."""
    return json.loads(json.dumps({key: value for key, value in facts.items() if key not in Engine().facts()}))


def identity(dataset: Dataset, method: Method, ipc: int, seed: int, engine: Engine) -> dict[str, Any]:
    """What determines the bits of a proxy set: a checkpoint of other work is refused, equal work may be reused."""
    return {
        "dataset": dataset.source | {"sha256": dataset.train.sha256(), "images": len(dataset.train)},
        "method": method.name,
        "settings": method.resolved(dataset.spec, ipc),
        "ipc": ipc,
        "seed": seed,
    } | engine.facts()
