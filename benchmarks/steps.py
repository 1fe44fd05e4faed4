"""What a step of each learned method costs: seconds and memory against classes, images per class and unrolled steps.

    OMP_NUM_THREADS=1 python -m benchmarks.steps > steps.md

On random images, 1×28×28, with a ConvNet of width 32, eager. Every case has a process of its own, for its peak memory.
"Estimated" is what `proxyset build` says before it starts; "measured" is the peak of the process after some more steps.
"""

import argparse
import json
import subprocess
import sys
import time
from typing import Any

import torch

from proxyset.compute.memory import peak_memory
from proxyset.compute.plan import Engine
from proxyset.compute.session import Session
from proxyset.data.load import load
from proxyset.methods.base import Context, Problem
from proxyset.methods.registry import get_method
from proxyset.methods.synthesis import LearnedMethod

STEPS, EACH = 4, 300  # steps that are timed, and real images of a class
NET = "convnet-w32"
CASES = [(10, 1), (10, 10), (100, 1)]  # classes, images per class
MORE: dict[str, list[dict[str, Any]]] = {
    "dc": [{}],
    "dsa": [{}],
    "dm": [{}, {"formation": 2, "batch_real": 64}],
    "krr": [{}, {"formation": 2, "batch_real": 512}],
    "kip": [{"batch_real": 1000}, {"batch_real": 200, "kernel": "convolutional"}],
    "dd": [{"unroll": 1, "epochs": epochs} for epochs in (3, 10, 30)]
    + [{"unroll": 1, "epochs": 30, "backprop_last": 10}],
    "ld": [{"unroll": unroll} for unroll in (1, 10)] + [{"solver": "ridge"}],
    "gtn": [{"unroll": 1, "epochs": epochs} for epochs in (3, 10)],
    "mtt": [{"unroll": unroll, "experts": 1, "expert_epochs": 1, "latest_start": 1, "span": 1} for unroll in (10, 50)],
}
SHOWN = ("formation", "batch_real", "kernel", "epochs", "backprop_last", "unroll", "solver")


def measure(name: str, settings: dict[str, Any], classes: int, ipc: int) -> dict[str, float]:
    """Seconds of a step, and peak memory in bytes, estimated and measured."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(classes * EACH, 1, 28, 28, generator=generator)
    labels = torch.arange(classes).repeat(EACH)
    data = load(((images * 255).byte(), labels), channels=1, size=28)
    fields = get_method(name).model_fields
    method: LearnedMethod = get_method(name)(**settings, **({"net": NET} if "net" in fields else {}))  # type: ignore[assignment]
    problem, session = Problem(data.train, data.spec, ipc), Session(device="cpu")
    estimated = method.estimate(problem, session, Engine()).memory
    run = method.start(problem, Context(torch.Generator().manual_seed(0), session, Engine()))
    run.step(0)
    begin = time.perf_counter()
    for number in range(1, STEPS + 1):
        run.step(number)
    seconds = (time.perf_counter() - begin) / STEPS
    return {"seconds": seconds, "estimated": estimated, "measured": peak_memory(torch.device("cpu"))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", type=json.loads, help="measure this one and print it as JSON")
    case = parser.parse_args().case
    if case is not None:
        print(json.dumps(measure(**case)))
        return
    print("| method | settings | classes | images per class | seconds per step | MiB estimated | MiB measured |")
    print("|---|---|---|---|---|---|---|")
    for name, variants in MORE.items():
        for settings in variants:
            for classes, ipc in CASES:
                given = json.dumps({"name": name, "settings": settings, "classes": classes, "ipc": ipc})
                command = [sys.executable, "-m", "benchmarks.steps", "--case", given]
                found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                words = " ".join(f"`{key}={value}`" for key, value in settings.items() if key in SHOWN)
                memory = [f"{found[kind] / 2**20:.0f}" for kind in ("estimated", "measured")]
                print(
                    f"| `{name}` | {words} | {classes} | {ipc} | {found['seconds']:.3f} | {' | '.join(memory)} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
