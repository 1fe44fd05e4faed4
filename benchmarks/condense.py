"""How long one inner step of DSA takes: a plain implementation against the engine, taking turns in one process.

    python benchmarks/condense.py                   # the table: CIFAR-10- and MNIST-shaped data, 1 and 10 per class
    python benchmarks/condense.py --what profile    # where the time goes, beside what the machine can do
    python benchmarks/condense.py --what scaling    # against classes, images per class and image size
    python benchmarks/condense.py --device cuda

The plain implementation follows the paper's Algorithm 1 class by class with nothing but eager torch; the tests hold the
engine against it. It runs under the C library's own memory settings, as it would in a script of its own; the engine under the
ones it chooses. A network epoch is timed `--epochs` times and counted as often as the schedule has it.
"""

import argparse
import contextlib
import copy
import ctypes
import functools
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TORCHINDUCTOR_FORCE_DISABLE_CACHES", "1")  # what an earlier run compiled must not count

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from proxyset import augment
from proxyset.data import DatasetSpec, ImageSet, normalise
from proxyset.engine import Engine, footprint, has_bf16, keep_freed_memory, peak_memory, synchronise
from proxyset.methods.gradient import DSA, _Run
from proxyset.nets import outline
from proxyset.progress import size as in_words

REAL = 256  # images per class, all of them in every batch


# The plain implementation.


def plain_gradients(net: nn.Module, images: Tensor, label: int, create_graph: bool = False) -> list[Tensor]:
    """∇_θ of the mean cross-entropy on images of one class, for the weights that the distance looks at."""
    loss = F.cross_entropy(net(images), torch.full((len(images),), label, device=images.device))
    weights = [p for p in net.parameters() if p.ndim > 1]
    return list(torch.autograd.grad(loss, weights, create_graph=create_graph))


def plain_match(net: nn.Module, target: list[Tensor], synthetic: Tensor, label: int, transform: Any) -> Tensor:
    """The gradient of D(∇L^S, `target`) with respect to the synthetic images of one class (paper, equation 3)."""
    synthetic = synthetic.clone().requires_grad_()
    own = plain_gradients(net, augment.apply(transform, synthetic), label, create_graph=True)
    distance = torch.zeros((), device=synthetic.device)
    for real, fake in zip(target, own, strict=True):
        a, b = real.flatten(1), fake.flatten(1)
        distance = distance + (1 - (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1) + 1e-6)).sum()
    return torch.autograd.grad(distance, synthetic)[0]


def plain_epoch(net: nn.Module, images: Tensor, labels: Tensor, operations: Any, generator: torch.Generator) -> None:
    """One epoch of SGD on the synthetic set in minibatches of 256, augmented in the ordinary way."""
    optimiser = torch.optim.SGD(net.parameters(), lr=0.01)
    for index in torch.randperm(len(images), generator=generator).split(256):
        index = index.to(images.device)
        batch = augment.apply(augment.draw(operations, generator, len(index)), images[index])
        optimiser.zero_grad()
        F.cross_entropy(net(batch), labels[index]).backward()
        optimiser.step()


# What is measured.


@dataclass(frozen=True)
class Case:
    """One kind of data and budget."""

    name: str
    channels: int = 3
    size: int = 32
    ipc: int = 10
    classes: int = 10
    net: str = "convnet"

    def run(self, engine: Engine) -> _Run:
        """A fresh run of DSA: the same images and network for every engine."""
        method, generator = DSA(net=self.net), torch.Generator().manual_seed(0)
        run = _Run(method, self.real(), self.spec(), self.ipc, generator, engine)
        run.new_network()
        return run

    def spec(self) -> DatasetSpec:
        names, each = tuple(map(str, range(self.classes))), (1.0,) * self.channels
        return DatasetSpec(self.name, self.channels, self.size, names, tuple(0.5 * x for x in each), each)

    def real(self) -> ImageSet:
        """Smooth random images, 256 per class."""
        generator = torch.Generator().manual_seed(0)
        coarse = torch.rand(self.classes * REAL, self.channels, 8, 8, generator=generator)
        fine = F.interpolate(coarse, (self.size, self.size), mode="bilinear")
        return ImageSet((fine * 255).byte(), torch.arange(self.classes).repeat_interleave(REAL))

    def epochs(self) -> int:
        """Network epochs per inner step; with one image per class there is none."""
        steps, epochs = DSA().schedule(self.ipc)
        return epochs if steps > 1 else 0

    def flops(self) -> float:
        """Floating-point operations of one inner step: 3 passes for a gradient, 6 for the gradient of a gradient."""
        cost = footprint(outline(self.net, **self.spec().shape), self.channels, self.size)
        own = self.classes * self.ipc
        return cost.flops * (3 * self.classes * REAL + 6 * own + 3 * self.epochs() * own)


