"""How long one inner step of DSA takes: a plain implementation against the engine, taking turns in one run.

    python -m benchmarks.condense                   # the table: CIFAR-10- and MNIST-shaped data, 1 and 10 per class
    python -m benchmarks.condense --what profile    # where the time goes, beside what the machine can do
    python -m benchmarks.condense --what scaling    # against classes, images per class and image size
    python -m benchmarks.condense --device cuda

The plain implementation follows the paper's Algorithm 1 class by class with nothing but eager torch; the tests hold the
engine against it. Each contender has a process of its own, because the engine changes how its process keeps memory, and
only one of them works at a time. A network epoch is timed `--epochs` times and counted as often as the schedule has it.
"""

import argparse
import functools
import os
from collections.abc import Callable

import torch
from torch.nn import functional as F

from benchmarks.contenders import REAL, Case, Contender, stopwatch
from proxyset.compute.footprint import measure_footprint
from proxyset.compute.memory import keep_freed_memory
from proxyset.compute.plan import Engine, has_bf16
from proxyset.data.spec import normalise
from proxyset.nets.build import outline
from proxyset.progress import size as in_words


def compare(case: Case, device: torch.device, repeats: int, epochs: int) -> None:
    """The table of one case."""
    epochs = min(epochs, case.epochs())
    entries = [
        Contender("plain", case, Engine(device), plain=True),
        Contender("engine, fp32, eager", case, Engine(device)),
        Contender("engine, fp32, compiled", case, Engine(device, compiled=True)),
        Contender("engine, bf16, compiled", case, Engine(device, "bf16", compiled=True)),
    ]
    for _ in range(repeats):
        for entry in entries:
            entry.repeat(epochs)
    plain, eager = entries[0].seconds(case)["all"], entries[1]
    print(f"\n{case.name}, {case.channels}×{case.size}×{case.size}, ipc {case.ipc}: seconds per inner step")
    print("| | real | synthetic | network | all | times faster | peak memory | compiling | pays after | gradients |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for entry in entries:
        seconds = entry.seconds(case)
        row = [f"{seconds[part]:.2f}" for part in ("real", "synthetic", "network", "all")]
        row += [f"{plain / seconds['all']:.2f}", in_words(entry.memory), "", ""]
        if entry.engine.compiled:
            # both have started, and run two updates of the images and an epoch
            run = {e: 2 * sum(e.seconds(case)[part] for part in ("real", "synthetic")) for e in (entry, eager)}
            cost = (entry.start - run[entry]) - (eager.start - run[eager])
            gain = eager.seconds(case)["all"] - seconds["all"]
            row[-2:] = [f"{cost:.0f} s", f"{cost / gain:.0f} steps" if gain > 0 else "never"]
        exact, computed = entries[0].gradient.double(), entry.gradient.double()
        error = ((computed - exact).norm() / exact.norm()).item()
        cosine = F.cosine_similarity(computed.flatten(), exact.flatten(), 0).item()
        row.append(f"{error:.0e}, cos {cosine:.4f}")
        print(f"| {entry.name} | {' | '.join(row)} |", flush=True)
    for entry in entries:
        entry.close()


def scaling(device: torch.device, net: str, compiled: bool) -> None:
    """Time of an inner step against one size at a time."""
    cases = [Case(f"{n} classes", classes=n, net=net) for n in (10, 50, 100)]
    cases += [Case(f"ipc {n}", ipc=n, net=net) for n in (1, 10, 50)]
    cases += [Case(f"{n} pixels", size=n, net=net) for n in (16, 32, 64)]
    print("| | all | real | synthetic | network | TFLOP | GFLOP/s |\n|---|---|---|---|---|---|---|")
    for case in cases:
        entry = Contender(case.name, case, Engine(device, compiled=compiled))
        entry.repeat(min(2, case.epochs()))
        entry.close()
        seconds, flops = entry.seconds(case), case.flops()
        parts = " | ".join(f"{seconds[part]:.2f}" for part in ("all", "real", "synthetic", "network"))
        print(f"| {case.name} | {parts} | {flops / 1e12:.2f} | {flops / seconds['all'] / 1e9:.0f} |", flush=True)


def best(work: Callable[[], object], device: torch.device, repeats: int = 10) -> float:
    laps: list[float] = []
    for _ in range(repeats):
        with stopwatch(device, laps):
            work()
    return min(laps)


def profile(device: torch.device) -> None:
    """The parts of the real side's gradient, and what the machine does at best."""
    keep_freed_memory()
    print("what the machine does at best:")
    big = torch.randn(2**26, device=device)
    other = torch.empty_like(big)
    print(f"  copying: {2 * big.nbytes / best(lambda: other.copy_(big), device) / 1e9:.0f} GB/s")
    for dtype in (torch.float32, torch.bfloat16):
        images = torch.randn(16, 128, 16, 16, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
        weight = torch.randn(128, 128, 3, 3, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
        flops = 2 * images.numel() * weight[0].numel()
        conv = best(lambda i=images, w=weight: F.conv2d(i, w, padding=1), device)  # type: ignore[misc]
        a = torch.randn(2048, 2048, device=device, dtype=dtype)
        product = 2 * 2048**3 / best(lambda a=a: a @ a, device)  # type: ignore[misc]
        print(f"  {dtype}: matrix product {product / 1e9:.0f}, convolution 128→128 {flops / conv / 1e9:.0f} GFLOP/s")
    case = Case("cifar10", classes=1)
    cost = measure_footprint(outline(case.net, **case.spec().shape), case.channels, case.size)
    for engine in (Engine(device), Engine(device, compiled=True), Engine(device, "bf16", compiled=True)):
        run = case.start(engine)
        images, labels = normalise(run.real.images, run.spec).to(device), run.real.labels.to(device)
        work = functools.partial(run.gradients.of_weights, run.net, images, labels, matched=True)
        work()
        seconds = best(work, device, 5)
        with torch.profiler.profile() as record:
            work()
        name = f"{engine.precision}, {'compiled' if engine.compiled else 'eager'}"
        rate = 3 * cost.flops * REAL / seconds / 1e9
        print(f"\ngradient of 256 images, {name}: {1000 * seconds:.0f} ms, {rate:.0f} GFLOP/s, of it")
        for part, share in shares(record).items():
            print(f"  {part:<22} {share:5.1%}  {1000 * share * seconds:5.0f} ms")


def shares(record: torch.profiler.profile) -> dict[str, float]:
    """Which share of the time of a profile convolutions, products, the rest of the network and everything else take."""
    words = {
        "convolutions forward": ("mkldnn_convolution", "cudnn_convolution"),
        "convolutions backward": ("convolution_backward",),
        "matrix products": ("aten::mm", "aten::addmm"),
        "norm, ReLU, pooling": ("CompiledFxGraph", "graph_", "norm", "pool", "relu", "threshold", "triton"),
    }
    spent = dict.fromkeys([*words, "other"], 0.0)
    for event in record.key_averages():
        part = next((part for part, keys in words.items() if any(key in event.key for key in keys)), "other")
        spent[part] += event.self_cpu_time_total
    return {part: time / sum(spent.values()) for part, time in spent.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--what", choices=("table", "profile", "scaling"), default="table")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=5, help="network epochs that are timed in each repeat")
    parser.add_argument("--net", default="convnet", help="such as convnet-w32, for a quick look (table, scaling)")
    parser.add_argument("--cases", nargs="*", default=["cifar10-1", "cifar10-10", "mnist-1", "mnist-10"])
    parser.add_argument("--eager", action="store_true", help="do not compile (scaling)")
    settings = parser.parse_args()
    os.environ["TORCHINDUCTOR_FORCE_DISABLE_CACHES"] = "1"  # what an earlier run compiled must not count
    device = torch.device(settings.device)
    print(f"torch {torch.__version__}, {device}, {torch.get_num_threads()} threads, bf16 units: {has_bf16(device)}")
    if settings.what == "profile":
        return profile(device)
    if settings.what == "scaling":
        return scaling(device, settings.net, not settings.eager)
    for name in settings.cases:
        data, ipc = name.split("-")
        shape = {"cifar10": (3, 32), "mnist": (1, 28)}[data]
        compare(Case(data, *shape, int(ipc), net=settings.net), device, settings.repeats, settings.epochs)


if __name__ == "__main__":
    main()
