"""The pool: ages, replacements, one Adam step at a time, and a state that goes on exactly."""

import copy
import itertools

import pytest
import torch
from torch import nn

from proxyset.compute.gradients import eager_gradients
from proxyset.methods.pool import NetworkPool

GENERATOR_SEEDS = itertools.count()


def build() -> nn.Module:
    generator = torch.Generator().manual_seed(next(GENERATOR_SEEDS))
    net = nn.utils.skip_init(nn.Linear, 4, 3)
    nn.init.normal_(net.weight, generator=generator)
    nn.init.zeros_(net.bias)
    return nn.Sequential(nn.Flatten(), net)


def train(pool: NetworkPool, place: int, generator: torch.Generator) -> None:
    net = pool.members[place].net
    images, targets = torch.randn(5, 1, 2, 2, generator=generator), torch.randn(5, 3, generator=generator)
    pool.train(place, eager_gradients(net, torch.device("cpu"), 1, 2), images, targets)


def ages(pool: NetworkPool) -> list[int]:
    return [member.age for member in pool.members]


@pytest.mark.parametrize(
    ("size", "steps", "expected"),
    [(10, 100, list(range(0, 100, 10))), (4, 10, [0, 2, 5, 7]), (3, 2, [0, 0, 1]), (1, 5, [0])],
)
def test_ages_start_spread_over_the_life_of_a_network(size: int, steps: int, expected: list[int]) -> None:
    assert ages(NetworkPool(build, size, steps, lr=1e-3)) == expected


def test_a_network_is_replaced_at_its_last_step_and_the_others_stay(generator: torch.Generator) -> None:
    pool = NetworkPool(build, 2, 4, lr=1e-3)
    first, second = pool.members
    seen = [second]
    for age in (3, 0, 1, 2, 3, 0):
        train(pool, 1, generator)
        assert ages(pool) == [0, age]
        seen.append(pool.members[1])
    assert [after is before for before, after in itertools.pairwise(seen)] == [True, False, True, True, True, False]
    assert pool.members[0] is first
    assert pool.members[1].optimiser.state().keys() == {"numbers"}  # a fresh one, without moments


def test_a_step_is_adam_s_on_the_squared_error(generator: torch.Generator) -> None:
    pool = NetworkPool(build, 1, 100, lr=3e-4)
    net = copy.deepcopy(pool.members[0].net)
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-4)
    for _ in range(3):
        images, targets = torch.randn(5, 1, 2, 2, generator=generator), torch.randn(5, 3, generator=generator)
        pool.train(0, eager_gradients(net, torch.device("cpu"), 1, 2), images, targets)
        optimiser.zero_grad()
        (net(images) - targets).square().sum(1).mean().backward()
        optimiser.step()
    for found, expected in zip(pool.members[0].net.parameters(), net.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)


def test_every_network_is_drawn(generator: torch.Generator) -> None:
    pool = NetworkPool(build, 3, 5, lr=1e-3)
    assert {pool.draw(generator) for _ in range(50)} == {0, 1, 2}


def test_goes_on_from_its_state(generator: torch.Generator) -> None:
    pool, other = NetworkPool(build, 3, 5, lr=1e-3), NetworkPool(build, 3, 5, lr=1e-3)
    for place in (0, 1, 1, 2, 0):
        train(pool, place, generator)
    for place in (2, 2, 0):
        train(other, place, generator)
    other.set_state({name: tensor.clone() for name, tensor in pool.state().items()})
    for one in (pool, other):
        train(one, 1, torch.Generator().manual_seed(7))
    assert ages(pool) == ages(other)
    states = pool.state(), other.state()
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())
