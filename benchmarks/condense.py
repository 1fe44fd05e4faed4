"""How long one inner step of DSA takes: a plain implementation against the engine, taking turns in one run.

    python benchmarks/condense.py                   # the table: CIFAR-10- and MNIST-shaped data, 1 and 10 per class
    python benchmarks/condense.py --what profile    # where the time goes, beside what the machine can do
    python benchmarks/condense.py --what scaling    # against classes, images per class and image size
    python benchmarks/condense.py --device cuda

The plain implementation follows the paper's Algorithm 1 class by class with nothing but eager torch; the tests hold the
engine against it. Each contender has a process of its own, because the engine changes how its process keeps memory, and
only one of them works at a time. A network epoch is timed `--epochs` times and counted as often as the schedule has it.
"""

import argparse
import contextlib
import functools
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

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


class Engined:
    """The steps of a run as the engine has them."""

    def __init__(self, case: Case, engine: Engine) -> None:
        keep_freed_memory()
        self.run = case.run(engine)
        self.device = engine.device

    def match(self) -> tuple[float, float]:
        """Seconds for the real and for the synthetic side of an update of the images."""
        spent, whole = [], []
        match = self.run.kernels.match

        def timed_match(*arguments: Any) -> Any:
            with stopwatch(self.device, spent):
                return match(*arguments)

        self.run.kernels.match = timed_match  # type: ignore[method-assign]
        with stopwatch(self.device, whole):
            self.run.update_images()
        self.run.kernels.match = match  # type: ignore[method-assign]
        return whole[0] - sum(spent), sum(spent)

    def train(self) -> None:
        self.run.update_network(1)

    def gradient(self) -> Tensor:
        """Of the images, in the first step, in which it is the velocity."""
        self.run.update_images()
        return self.run.velocity


class Plain:
    """Algorithm 1 class by class with nothing but eager torch, on the images and the network of a run."""

    def __init__(self, case: Case, engine: Engine) -> None:
        self.run = case.run(engine)
        self.device = engine.device
        self.found: list[Tensor] = []

    def match(self) -> tuple[float, float]:
        run, real, synthetic = self.run, [], []
        assert run.net is not None
        self.found = []
        for label in range(run.spec.classes):
            transform = augment.draw(run.operations, run.generator)
            with stopwatch(self.device, real):
                images = normalise(run.real.images[run.classes[label]].to(self.device), run.spec)
                target = plain_gradients(run.net, augment.apply(transform, images), label)
            with stopwatch(self.device, synthetic):
                self.found.append(plain_match(run.net, target, run.images[run.own[label]], label, transform))
        return sum(real), sum(synthetic)

    def train(self) -> None:
        assert self.run.net is not None
        plain_epoch(self.run.net, self.run.images, self.run.labels, self.run.operations, self.run.generator)

    def gradient(self) -> Tensor:
        self.match()
        return torch.cat(self.found)


@contextlib.contextmanager
def stopwatch(device: torch.device, laps: list[float]) -> Iterator[None]:
    synchronise(device)
    started = time.perf_counter()
    yield
    synchronise(device)
    laps.append(time.perf_counter() - started)


def serve(connection: Connection, case: Case, engine: Engine, plain: bool) -> None:
    """A contender's process: answers to the number of epochs with the laps of one repeat and the peak memory."""
    contender = Plain(case, engine) if plain else Engined(case, engine)
    connection.send(contender.gradient().cpu())
    while (epochs := connection.recv()) is not None:
        real, synthetic = contender.match()
        laps: dict[str, list[float]] = {"real": [real], "synthetic": [synthetic], "network": []}
        for _ in range(epochs):
            with stopwatch(engine.device, laps["network"]):
                contender.train()
        connection.send((laps, peak_memory(engine.device)))


class Contender:
    """A contender's process seen from here, and what it measured."""

    def __init__(self, name: str, case: Case, engine: Engine, plain: bool = False) -> None:
        self.name, self.engine = name, engine
        self.laps: dict[str, list[float]] = {"real": [], "synthetic": [], "network": []}
        self.memory = 0
        self._connection, other = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(target=serve, args=(other, case, engine, plain))
        process.daemon = True
        process.start()
        other.close()  # so that a contender that fails is noticed
        started = time.perf_counter()
        self.gradient: Tensor = self._connection.recv()
        self._repeat(1 if case.epochs() else 0)  # compiles the network's step
        self.start = time.perf_counter() - started  # until everything is compiled, two updates of the images included

    def _repeat(self, epochs: int) -> dict[str, list[float]]:
        self._connection.send(epochs)
        laps, self.memory = self._connection.recv()
        return laps

    def repeat(self, epochs: int) -> None:
        for part, laps in self._repeat(epochs).items():
            self.laps[part] += laps

    def close(self) -> None:
        self._connection.send(None)

    def seconds(self, case: Case) -> dict[str, float]:
        """Medians of the parts of an inner step, and their sum."""
        parts = {part: statistics.median(laps or [0.0]) for part, laps in self.laps.items()}
        parts["network"] *= case.epochs()
        return parts | {"all": sum(parts.values())}


# The tables.


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
        exact, found = entries[0].gradient.double(), entry.gradient.double()
        error = ((found - exact).norm() / exact.norm()).item()
        cosine = F.cosine_similarity(found.flatten(), exact.flatten(), 0).item()
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