class Contender:
    """One way to run a step, and the seconds that its parts took in each repeat."""

    def __init__(self, name: str, case: Case, engine: Engine) -> None:
        self.name = name
        self.run = case.run(engine)
        self.device = engine.device
        self.laps: dict[str, list[float]] = {"real": [], "synthetic": [], "network": []}
        self.preparation = 0.0
        self.memory = 0

    def prepare(self) -> None:
        """What the process does before an inner step of this contender."""
        keep_freed_memory.cache_clear()
        keep_freed_memory()

    def match(self) -> tuple[float, float]:
        """Seconds for the real and for the synthetic side of an update of the images."""
        spent, matched = [], self.run.kernels.match

        def timed_match(*arguments: Any) -> Any:
            with stopwatch(self.device, spent):
                return matched(*arguments)

        self.run.kernels.match = timed_match  # type: ignore[method-assign]
        total: list[float] = []
        with stopwatch(self.device, total):
            self.run.update_images()
        self.run.kernels.match = matched  # type: ignore[method-assign]
        return total[0] - sum(spent), sum(spent)

    def train(self) -> None:
        self.run.update_network(1)

    def repeat(self, epochs: int) -> None:
        self.prepare()
        reset_peak()
        real, synthetic = self.match()
        self.laps["real"].append(real)
        self.laps["synthetic"].append(synthetic)
        for _ in range(epochs):
            with stopwatch(self.device, self.laps["network"]):
                self.train()
        self.memory = max(self.memory, highest(self.device))

    def first(self, epochs: int) -> None:
        """A repeat that does not count, and what it took over one that does: compilation."""
        cold: list[float] = []
        with stopwatch(self.device, cold):
            self.repeat(min(epochs, 1))
        self.laps = {part: [] for part in self.laps}
        self.preparation = cold[0]

    def seconds(self, case: Case) -> dict[str, float]:
        """Medians of the parts of an inner step, and their sum."""
        parts = {part: statistics.median(laps or [0.0]) for part, laps in self.laps.items()}
        parts["network"] *= case.epochs()
        return parts | {"all": sum(parts.values())}


class Plain(Contender):
    """Algorithm 1 class by class with nothing but eager torch."""

    def prepare(self) -> None:
        usual_memory()

    def match(self) -> tuple[float, float]:
        run, real, synthetic = self.run, [], []
        assert run.net is not None
        for label in range(run.spec.classes):
            transform = augment.draw(run.operations, run.generator)
            with stopwatch(self.device, real):
                images = normalise(run.real.images[run.classes[label]].to(self.device), run.spec)
                target = plain_gradients(run.net, augment.apply(transform, images), label)
            with stopwatch(self.device, synthetic):
                plain_match(run.net, target, run.images[run.own[label]], label, transform)
        return sum(real), sum(synthetic)

    def train(self) -> None:
        assert self.run.net is not None
        plain_epoch(self.run.net, self.run.images, self.run.labels, self.run.operations, self.run.generator)


@contextlib.contextmanager
def stopwatch(device: torch.device, laps: list[float]) -> Iterator[None]:
    synchronise(device)
    started = time.perf_counter()
    yield
    synchronise(device)
    laps.append(time.perf_counter() - started)


# Memory, as glibc and Linux have it; elsewhere the columns stay empty.


def usual_memory() -> None:
    """What malloc settles on by itself once it has freed a large block: 32 and 64 MiB; and give back what is free."""
    if sys.platform == "linux":
        library = ctypes.CDLL(None)
        library.mallopt(-3, 2**25)
        library.mallopt(-1, 2**26)
        library.malloc_trim(0)


def reset_peak() -> None:
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")


def highest(device: torch.device) -> int:
    if device.type == "cuda" or sys.platform != "linux":
        return peak_memory(device)
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


# The tables.


def contenders(case: Case, device: torch.device) -> list[Contender]:
    modes: dict[str, Engine] = {
        "engine, fp32, eager": Engine(device),
        "engine, fp32, compiled": Engine(device, compiled=True),
        "engine, bf16, compiled": Engine(device, "bf16", compiled=True),
    }
    return [Plain("plain", case, Engine(device)), *(Contender(name, case, engine) for name, engine in modes.items())]


