"""From a dataset and a method to a proxy set with its provenance."""

import datetime
import platform
from pathlib import Path
from typing import Any

import torch

from proxyset import __version__
from proxyset.checkpoint import Checkpoint
from proxyset.data import Dataset
from proxyset.engine import peak_memory
from proxyset.methods import Method
from proxyset.progress import Progress, silent
from proxyset.proxy import ProxySet
from proxyset.seeds import make_generator


def build(
    dataset: Dataset,
    method: Method,
    ipc: int,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
    checkpoint: Checkpoint | None = None,
) -> ProxySet:
    """Condense the training split of `dataset` to `ipc` images per class.

    The same arguments on the same device give the same bits, whether or not a checkpoint interrupted the work.

    Raises:
        InputError: the method cannot do that with this dataset.
        RunError: the work failed; the checkpoint, if any, holds the last good state.
    """
    device = torch.device(device)
    clock = checkpoint or Checkpoint(Path(), 1, {})  # counts the seconds of all the processes that worked on it
    data = method.condense(
        dataset.train,
        dataset.spec,
        ipc,
        generator=make_generator(seed, "condense", method.name),
        device=device,
        progress=progress,
        checkpoint=checkpoint,
    )
    provenance = identity(dataset, method, ipc, seed, device) | {
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


def identity(dataset: Dataset, method: Method, ipc: int, seed: int, device: torch.device) -> dict[str, Any]:
    """What determines the bits of a proxy set: a checkpoint of other work is refused, equal work may be reused."""
    return {
        "dataset": dataset.source | {"sha256": dataset.train.sha256(), "images": len(dataset.train)},
        "method": method.name,
        "settings": method.resolved(dataset.spec, ipc),
        "ipc": ipc,
        "seed": seed,
        "device_type": device.type,
    }
