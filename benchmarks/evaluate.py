"""How long it takes to train and test fresh networks on a proxy set: a plain loop against `proxyset.evaluate`.

    python -m benchmarks.evaluate                   # 20 networks, 10 epochs each, on 1 and 10 digits per class
    python -m benchmarks.evaluate --device cuda --epochs 100

Digits are brought to 3×32×32, the shape of CIFAR-10, so that there is something to learn. Each contender has a process
of its own and they take turns, a fifth of the networks at a time. What compiling takes is told apart: the paper's
protocol has 1,000 epochs.
"""

import argparse
import multiprocessing
import os
import statistics
import time
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from proxyset.compute.session import Session
from proxyset.data import augment
from proxyset.data.images import ImageSet
from proxyset.data.load import load
from proxyset.data.spec import Dataset, normalise
from proxyset.nets.build import build_net
from proxyset.seeds import make_generator
from proxyset.settings import Compute
from proxyset.train.evaluate import evaluate
from proxyset.train.protocols import Evaluation

TURNS = 5
NET = "convnet"


def plain(data: Dataset, train: ImageSet, protocol: Evaluation, seed: int, device: str) -> list[float]:
    """The paper's evaluation with nothing but eager torch."""
    spec, accuracies = data.spec, []
    operations = augment.operations(protocol.augment, spec.flip)
    train = train.to(device)
    for number in range(protocol.nets):
        generator = make_generator(seed, "evaluate", NET, number)
        net = build_net(NET, **spec.shape, generator=generator, device=device)
        optimiser = torch.optim.SGD(net.parameters(), lr=protocol.lr, momentum=0.9, weight_decay=5e-4)
        for epoch in range(protocol.resolved().epochs):
            for group in optimiser.param_groups:
                group["lr"] = protocol.lr * (0.1 if epoch >= protocol.resolved().epochs // 2 else 1)
            for index in torch.randperm(len(train), generator=generator).split(protocol.batch_size):
                index = index.to(device)
                images = augment.apply(augment.draw(operations, generator, len(index)), train.images[index])
                optimiser.zero_grad()
                F.cross_entropy(net(images), train.labels[index]).backward()
                optimiser.step()
        net.eval()
        with torch.no_grad():
            right = [
                (net(normalise(part.to(device), spec)).argmax(1).cpu() == labels).sum().item()
                for part, labels in zip(data.test.images.split(256), data.test.labels.split(256), strict=True)
            ]
        accuracies.append(sum(right) / len(data.test))
    return accuracies


def serve(connection: Connection, ipc: int, protocol: Evaluation, compute: Compute | None, device: str) -> None:
    """A contender's process (compute None: the plain one): answers to a seed with accuracies and seconds."""
    data = load("digits", size=32, channels=3)
    picked = torch.cat([index[:ipc] for index in data.train.indices_by_class(data.spec.classes)])
    train = ImageSet(normalise(data.train.images[picked], data.spec), data.train.labels[picked])
    session = None if compute is None else Session(compute)
    while (seed := connection.recv()) is not None:
        started = time.perf_counter()
        if session is None:
            accuracies = plain(data, train, protocol, seed, device)
        else:
            score = evaluate(train, data.test, data.spec, protocol, net=NET, seed=seed, session=session)
            accuracies = list(score.accuracies)
        connection.send((accuracies, time.perf_counter() - started))


def compare(ipc: int, protocol: Evaluation, device: str) -> None:
    modes: dict[str, Any] = {
        "plain": None,
        "engine, fp32, eager": Compute(device=device, compile="off"),
        "engine, fp32, compiled": Compute(device=device, compile="on", precision="fp32"),
        "engine, bf16, compiled": Compute(device=device, compile="on", precision="bf16"),
    }
    context, pipes = multiprocessing.get_context("spawn"), {}
    for name, compute in modes.items():
        pipes[name], other = multiprocessing.Pipe()
        context.Process(target=serve, args=(other, ipc, protocol, compute, device), daemon=True).start()
        other.close()  # so that a contender that fails is noticed
    results: dict[str, list[tuple[list[float], float]]] = {name: [] for name in modes}
    for seed in range(-1, TURNS):  # the first turn compiles and does not count
        for name, pipe in pipes.items():
            pipe.send(max(seed, 0))
            results[name].append(pipe.recv())
    print(f"\n{ipc} per class, {protocol.nets * TURNS} networks, {protocol.resolved().epochs} epochs")
    print("| | seconds per network | times faster | compiling | accuracy, mean ± std |\n|---|---|---|---|---|")
    for name, (first, *turns) in results.items():
        each = statistics.median(seconds for _, seconds in turns) / protocol.nets
        base = statistics.median(seconds for _, seconds in results["plain"][1:]) / protocol.nets
        extra = f"{first[1] - each * protocol.nets:.0f} s" if "compiled" in name else ""
        scores = 100 * np.array([accuracy for accuracies, _ in turns for accuracy in accuracies])
        print(f"| {name} | {each:.2f} | {base / each:.2f} | {extra} | {scores.mean():.1f} ± {scores.std():.1f} |")
    for pipe in pipes.values():
        pipe.send(None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--nets", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=10)
    settings = parser.parse_args()
    os.environ["TORCHINDUCTOR_FORCE_DISABLE_CACHES"] = "1"  # what an earlier run compiled must not count
    print(f"torch {torch.__version__}, {settings.device}, {torch.get_num_threads()} threads, {NET} on 3×32×32")
    for ipc in (1, 10):
        compare(ipc, Evaluation(nets=settings.nets // TURNS, epochs=settings.epochs), settings.device)


if __name__ == "__main__":
    main()