def compare(case: Case, device: torch.device, repeats: int, epochs: int) -> None:
    """The table of one case."""
    entries = contenders(case, device)
    epochs = min(epochs, case.epochs())
    for entry in entries:
        entry.first(epochs)
    for _ in range(repeats):
        for entry in entries:
            entry.repeat(epochs)
    plain, eager = entries[0].seconds(case)["all"], entries[1].seconds(case)["all"]
    print(f"\n{case.name}, {case.channels}×{case.size}×{case.size}, ipc {case.ipc}: seconds per inner step", flush=True)
    print("| | real | synthetic | network | all | plain is × slower | peak | compiling | pays after |")
    print("|---|---|---|---|---|---|---|---|---|")
    for entry in entries:
        seconds = entry.seconds(case)
        row = [f"{seconds[part]:.2f}" for part in ("real", "synthetic", "network", "all")]
        row += [f"{plain / seconds['all']:.2f}", in_words(entry.memory)]
        if entry.run.kernels.compiled:
            once = sum(statistics.median(laps or [0.0]) for laps in entry.laps.values())
            cost, gain = entry.preparation - once, eager - seconds["all"]
            row += [f"{cost:.0f} s", f"{cost / gain:.0f} steps" if gain > 0 else "never"]
        else:
            row += ["", ""]
        print(f"| {entry.name} | {' | '.join(row)} |", flush=True)
    agreement(case, device)


def agreement(case: Case, device: torch.device) -> None:
    """How far the image gradients of the engine are from those of the plain implementation in double precision."""
    run = case.run(Engine(device))
    assert run.net is not None
    net = copy.deepcopy(run.net).double()
    generator, expected = run.generator.get_state(), []
    for label in range(case.classes):
        transform = augment.draw(run.operations, run.generator)
        images = normalise(run.real.images[run.classes[label]].to(device), run.spec).double()
        target = plain_gradients(net, augment.apply(transform, images), label)
        expected.append(plain_match(net, target, run.images[run.own[label]].double(), label, transform))
    exact = torch.cat(expected)
    for entry in contenders(case, device)[1:]:
        entry.run.generator.set_state(generator)
        entry.run.update_images()  # the first velocity is the gradient
        found = entry.run.velocity.double()
        error = ((found - exact).norm() / exact.norm()).item()
        cosine = F.cosine_similarity(found.flatten(), exact.flatten(), 0).item()
        print(f"{entry.name}: image gradients {error:.1e} from double precision (relative), cosine {cosine:.6f}")


def scaling(device: torch.device, compiled: bool) -> None:
    """Time of an inner step against one size at a time."""
    cases = [Case(f"{n} classes", classes=n) for n in (10, 50, 100)]
    cases += [Case(f"ipc {n}", ipc=n) for n in (1, 10, 50)]
    cases += [Case(f"{n} pixels", size=n) for n in (16, 32, 64)]
    print("| | all | real | synthetic | network | TFLOP | GFLOP/s |\n|---|---|---|---|---|---|---|")
    for case in cases:
        entry = Contender(case.name, case, Engine(device, compiled=compiled))
        entry.first(1 if case.epochs() else 0)
        entry.repeat(min(2, case.epochs()))
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
    cost = footprint(outline(case.net, **case.spec().shape), case.channels, case.size)
    for engine in (Engine(device), Engine(device, compiled=True), Engine(device, "bf16", compiled=True)):
        run = case.run(engine)
        images, labels = normalise(run.real.images, run.spec).to(device), run.real.labels.to(device)
        work = functools.partial(run.kernels.gradients, run.net, images, labels, matched=True)
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
    parser.add_argument("--net", default="convnet", help="such as convnet-w32, for a quick look")
    parser.add_argument("--cases", nargs="*", default=["cifar10-1", "cifar10-10", "mnist-1", "mnist-10"])
    parser.add_argument("--eager", action="store_true", help="do not compile (scaling)")
    settings = parser.parse_args()
    device = torch.device(settings.device)
    print(f"torch {torch.__version__}, {device}, {torch.get_num_threads()} threads, bf16 units: {has_bf16(device)}")
    if settings.what == "profile":
        return profile(device)
    if settings.what == "scaling":
        return scaling(device, not settings.eager)
    for name in settings.cases:
        data, ipc = name.split("-")
        shape = {"cifar10": (3, 32), "mnist": (1, 28)}[data]
        compare(Case(data, *shape, int(ipc), net=settings.net), device, settings.repeats, settings.epochs)


if __name__ == "__main__":
    main()
