"""The training loop: its schedule, its updates against plain SGD, its augmentation, and going on after a stop."""

import copy
import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from proxyset import augment
from proxyset.checkpoint import Checkpoint
from proxyset.data import Dataset, ImageSet, normalise
from proxyset.nets import build_net
from proxyset.train import accuracy, fit, predict


def make_net(name: str = "mlp", seed: int = 0) -> nn.Module:
    return build_net(name, channels=1, size=8, classes=3, generator=torch.Generator().manual_seed(seed))


def test_updates_agree_with_sgd_written_plainly(tiny: Dataset) -> None:
    """v ← m·v + g + d·θ, θ ← θ − lr·v, with the epoch's learning rate; one batch, so order is no matter."""
    net = make_net()
    plain = copy.deepcopy(net)
    fit(
        net,
        tiny.train,
        tiny.spec,
        epochs=5,
        lr=0.05,
        momentum=0.9,
        weight_decay=5e-4,
        milestones=(2, 4),
        generator=torch.Generator(),
    )
    parameters = list(plain.parameters())
    velocity = [torch.zeros_like(parameter) for parameter in parameters]
    for lr in (0.05, 0.05, 0.005, 0.005, 0.0005):
        loss = F.cross_entropy(plain(normalise(tiny.train.images, tiny.spec)), tiny.train.labels)
        with torch.no_grad():
            for position, gradient in enumerate(torch.autograd.grad(loss, parameters)):
                velocity[position] = 0.9 * velocity[position] + gradient + 5e-4 * parameters[position]
                parameters[position] -= lr * velocity[position]
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
        epochs=2,
        lr=0.01,
        batch_size=16,
        generator=torch.Generator(),
        on_batch=record,
        on_epoch=done.append,
    )
    assert sizes == [16, 16, 4] * 2
    first, second = ([*itertools.chain(*part)] for part in (seen[:3], seen[3:]))
    assert sorted(first) == sorted(second) == list(range(36))
    assert first != second
    assert done == [1, 2]


def test_augmentation_draws_parameters_for_every_image(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    draw = augment.draw
    monkeypatch.setattr(augment, "draw", lambda names, g, count=1: (drawn.append(count), draw(names, g, count))[1])
    options: dict[str, Any] = {"epochs": 1, "lr": 0.01, "batch_size": 20, "generator": torch.Generator()}
    fit(make_net(), tiny.train, tiny.spec, operations=("crop", "color"), **options)
    assert drawn == [20, 16]


def test_real_and_normalised_images_train_alike(tiny: Dataset) -> None:
    nets = []
    for images in (tiny.train.images, normalise(tiny.train.images, tiny.spec)):
        nets.append(make_net())
        data = ImageSet(images, tiny.train.labels)
        fit(nets[-1], data, tiny.spec, epochs=2, lr=0.01, generator=torch.Generator().manual_seed(0))
    for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.equal(a, b)


def test_learns_what_can_be_learned(tiny: Dataset) -> None:
    net = make_net()
    before = accuracy(net, tiny.test, tiny.spec)
    fit(net, tiny.train, tiny.spec, epochs=30, lr=0.05, momentum=0.9, generator=torch.Generator())
    assert accuracy(net, tiny.test, tiny.spec) == 1.0 > before


@pytest.mark.parametrize("name", ["mlp", "convnet-w4-d1-batch"])
@pytest.mark.parametrize("stop", [1, 2, 3])
def test_stopped_and_resumed_equals_uninterrupted(name: str, stop: int, tiny: Dataset, tmp_path: Path) -> None:
    """Weights, BatchNorm statistics, momentum, order, augmentation and the caller's tensors all go on."""

    class Stop(Exception):
        pass

    def train(path: Path, stop: int | None) -> tuple[nn.Module, torch.Tensor]:
        net, extra = make_net(name), torch.zeros(3)

        def on_epoch(done: int) -> None:
            if done == stop:
                raise Stop

        fit(
            net,
            tiny.train,
            tiny.spec,
            epochs=4,
            lr=0.05,
            momentum=0.9,
            milestones=(2,),
            batch_size=16,
            operations=("crop", "scale"),
            generator=torch.Generator().manual_seed(3),
            on_batch=lambda index, logits: extra.add_(logits.sum(0)),
            on_epoch=on_epoch,
            checkpoint=Checkpoint(path, 1, {}),
            extra={"sum": extra},
        )
        return net, extra

    whole, total = train(tmp_path / "whole", None)
    with pytest.raises(Stop):
        train(tmp_path / "parts", stop)
    resumed, resumed_total = train(tmp_path / "parts", None)
    for key, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[key]), key
    assert torch.equal(total, resumed_total)


def test_predictions_use_evaluation_mode_and_leave_the_mode_alone(tiny: Dataset) -> None:
    net = make_net("convnet-w4-d1-batch")
    statistics = [module.running_mean.clone() for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    one_by_one, at_once = (predict(net, tiny.test, tiny.spec, batch_size=size) for size in (1, 256))
    assert torch.equal(one_by_one, at_once)
    assert net.training
    after = [module.running_mean for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    assert all(torch.equal(a, b) for a, b in zip(statistics, after, strict=True))
    share = (at_once == tiny.test.labels).double().mean().item()
    assert accuracy(net, tiny.test, tiny.spec) == pytest.approx(share)
