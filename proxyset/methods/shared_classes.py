"""Gradient matching on several devices: the classes of a step are shared out, with the bits of one device.

Given the network, the gradients of a class depend on no other class. All that is left to chance is drawn before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from proxyset.checkpoint import State
from proxyset.compute.crew import Crew
from proxyset.compute.plan import Engine
from proxyset.compute.session import Session
from proxyset.methods.base import Context, Problem
from proxyset.methods.dsa import DC
from proxyset.settings import Compute

if TYPE_CHECKING:
    from proxyset.methods.gradient_matching import Drawn, GradientMatching


@dataclass(frozen=True)
class Share:
    """What one device has to do: some classes, given weights and images."""

    weights: State
    images: Tensor
    drawn: Sequence[Drawn]


class SharedClasses:
    """Processes, one for each device of the session, that match the gradients of some classes each."""

    def __init__(self, run: GradientMatching, context: Context) -> None:
        session = context.session
        member = partial(_Member, run.method, run.problem, session.compute, context.engine)
        self.crew: Crew[Share, list[tuple[Tensor, Tensor]]] = Crew(session.devices, member)

    def matched(self, net: nn.Module, images: Tensor, drawn: Sequence[Drawn]) -> list[tuple[Tensor, Tensor]]:
        """For each class what `GradientMatching.match_class` gives."""
        count = len(self.crew)
        weights = {name: tensor.cpu() for name, tensor in net.state_dict().items()}
        drawn = [replace(each, picked=each.picked.cpu()) for each in drawn]
        shares = [Share(weights, images.cpu(), drawn[number::count]) for number in range(count)]
        parts = self.crew.run(shares)
        return [
            (distance.to(images.device), gradient.to(images.device))
            for distance, gradient in (parts[number % count][number // count] for number in range(len(drawn)))
        ]


class _Member:
    """What works in a process."""

    def __init__(self, method: DC, problem: Problem, compute: Compute, engine: Engine, device: torch.device) -> None:
        from proxyset.methods.gradient_matching import GradientMatching

        session = Session(compute.model_copy(update={"device": str(device)}))
        context = Context(torch.Generator(), session, replace(engine, device=device))
        self.run = GradientMatching(method, problem, context)
        self.run.new_network()

    def __call__(self, share: Share) -> list[tuple[Tensor, Tensor]]:
        run = self.run
        run.net.load_state_dict(share.weights)
        run.hold()
        run.images = share.images.to(run.device)
        found = [run.match_class(each) for each in share.drawn]
        return [(distance.cpu(), gradient.cpu()) for distance, gradient in found]
