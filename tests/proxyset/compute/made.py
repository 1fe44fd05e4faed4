"""What the tests of the computation share: small networks, minibatches and condensations."""

from typing import Any

import torch
from torch import Tensor, nn

from proxyset.compute.footprint import Footprint
from proxyset.compute.gradients import Gradients
from proxyset.compute.plan import CACHE, Engine
from proxyset.compute.session import Session
from proxyset.data.spec import Dataset
from proxyset.methods.base import Context, Problem
from proxyset.methods.dsa import DSA
from proxyset.methods.gradient_matching import GradientMatching
from proxyset.nets.build import build_net

SMALL: dict[str, Any] = {"net": "convnet-w8-d2", "iterations": 2, "inner_steps": 2, "net_epochs": 2, "batch_real": 8}
SHAPE: dict[str, Any] = {"channels": 3, "size": 8, "classes": 3}


def make_net(name: str, seed: int = 0) -> nn.Module:
    return build_net(name, **SHAPE, generator=torch.Generator().manual_seed(seed))


def make_batch(count: int = 20, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, 8, 8, generator=generator), torch.randint(3, (count,), generator=generator)


def in_parts(net: nn.Module, size: int) -> Gradients:
    """Gradients in micro-batches of about `size` images: the largest activation of that many fills the cache."""
    return Gradients(Engine(), net, Footprint(1, CACHE // size, 1))


def close(found: list[Tensor | None], expected: list[Tensor | None], tolerance: float) -> None:
    for one, two in zip(found, expected, strict=True):
        assert (one is None) == (two is None)
        if one is not None and two is not None:
            assert (one - two).norm() <= tolerance * two.norm() + 1e-6


def make_run(
    data: Dataset, engine: Engine, net: str = "convnet-w8-d1-sigmoid", session: Session | None = None
) -> GradientMatching:
    """Sigmoids: a ReLU whose input is a rounding error away from 0 would change the second derivative at once."""
    return start(DSA(net=net), data, engine, session=session)


def start(method: DSA, data: Dataset, engine: Engine, ipc: int = 2, session: Session | None = None) -> GradientMatching:
    """A condensation before its first step, with its first network."""
    session = session or Session(device=str(engine.device))
    run = method.start(Problem(data.train, data.spec, ipc), Context(torch.Generator().manual_seed(0), session, engine))
    run.new_network()
    return run


def weights(run: GradientMatching) -> list[Tensor | None]:
    """Of its network."""
    assert run.net is not None
    return [parameter.detach() for parameter in run.net.parameters()]
