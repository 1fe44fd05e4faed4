"""A pool of networks of different ages, each replaced by a fresh one when it is old enough (FRePo, section 3.2)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from proxyset.checkpoint import State
from proxyset.compute.gradients import Gradients
from proxyset.compute.losses import squared_error
from proxyset.nets.classifier import hold_draws
from proxyset.train.optimiser import Optimiser
from proxyset.train.recipe import Recipe


@dataclass
class Member:
    """A network, the optimiser that trains it, and how many steps it counts."""

    net: nn.Module
    optimiser: Optimiser
    age: int


class NetworkPool:
    """Networks that Adam trains on a set that keeps changing.

    Each counts its steps and makes room for a fresh one at `steps` of them. Counts start spread over that range, so
    that networks are replaced one after another; the networks themselves all start untrained, as in the authors' code.
    """

    def __init__(self, build: Callable[[], nn.Module], size: int, steps: int, lr: float) -> None:
        """
        Args:
            build: makes a fresh network.
            size: networks.
            steps: after so many a network is replaced.
            lr: Adam's.
        """
        self._build, self._steps = build, steps
        self._recipe = Recipe(epochs=1, optimiser="adam", lr=lr, weight_decay=0.0, schedule="constant")
        self.members = [self._member(steps * place // size) for place in range(size)]

    def draw(self, generator: torch.Generator) -> int:
        """The place of one network, each as likely as any other."""
        return int(torch.randint(len(self.members), (), generator=generator))

    def train(self, place: int, gradients: Gradients, images: Tensor, targets: Tensor) -> None:
        """One step of a network on images N×C×H×W with targets N×classes, by the squared error of its logits."""
        member = self.members[place]
        member.net.train()
        hold_draws(member.net)
        member.optimiser.step(gradients.of_weights(member.net, images, targets, loss=squared_error))
        member.age += 1
        if member.age >= self._steps:
            self.members[place] = self._member(0)

    def state(self) -> State:
        """Weights, optimiser and age of every network, as named tensors."""
        state: State = {"ages": torch.tensor([member.age for member in self.members])}
        for place, member in enumerate(self.members):
            state |= {f"{place}.net.{name}": tensor for name, tensor in member.net.state_dict().items()}
            state |= {f"{place}.optimiser.{name}": tensor for name, tensor in member.optimiser.state().items()}
        return state

    def set_state(self, saved: State) -> None:
        """Go on from what `state` gave."""
        for place, (member, age) in enumerate(zip(self.members, saved["ages"].tolist(), strict=True)):
            member.net.load_state_dict(_under(f"{place}.net.", saved))
            member.optimiser.set_state(_under(f"{place}.optimiser.", saved))
            member.age = age

    def _member(self, age: int) -> Member:
        net = self._build()
        return Member(net, Optimiser(net, self._recipe), age)


def _under(prefix: str, state: State) -> State:
    """The part of a state whose names start with a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
