"""The contenders of `condense.py`: the plain step and the engine's, each in a process of its own."""

import contextlib
import multiprocessing
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.plain import plain_epoch, plain_gradients, plain_match
from proxyset.compute.clock import synchronise
from proxyset.compute.footprint import measure_footprint
from proxyset.compute.memory import keep_freed_memory, peak_memory
from proxyset.compute.plan import Engine
from proxyset.compute.session import Session
from proxyset.data import augment
from proxyset.data.images import ImageSet
from proxyset.data.spec import DatasetSpec, normalise
from proxyset.methods.base import Context, Problem
from proxyset.methods.dsa import DSA
from proxyset.methods.gradient_matching import GradientMatching
from proxyset.nets.build import outline

REAL = 256  # images per class, all of them in every batch


@dataclass(frozen=True)
class Case:
    """One kind of data and budget."""

    name: str
    channels: int = 3
    size: int = 32
    ipc: int = 10
    classes: int = 10
    net: str = "convnet"

    def start(self, engine: Engine) -> GradientMatching:
        """A fresh run of DSA: the same images and network for every engine."""
        problem = Problem(self.real(), self.spec(), self.ipc)
        session = Session(device=str(engine.device))
        state = DSA(net=self.net).start(problem, Context(torch.Generator().manual_seed(0), session, engine))
        state.new_network()
        return state

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
        cost = measure_footprint(outline(self.net, **self.spec().shape), self.channels, self.size)
        synthetic = self.classes * self.ipc
        passes = 3 * self.classes * REAL + 6 * synthetic + 3 * self.epochs() * synthetic
        return cost.flops * passes


class Engined:
    """The steps of a run as the engine has them."""

    def __init__(self, case: Case, engine: Engine) -> None:
        keep_freed_memory()
        self.run = case.start(engine)
        self.device = engine.device

    def match(self) -> tuple[float, float]:
        """Seconds for the real and for the synthetic side of an update of the images."""
        spent: list[float] = []
        whole: list[float] = []
        match = self.run.gradients.match

        def timed_match(*arguments: Any) -> Any:
            with stopwatch(self.device, spent):
                return match(*arguments)

        self.run.gradients.match = timed_match  # type: ignore[method-assign, assignment]
        with stopwatch(self.device, whole):
            self.run.update_images()
        self.run.gradients.match = match  # type: ignore[method-assign]
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
        with mock.patch("proxyset.compute.session.keep_freed_memory"):  # as torch comes, without the engine's help
            self.run = case.start(engine)
        self.device = engine.device
        self.computed: list[Tensor] = []

    def match(self) -> tuple[float, float]:
        run = self.run
        real: list[float] = []
        synthetic: list[float] = []
        self.computed = []
        for label in range(run.spec.classes):
            transform = augment.draw(run.operations, run.generator)
            with stopwatch(self.device, real):
                images = normalise(run.real.images[run.classes[label]].to(self.device), run.spec)
                target = plain_gradients(run.net, augment.apply(transform, images), label)
            with stopwatch(self.device, synthetic):
                self.computed.append(plain_match(run.net, target, run.images[run.places[label]], label, transform))
        return sum(real), sum(synthetic)

    def train(self) -> None:
        plain_epoch(self.run.net, self.run.images, self.run.labels, self.run.operations, self.run.generator)

    def gradient(self) -> Tensor:
        self.match()
        return torch.cat(self.computed)


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
