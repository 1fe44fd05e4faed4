"""The training loop: its updates against plain SGD, its order, its augmentation, and going on after a stop."""

import copy
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from proxyset.checkpoint import Checkpoint
from proxyset.compute.footprint import Footprint
from proxyset.compute.gradients import Gradients
from proxyset.compute.plan import CACHE, Engine
from proxyset.data import augment
from proxyset.data.images import ImageSet, one_hot
from proxyset.data.spec import Dataset, normalise
from proxyset.train.evaluate import accuracy
from proxyset.train.fit import Hooks, fit
from proxyset.train.recipe import Recipe
from tests.proxyset.spy import spied
from tests.proxyset.train.made import make_net, recipe


def test_updates_agree_with_sgd_written_plainly(tiny: Dataset) -> None:
    """v ← m·v + g + d·θ, θ ← θ − lr·v, with the epoch's learning rate; one batch, so order is no matter."""
    net = make_net()
    plain = copy.deepcopy(net)
    fit(
        net,
        tiny.train,
        tiny.spec,
        recipe(5, lr=0.05, momentum=0.9, weight_decay=5e-4, schedule="step", milestones=(2, 4)),
        generator=torch.Generator(),
    )
    parameters = list(plain.parameters())
    velocity = [torch.zeros_like(parameter) for parameter in parameters]
    for lr in (0.05, 0.05, 0.005, 0.005, 0.0005):
        loss = F.cross_entropy(plain(normalise(tiny.train.images, tiny.spec)), tiny.train.labels)
        with torch.no_grad():
            for position, gradient in enumerate(torch.autograd.grad(loss, parameters)):
                velocity[position] = 0.9 * velocity[position] + gradient + 5e-4 * parameters[position]
                parameters[position].sub_(lr * velocity[position])
    for found, expected in zip(net.parameters(), parameters, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_every_epoch_sees_every_image_once_in_a_new_order(tiny: Dataset) -> None:
    seen: list[list[int]] = []
    sizes: list[int] = []

    def record(index: torch.Tensor, logits: torch.Tensor) -> None:
        assert logits.shape == (len(index), 3)
        assert not logits.requires_grad
        sizes.append(len(index))
        seen.append(index.tolist())

    done: list[int] = []
    fit(
        make_net(),
        tiny.train,
        tiny.spec,
        recipe(2, batch_size=16),
        generator=torch.Generator(),
        hooks=Hooks(on_batch=record, on_epoch=done.append),
    )
    assert sizes == [16, 16, 4] * 2
    first, second = ([*itertools.chain(*part)] for part in (seen[:3], seen[3:]))
    assert sorted(first) == sorted(second) == list(range(36))
    assert first != second
    assert done == [1, 2]


def test_augmentation_draws_parameters_for_every_image(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    draw = augment.draw
    monkeypatch.setattr(augment, "draw", spied(draw, drawn, lambda names, g, count=1: count))
    how = recipe(1, batch_size=20, augment="crop_color")
    fit(make_net(), tiny.train, tiny.spec, how, generator=torch.Generator())
    assert drawn == [20, 16]


def test_real_and_normalised_images_train_alike(tiny: Dataset) -> None:
    nets = []
    for images in (tiny.train.images, normalise(tiny.train.images, tiny.spec)):
        nets.append(make_net())
        data = ImageSet(images, tiny.train.labels)
        fit(nets[-1], data, tiny.spec, recipe(2), generator=torch.Generator().manual_seed(0))
    for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.equal(a, b)


def test_learns_what_can_be_learned(tiny: Dataset) -> None:
    net = make_net()
    before = accuracy(net, tiny.test, tiny.spec)
    fit(net, tiny.train, tiny.spec, recipe(30, lr=0.05, momentum=0.9), generator=torch.Generator())
    assert accuracy(net, tiny.test, tiny.spec) == 1.0 > before


def trained(data: ImageSet, tiny: Dataset, how: Recipe) -> list[torch.Tensor]:
    net = make_net()
    fit(net, data, tiny.spec, how, generator=torch.Generator().manual_seed(0))
    return [parameter.detach() for parameter in net.parameters()]


@pytest.mark.parametrize("loss", ["cross-entropy", "squared-error"])
def test_one_hot_targets_teach_what_labels_teach(loss: str, tiny: Dataset) -> None:
    how = recipe(3, loss=loss, batch_size=16)
    soft = ImageSet(tiny.train.images, tiny.train.labels, one_hot(tiny.train.labels, 3))
    for a, b in zip(trained(tiny.train, tiny, how), trained(soft, tiny, how), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


def test_soft_targets_are_what_is_learned(tiny: Dataset) -> None:
    """A network with enough steps answers with the probabilities that it is given, whatever the label."""
    wanted = torch.tensor([[0.2, 0.8, 0.0], [0.0, 0.3, 0.7], [0.6, 0.0, 0.4]])
    soft = ImageSet(tiny.train.images, tiny.train.labels, wanted[tiny.train.labels])
    net = make_net()
    fit(net, soft, tiny.spec, recipe(60, lr=0.05, momentum=0.9), generator=torch.Generator())
    answered = net(normalise(tiny.train.images, tiny.spec)).softmax(1)
    assert (answered - wanted[tiny.train.labels]).abs().max() < 0.1


@pytest.mark.parametrize("optimiser", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize(
    ("name", "schedule"), [("mlp", "constant"), ("mlp", "cosine"), ("convnet-w4-d1-batch", "step")]
)
@pytest.mark.parametrize("stop", [1, 2, 3])
def test_stopped_and_resumed_equals_uninterrupted(
    optimiser: Literal["sgd", "adam", "adamw"],
    name: str,
    schedule: Literal["constant", "step", "cosine"],
    stop: int,
    tiny: Dataset,
    tmp_path: Path,
) -> None:
    """Weights, statistics, the optimiser's averages, learning rate, order, augmentation and extra tensors all go on."""

    class Stop(Exception):
        pass

    def train(path: Path, stop: int | None) -> tuple[nn.Module, torch.Tensor]:
        net, extra = make_net(name), torch.zeros(3)

        def add(index: torch.Tensor, logits: torch.Tensor) -> None:
            extra.add_(logits.sum(0))

        def on_epoch(done: int) -> None:
            if done == stop:
                raise Stop

        fit(
            net,
            tiny.train,
            tiny.spec,
            Recipe(epochs=4, lr=0.05, optimiser=optimiser, schedule=schedule, batch_size=16, augment="crop_scale"),
            generator=torch.Generator().manual_seed(3),
            hooks=Hooks(on_batch=add, on_epoch=on_epoch, extra={"sum": extra}),
            checkpoint=Checkpoint(path, 1, {}),
        )
        return net, extra

    whole, total = train(tmp_path / "whole", None)
    with pytest.raises(Stop):
        train(tmp_path / "parts", stop)
    resumed, resumed_total = train(tmp_path / "parts", None)
    for key, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[key]), key
    assert torch.equal(total, resumed_total)


def test_a_state_of_another_network_is_not_taken(tiny: Dataset, tmp_path: Path) -> None:
    for name in ("mlp", "convnet-w4-d1"):
        checkpoint = Checkpoint(tmp_path / "state", 1, {})
        if name == "mlp":
            fit(make_net(name), tiny.train, tiny.spec, recipe(1), generator=torch.Generator(), checkpoint=checkpoint)
            continue
        with pytest.raises(KeyError):
            fit(make_net(name), tiny.train, tiny.spec, recipe(2), generator=torch.Generator(), checkpoint=checkpoint)


def test_an_order_of_one_s_own_says_what_is_seen(tiny: Dataset) -> None:
    seen: list[int] = []

    def twice(generator: torch.Generator) -> list[torch.Tensor]:
        return [torch.tensor([3, 1]), torch.tensor([3, 2])]

    hooks = Hooks(order=twice, on_batch=lambda index, logits: seen.extend(index.tolist()))
    fit(make_net(), tiny.train, tiny.spec, recipe(2), generator=torch.Generator(), hooks=hooks)
    assert seen == [3, 1, 3, 2] * 2


def test_fit_takes_the_same_steps_in_parts(make_dataset: Callable[..., Dataset]) -> None:
    """Whole minibatches, or micro-batches of about seven images, whose largest activation fills the cache."""
    data = make_dataset(counts=10, channels=3)
    nets = [make_net("convnet-w4-d2", channels=3) for _ in range(2)]
    how = recipe(3, lr=0.05, momentum=0.9, batch_size=12)
    for net, size in zip(nets, (30, 7), strict=True):
        parts = Gradients(Engine(), net, Footprint(1, CACHE // size, 1))
        fit(net, data.train, data.spec, how, generator=torch.Generator().manual_seed(0), gradients=parts)
    for one, two in zip(nets[1].parameters(), nets[0].parameters(), strict=True):
        assert (one - two).norm() <= 1e-4 * two.norm() + 1e-6


def test_dropout_follows_from_the_generator_and_moves_no_other(tiny: Dataset) -> None:
    found = []
    order = torch.arange(len(tiny.train))
    for seed in (0, 0, 1):
        with torch.random.fork_rng([]):
            last = nn.Linear(64, 3)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        net, hooks = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), last), Hooks(order=lambda generator: [order])
        fit(net, tiny.train, tiny.spec, recipe(2), generator=torch.Generator().manual_seed(seed), hooks=hooks)
        found.append(last.weight.detach())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
