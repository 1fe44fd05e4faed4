"""CutMix against its definition, and in the training loop."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from proxyset.compute.session import Session
from proxyset.data.images import ImageSet, one_hot
from proxyset.data.spec import Dataset, normalise
from proxyset.train.fit import fit
from proxyset.train.mixing import cutmix
from tests.proxyset.train.made import make_net, recipe

CLASSES = 5


def batch(count: int = 6, size: int = 16) -> tuple[Tensor, Tensor]:
    """Image n has the value n everywhere, and the class n modulo 5."""
    values = torch.arange(float(count)).view(-1, 1, 1, 1)
    return values.expand(-1, 3, size, size).clone(), torch.arange(count) % CLASSES


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("seed", range(20))
def test_a_box_of_another_image_and_the_answers_in_its_share(seed: int) -> None:
    images, labels = batch()
    mixed, targets = cutmix(images, labels, CLASSES, 1.0, generator(seed))
    patched = mixed[:, 0] != images[:, 0]
    other = mixed.flatten(1)[torch.arange(6), patched.flatten(1).float().argmax(1)].long()
    for number in range(6):
        if not patched[number].any():  # mixed with itself
            assert targets[number, labels[number]] == pytest.approx(1)
            continue
        rows, columns = patched[number].any(1), patched[number].any(0)
        assert torch.equal(patched[number], rows[:, None] & columns)  # one rectangle
        share = patched[number].float().mean().item()
        expected = (1 - share) * one_hot(labels[number], CLASSES) + share * one_hot(labels[other[number]], CLASSES)
        torch.testing.assert_close(targets[number], expected)
    assert sorted(torch.where(patched.flatten(1).any(1), other, torch.arange(6)).tolist()) == list(range(6))


def test_the_box_is_as_large_as_the_definition_says() -> None:
    """The sides are √(1 − λ) of the image, with λ uniform, around a uniform centre, cut at the border."""
    size, shares = 64, []
    for seed in range(300):
        drawn = torch.rand(4, generator=generator(seed)).tolist()
        half = int(size * math.sqrt(1 - drawn[1])) // 2
        sides = [min(size, int(size * x) + half) - max(0, int(size * x) - half) for x in drawn[2:]]
        images, labels = batch(2, size)
        mixed, targets = cutmix(images, labels, CLASSES, 1.0, generator(seed))
        if (mixed != images).any():
            assert (mixed[0, 0] != 0).sum() == sides[0] * sides[1]
            shares.append(targets[0, 1].item())
    assert 0.15 < sum(shares) / len(shares) < 0.4  # 0.5 if nothing were cut


def test_probability_says_how_often() -> None:
    images, labels = batch(8)
    changed = [bool((cutmix(images, labels, CLASSES, 0.5, generator(s))[0] != images).any()) for s in range(200)]
    assert 60 < sum(changed) < 120  # some boxes are empty
    same, targets = cutmix(images, labels, CLASSES, 0.0, generator(0))
    assert same is images
    assert torch.equal(targets, one_hot(labels, CLASSES))


def test_nothing_but_the_generator_decides_and_nothing_is_changed() -> None:
    images, labels = batch()
    before = images.clone()
    one, two = (cutmix(images, labels, CLASSES, 1.0, generator(3)) for _ in range(2))
    assert torch.equal(one[0], two[0])
    assert torch.equal(one[1], two[1])
    assert torch.equal(images, before)


def test_soft_answers_are_mixed_as_labels_are() -> None:
    images, labels = batch()
    hard = cutmix(images, labels, CLASSES, 1.0, generator(1))[1]
    assert torch.equal(cutmix(images, one_hot(labels, CLASSES), CLASSES, 1.0, generator(1))[1], hard)
    torch.testing.assert_close(hard.sum(1), torch.ones(6))


# In the training loop.


def test_training_takes_the_mixed_images_and_answers(tiny: Dataset) -> None:
    """One update on one minibatch, against the loss written plainly."""
    net, how = make_net(), recipe(1, lr=0.1, cutmix=1.0, batch_size=len(tiny.train))
    plain = copy.deepcopy(net)
    fit(net, tiny.train, tiny.spec, how, generator=generator(5))
    draws = generator(5)
    order = torch.randperm(len(tiny.train), generator=draws)
    images = normalise(tiny.train.images[order], tiny.spec)
    images, targets = cutmix(images, tiny.train.labels[order], 3, 1.0, draws)
    loss = -(targets * plain(images).log_softmax(1)).sum(1).mean()
    weights = list(plain.parameters())
    for parameter, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
        parameter.data -= 0.1 * gradient
    assert_same(net, plain)


def test_none_is_what_training_was_before(tiny: Dataset) -> None:
    nets = [make_net() for _ in range(2)]
    for net, how in zip(nets, (recipe(3), recipe(3, cutmix=0.0)), strict=True):
        fit(net, tiny.train, tiny.spec, how, generator=generator(0))
    assert_same(nets[0], nets[1], exactly=True)
    mixed = make_net()
    fit(mixed, tiny.train, tiny.spec, recipe(3, cutmix=1.0), generator=generator(0))
    assert not torch.equal(next(mixed.parameters()), next(nets[0].parameters()))


def test_squared_errors_take_mixed_answers_too(tiny: Dataset) -> None:
    net = make_net()
    fit(net, tiny.train, tiny.spec, recipe(5, lr=0.05, cutmix=0.5, loss="squared-error"), generator=generator(0))
    assert F.cross_entropy(net(normalise(tiny.train.images, tiny.spec)), tiny.train.labels) < math.log(3)


@pytest.mark.slow
def test_compiled_training_mixes_as_eager_training(tiny: Dataset) -> None:
    """With one compiled function, whether a minibatch is mixed or not."""
    session, shape = Session(device="cpu", compile="on"), tiny.spec.shape
    session_eager = Session(device="cpu", compile="off")
    nets = []
    for one in (session, session_eager):
        net = make_net("convnet-w4-d1")
        gradients = one.gradients(one.plan(), "convnet-w4-d1", shape)
        data = ImageSet(normalise(tiny.train.images, tiny.spec), tiny.train.labels)
        fit(net, data, tiny.spec, recipe(6, lr=0.05, cutmix=0.5), generator=generator(0), gradients=gradients)
        nets.append(net)
    assert_same(nets[0], nets[1])


def assert_same(one: nn.Module, two: nn.Module, exactly: bool = False) -> None:
    relative, absolute = (0.0, 0.0) if exactly else (1e-4, 1e-6)
    for first, second in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(first, second, rtol=relative, atol=absolute)
