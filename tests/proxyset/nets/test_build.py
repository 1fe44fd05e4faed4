"""Networks by name: initial weights, and networks of one's own."""

import functools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from proxyset.artefact.build import build
from proxyset.compute.session import Session
from proxyset.data.spec import Dataset
from proxyset.errors import InputError
from proxyset.methods.coreset import Herding
from proxyset.methods.dsa import DSA
from proxyset.nets.build import NETS, build_net, check_net, full_name, initialise, outline
from proxyset.train.evaluate import evaluate
from proxyset.train.protocols import Evaluation
from tests.proxyset.nets.made import make


@pytest.mark.parametrize("name", ["convnet-w8", "mlp", "lenet", "convnet-w8-batch", "convnet-w8-layer"])
def test_initialisation_is_torchs_default(name: str) -> None:
    net = make(name)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            fan_in = module.weight[0].numel()
            bound = 1 / math.sqrt(fan_in)  # Kaiming uniform with a = √5: gain √(1/3), times √(3 / fan_in)
            for tensor in (module.weight, module.bias):
                assert tensor is not None
                assert tensor.abs().max() <= bound
            values = module.weight.flatten()
            if len(values) > 400:
                assert values.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)
        elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm):
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()


def test_initial_weights_come_from_the_generator_alone() -> None:
    first, same = make("convnet-w8"), make("convnet-w8")
    other = build_net("convnet-w8", channels=3, size=32, classes=10, generator=torch.Generator().manual_seed(1))
    for a, b, c in zip(first.parameters(), same.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert a.ndim == 1 or not torch.equal(a, c)


def test_a_module_that_cannot_be_initialised_from_a_generator_is_refused(generator: torch.Generator) -> None:
    with pytest.raises(TypeError, match="PReLU"):
        initialise(nn.Sequential(nn.PReLU()), generator)


# Networks of one's own.


class Mine(nn.Module):
    """A user's network, with torch's own initialisation and, unlike ours, a PReLU."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(inputs, 8), nn.PReLU())
        self.head = nn.Linear(8, classes)

    def embed(self, images: Tensor) -> Tensor:
        return self.body(images)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.embed(images))


def mine(channels: int, size: int, classes: int) -> nn.Module:
    return Mine(channels * size * size, classes)


def without_features(channels: int, size: int, classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size * size, classes))


def for_condensing(channels: int, size: int, classes: int, condensing: bool = False) -> nn.Module:
    return Mine(channels * size * size, classes + condensing)


def fails(channels: int, size: int, classes: int) -> nn.Module:
    raise ValueError(f"wants 224 pixels,\nnot {size}")


def no_module(channels: int, size: int, classes: int) -> Any:
    return [channels, size, classes]


NAME = f"{__name__}:mine"
SHAPE: dict[str, Any] = {"channels": 1, "size": 8, "classes": 3}


def weights(seed: int) -> list[Tensor]:
    return list(build_net(NAME, **SHAPE, generator=torch.Generator().manual_seed(seed)).parameters())


def test_a_function_of_one_s_own_is_a_network_by_its_module() -> None:
    """Its weights depend on the generator alone, although it draws from the global one, which stays put."""
    for first, again, other in zip(weights(0), weights(0), weights(1), strict=True):
        assert torch.equal(first, again)
        assert first.numel() == 1 or not torch.equal(first, other)  # PReLU starts at ¼
    assert full_name(NAME, 8) == NAME
    assert outline(NAME, **SHAPE)(torch.empty(2, 1, 8, 8, device="meta")).shape == (2, 3)


def test_it_is_trained_scored_condensed_and_gives_features(tiny: Dataset) -> None:
    session = Session(device="cpu", compile="off")
    protocol = Evaluation(nets=1, epochs=30, lr=0.05, augment="none")
    assert evaluate(tiny.train, tiny.test, tiny.spec, protocol, net=NAME, session=session).mean == 1.0
    for method in (DSA(net=NAME, iterations=2), Herding(net=NAME, epochs=1)):
        proxy = build(tiny, method, 1, session=session)
        assert proxy.data.images.isfinite().all()
        assert proxy.provenance["settings"]["net"] == NAME
        assert build(tiny, method, 1, session=session).data.sha256() == proxy.data.sha256()


def test_features_of_a_network_without_any_are_refused(tiny: Dataset) -> None:
    with pytest.raises(InputError, match="Sequential gives no features: it needs a method `embed`"):
        build(tiny, Herding(net=f"{__name__}:without_features", epochs=1), 1, session=Session(device="cpu"))


def test_a_builder_is_told_that_its_gradients_will_be_matched() -> None:
    name = f"{__name__}:for_condensing"
    for condensing in (False, True):
        net = outline(name, **SHAPE, condensing=condensing)
        assert isinstance(net, Mine)
        assert net.head.out_features == 3 + condensing


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("fails", "the network cannot be built: ValueError: wants 224 pixels, not 8"),
        ("no_module", "must return an nn.Module, got list"),
        ("missing", "cannot load the network"),
    ],
)
def test_a_builder_that_does_not_work_is_refused_in_a_line(function: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as raised:
        check_net(f"{__name__}:{function}", **SHAPE)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("builder", [mine, functools.partial(mine)])
def test_a_registered_network_has_a_short_name(
    builder: Callable[..., nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NETS, "_entries", dict(NETS._entries))
    NETS.register("Mine", builder)
    assert full_name("Mine", 8) == "Mine"
    assert isinstance(make("Mine", **SHAPE), Mine)
    with pytest.raises(InputError, match="already a network 'Mine'"):
        NETS.register("Mine", builder)
    with pytest.raises(InputError, match="already a network 'resnet18'"):
        NETS.register("resnet18", builder)
