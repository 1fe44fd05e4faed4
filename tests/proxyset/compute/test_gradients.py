"""Gradients whole and in micro-batches, against the plain implementation and against each other."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.plain import plain_epoch, plain_gradients, plain_match
from proxyset.compute.footprint import Footprint
from proxyset.compute.gradients import Gradients
from proxyset.compute.plan import Engine
from proxyset.data import augment
from proxyset.data.images import one_hot
from proxyset.data.spec import Dataset
from proxyset.methods.distances import layerwise_cosine
from proxyset.methods.gradient_matching import GradientMatching
from tests.proxyset.compute.made import close, in_parts, make_batch, make_net, make_run, weights


@pytest.mark.parametrize("norm", ["nonorm", "layer", "instance", "group", "batch"])
@pytest.mark.parametrize("size", [1, 7, 20])
def test_a_gradient_in_parts_is_the_gradient(norm: str, size: int) -> None:
    net, (images, labels) = make_net(f"convnet-w4-d2-{norm}"), make_batch()
    expected = torch.autograd.grad(F.cross_entropy(net(images), labels), list(net.parameters()))
    logits: list[Tensor] = []
    found = in_parts(net, size).of_weights(net, images, labels, logits=logits)
    close(found, list(expected), 1e-4)
    assert len(logits) == (1 if norm == "batch" else -(-20 // size))  # with BatchNorm images see each other
    torch.testing.assert_close(torch.cat(logits), net(images).detach(), rtol=1e-4, atol=1e-5)


def test_a_loss_of_one_s_own_is_a_mean_over_the_parts() -> None:
    net, (images, labels) = make_net("convnet-w4-d1"), make_batch()

    def loss(images: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        return (logits.square().mean(1) * images.flatten(1).mean(1) * (1 + labels)).mean()

    expected = torch.autograd.grad(loss(images, net(images), labels), list(net.parameters()))
    close(in_parts(net, 6).of_weights(net, images, labels, loss=loss), list(expected), 1e-4)


def test_only_networks_of_known_layers_are_given_parts() -> None:
    """A user's module may do what it likes with its minibatch, unless it says otherwise."""

    class Centred(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x - x.mean(0)

    head = nn.utils.skip_init(nn.Linear, 192, 3)  # without draws from the global generator
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    net, (images, labels) = nn.Sequential(Centred(), nn.Flatten(), head), make_batch()
    logits: list[Tensor] = []
    in_parts(net, 6).of_weights(net, images, labels, logits=logits)
    assert len(logits) == 1
    Centred.per_image = True  # type: ignore[attr-defined]
    in_parts(net, 6).of_weights(net, images, labels, logits=logits)
    assert len(logits) == 1 + 3


def test_what_is_not_matched_or_has_no_part_in_the_loss_is_none() -> None:
    net, (images, labels) = make_net("convnet-w4-d1"), make_batch()
    net.register_parameter("unused", nn.Parameter(torch.zeros(2, 2)))
    found = in_parts(net, 6).of_weights(net, images, labels, matched=True)
    for (name, parameter), gradient in zip(net.named_parameters(), found, strict=True):
        assert (gradient is None) == (parameter.ndim == 1 or name == "unused")


def test_a_network_of_unknown_footprint_gets_whole_minibatches() -> None:
    net, (images, labels) = make_net("convnet-w4-d1"), make_batch()
    logits: list[Tensor] = []
    Gradients(Engine(), net, Footprint(0, 0, 0)).of_weights(net, images, labels, logits=logits)
    assert len(logits) == 1


@pytest.mark.parametrize("size", [7, 20])
def test_probabilities_are_answers_too(size: int) -> None:
    """One-hot ones give the gradient of the labels; others that of their mean cross-entropy."""
    net, (images, labels) = make_net("convnet-w4-d1"), make_batch()
    by_label = in_parts(net, size).of_weights(net, images, labels)
    close(in_parts(net, size).of_weights(net, images, one_hot(labels, 3)), by_label, 1e-5)
    soft = torch.randn(20, 3, generator=torch.Generator().manual_seed(3)).softmax(1)
    loss = -(soft * net(images).log_softmax(1)).sum(1).mean()
    expected = torch.autograd.grad(loss, list(net.parameters()))
    close(in_parts(net, size).of_weights(net, images, soft), list(expected), 1e-4)


def test_matching_takes_probabilities_too() -> None:
    net, (images, labels) = make_net("convnet-w4-d1-sigmoid"), make_batch(6)
    gradients = in_parts(net, 20)
    target = gradients.of_weights(net, *make_batch(8, seed=2), matched=True)
    by_label = gradients.match(net, target, images, labels, layerwise_cosine)
    one = gradients.match(net, target, images, one_hot(labels, 3), layerwise_cosine)
    torch.testing.assert_close(one[0], by_label[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(one[1], by_label[1], rtol=1e-3, atol=1e-6)


def plain_update(run: GradientMatching) -> Tensor:
    """The gradient of the images by the plain implementation."""
    assert run.net is not None
    found = []
    for label in range(run.spec.classes):
        transform = augment.draw(run.operations, run.generator)
        real = (run.real.images[run.classes[label]].float() / 255 - torch.tensor(run.spec.mean).view(3, 1, 1)) / (
            torch.tensor(run.spec.std).view(3, 1, 1)
        )
        target = plain_gradients(run.net, augment.apply(transform, real), label)
        found.append(plain_match(run.net, target, run.images[run.places[label]], label, transform))
    return torch.cat(found)


def test_the_update_of_the_images_is_the_plain_one(colour: Dataset) -> None:
    expected = plain_update(make_run(colour, Engine()))
    run = make_run(colour, Engine())
    run.update_images()
    close([run.velocity], [expected], 1e-4)


def test_the_network_s_epoch_is_the_plain_one(colour: Dataset) -> None:
    run, plain = make_run(colour, Engine()), make_run(colour, Engine())
    run.update_network(2)
    assert plain.net is not None
    for _ in range(2):
        plain_epoch(plain.net, plain.images, plain.labels, plain.operations, plain.generator)
    close(weights(run), weights(plain), 1e-5)


def test_eager_bf16_is_near_fp32(colour: Dataset) -> None:
    exact, rough = make_run(colour, Engine()), make_run(colour, Engine(precision="bf16"))
    for run in (exact, rough):
        run.update_images()
    assert not torch.equal(exact.velocity, rough.velocity)
    assert F.cosine_similarity(exact.velocity.flatten(), rough.velocity.flatten(), 0) > 0.99
