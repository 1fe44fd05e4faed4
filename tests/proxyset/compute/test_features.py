"""Features and gradients through them: in parts as in one piece, compiled as eager."""

import pytest
import torch
from torch import Tensor, nn

from proxyset.compute.features import Embedding, Features
from proxyset.compute.footprint import Footprint
from proxyset.compute.plan import CACHE, Engine
from proxyset.compute.session import Session
from proxyset.methods.views import AttentionMaps
from tests.proxyset.compute.made import SHAPE, make_batch, make_net


def in_parts(name: str, size: int) -> Features:
    return Features(Engine(), make_net(name), Footprint(1, CACHE // size, 1))


def embed(net: nn.Module, images: Tensor) -> Tensor:
    return Embedding(net)(images)


def head(features: Tensor, centre: Tensor) -> Tensor:
    return (features.mean(0) - centre).square().sum()


@pytest.mark.parametrize("view", [Embedding, AttentionMaps])
@pytest.mark.parametrize("size", [3, 7, 100])
def test_parts_do_not_change_what_is_computed(size: int, view: type) -> None:
    net, (images, _) = make_net("convnet-w8-d2"), make_batch(20)
    features = Features(Engine(), net, Footprint(1, CACHE // size, 1), view)
    leaf = images.clone().requires_grad_()
    whole = view(net)(leaf)
    torch.testing.assert_close(features.of(net, images), whole.detach(), rtol=1e-4, atol=1e-5)
    value, gradient = features.through(net, images, head, torch.ones(whole.shape[1]))
    expected = head(whole, torch.ones(whole.shape[1]))
    torch.testing.assert_close(value, expected.detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, leaf)[0], rtol=1e-3, atol=1e-5)


def test_backward_is_the_gradient_of_an_inner_product() -> None:
    net, (images, _) = make_net("convnet-w8-d2"), make_batch(10)
    leaf, features = images.clone().requires_grad_(), in_parts("convnet-w8-d2", 4)
    out = embed(net, leaf)
    cotangent = torch.randn(out.shape, generator=torch.Generator().manual_seed(3))
    (expected,) = torch.autograd.grad((out * cotangent).sum(), leaf)
    torch.testing.assert_close(features.backward(net, images, cotangent), expected, rtol=1e-4, atol=1e-6)


def test_batch_norm_is_never_split() -> None:
    assert in_parts("convnet-w8-d2-relu-batch-avg", 3).microbatch(20) == 20
    assert in_parts("convnet-w8-d2", 3).microbatch(20) < 5


def test_weights_are_those_of_the_network_that_is_given() -> None:
    features, (images, _) = in_parts("convnet-w8-d2", 100), make_batch(5)
    for seed in (1, 2):
        net = make_net("convnet-w8-d2", seed)
        torch.testing.assert_close(features.of(net, images), embed(net, images).detach())


@pytest.mark.slow
@pytest.mark.parametrize("view", [Embedding, AttentionMaps])
def test_compiled_features_are_the_eager_ones(view: type) -> None:
    """In full and in part-filled micro-batches; for networks with other weights."""
    eager = Session(device="cpu").features(Engine(), "convnet-w8-d2", SHAPE, view)  # type: ignore[arg-type]
    compiled = Features(Engine(compiled=True), make_net("convnet-w8-d2"), Footprint(1, CACHE // 8, 1), view)
    images, _ = make_batch(20)
    for seed in (1, 2):
        net = make_net("convnet-w8-d2", seed)
        expected = eager.of(net, images)
        torch.testing.assert_close(compiled.of(net, images), expected, rtol=1e-4, atol=1e-4)
        for count in (12, 20):  # in one piece, and in parts
            centre = torch.ones(expected.shape[1])
            value, gradient = compiled.through(net, images[:count], head, centre)
            other, exact = eager.through(net, images[:count], head, centre)
            torch.testing.assert_close(value, other, rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(gradient, exact, rtol=1e-3, atol=1e-4)
    assert not compiled.failed


def test_what_cannot_be_compiled_goes_on_eagerly(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> object:
        raise RuntimeError("no compiler")

    monkeypatch.setattr(torch, "compile", lambda function, **options: refuse)
    net, (images, _) = make_net("convnet-w8-d2"), make_batch(6)
    features = Features(Engine(compiled=True), net, Footprint(1, CACHE // 100, 1))
    torch.testing.assert_close(features.of(net, images), embed(net, images).detach())
    assert features.failed
    value, _ = features.through(net, images, head, torch.zeros(32))
    torch.testing.assert_close(value, head(embed(net, images), torch.zeros(32)).detach())
