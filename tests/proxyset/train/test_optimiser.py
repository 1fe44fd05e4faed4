"""torch's optimisers and schedules by a recipe: the bits of a plain loop, and a state of named tensors."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, MultiStepLR

from proxyset.data.spec import Dataset, normalise
from proxyset.train.evaluate import accuracy
from proxyset.train.fit import fit
from proxyset.train.optimiser import Optimiser
from proxyset.train.recipe import Recipe
from tests.proxyset.train.made import make_net, recipe

EPOCHS = 4


def plain_optimiser(name: str, net: nn.Module) -> torch.optim.Optimizer:
    if name == "sgd":
        return torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.8, weight_decay=1e-3)
    if name == "adam":
        return torch.optim.Adam(net.parameters(), lr=0.02, weight_decay=1e-3)
    return torch.optim.AdamW(net.parameters(), lr=0.02, weight_decay=1e-3)


def plain_schedule(name: str, optimiser: torch.optim.Optimizer) -> LRScheduler | None:
    if name == "step":
        return MultiStepLR(optimiser, [EPOCHS // 2], gamma=0.1)
    return CosineAnnealingLR(optimiser, T_max=EPOCHS) if name == "cosine" else None


@pytest.mark.parametrize("optimiser", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("schedule", ["constant", "step", "cosine"])
def test_training_has_the_bits_of_a_plain_loop(optimiser: Any, schedule: Any, tiny: Dataset) -> None:
    net = make_net()
    plain = copy.deepcopy(net)
    how = Recipe(
        epochs=EPOCHS,
        optimiser=optimiser,
        schedule=schedule,
        lr=0.02,
        momentum=0.8,
        weight_decay=1e-3,
        batch_size=16,
        augment="none",
    )
    fit(net, tiny.train, tiny.spec, how, generator=torch.Generator().manual_seed(0))

    images, generator = normalise(tiny.train.images, tiny.spec), torch.Generator().manual_seed(0)
    steps = plain_optimiser(optimiser, plain)
    rate = plain_schedule(schedule, steps)
    for _ in range(EPOCHS):
        for index in torch.randperm(len(images), generator=generator).split(16):
            steps.zero_grad()
            F.cross_entropy(plain(images[index]), tiny.train.labels[index]).backward()
            steps.step()
        if rate is not None:
            rate.step()
    for found, expected in zip(net.parameters(), plain.parameters(), strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ("optimiser", "schedule", "lr"), [("adam", "cosine", 0.01), ("adamw", "cosine", 0.01), ("sgd", "cosine", 0.05)]
)
@pytest.mark.parametrize("loss", ["cross-entropy", "squared-error"])
def test_each_learns(optimiser: str, schedule: str, lr: float, loss: str, tiny: Dataset) -> None:
    net = make_net()
    before = accuracy(net, tiny.test, tiny.spec)
    how = recipe(30, optimiser=optimiser, schedule=schedule, lr=lr, loss=loss, batch_size=16)
    fit(net, tiny.train, tiny.spec, how, generator=torch.Generator())
    assert accuracy(net, tiny.test, tiny.spec) == 1.0 > before


def gradients(net: nn.Module, seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(parameter.shape, generator=generator) for parameter in net.parameters()]


@pytest.mark.parametrize("optimiser", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("schedule", ["constant", "step", "cosine"])
def test_the_state_holds_all_that_the_next_step_depends_on(optimiser: str, schedule: str) -> None:
    how = recipe(5, optimiser=optimiser, schedule=schedule, momentum=0.9)
    net = make_net()
    first = Optimiser(net, how)
    for seed in range(3):
        first.step(gradients(net, seed))
        first.end_epoch()
    state = {name: tensor.clone() for name, tensor in first.state().items()}
    other = copy.deepcopy(net)
    second = Optimiser(other, how)
    second.set_state(state)
    for seed in range(3, 5):
        for one, model in ((first, net), (second, other)):
            one.step(gradients(model, seed))
            one.end_epoch()
    for a, b in zip(net.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_cosine_ends_at_zero_and_step_falls_at_the_milestones() -> None:
    def rates(**changes: Any) -> list[float]:
        optimiser = Optimiser(make_net(), recipe(4, lr=0.1, **changes))
        found = []
        for _ in range(5):
            found.append(optimiser.optimiser.param_groups[0]["lr"])
            optimiser.optimiser.step()
            optimiser.end_epoch()
        return found

    assert rates(schedule="cosine") == pytest.approx([0.1, 0.0853553, 0.05, 0.0146447, 0.0], abs=1e-6)
    assert rates(schedule="step") == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.01])
    assert rates(schedule="step", milestones=(1, 3)) == pytest.approx([0.1, 0.01, 0.01, 0.001, 0.001])
    assert rates() == [0.1] * 5


def test_a_parameter_without_a_part_in_the_loss_stays() -> None:
    net = make_net()
    before = [parameter.clone() for parameter in net.parameters()]
    first, *others = gradients(net, 0)
    Optimiser(net, recipe(1, optimiser="adamw", weight_decay=0.1)).step([None, *others])
    after = list(net.parameters())
    assert torch.equal(before[0], after[0])
    assert not torch.equal(before[1], after[1])
    assert first.shape == before[0].shape
