"""Scores that train nothing, against their published formulas written plainly."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from proxyset.compute.plan import BASE, LIVE
from proxyset.compute.session import Session
from proxyset.nets.build import build_net
from search.sources.free import (
    SINGULAR,
    ActivationCodes,
    JacobianCovariance,
    MultiplyAdds,
    SynapticFlow,
    jacobian_covariance,
    naswot,
    synflow,
)
from search.sources.registry import FREE, SOURCES
from search.trial import Job, TrialContext, Workbench


def made(generator: torch.Generator, *layers: int, bias: bool = True) -> nn.Sequential:
    """Linear layers with ReLU in between, for 1×2×2 images; weights from the generator."""
    parts: list[nn.Module] = [nn.Flatten()]
    with torch.device("meta"):
        for before, width in pairwise((4, *layers)):
            parts += [nn.Linear(before, width, bias), nn.ReLU()]
    net = nn.Sequential(*parts[:-1]).to_empty(device="cpu")
    for parameter in net.parameters():
        parameter.data.normal_(generator=generator)
    return net


def relu_net(generator: torch.Generator) -> nn.Sequential:
    return made(generator, 40, 30, 2)


def plain_naswot(net: nn.Sequential, images: Tensor) -> float:
    """log |det K|, K_ij = N_A − (places in which the codes of two images differ)."""
    codes, x = [], images
    for layer in net:
        if isinstance(layer, nn.ReLU):
            codes.append(x > 0)
        x = layer(x)
    code = torch.cat(codes, 1)
    kernel = torch.tensor([[float((a == b).sum()) for b in code] for a in code], dtype=torch.float64)
    return torch.linalg.slogdet(kernel).logabsdet.item()


def test_naswot_is_the_published_formula(generator: torch.Generator) -> None:
    net, images = relu_net(generator), torch.randn(5, 1, 2, 2, generator=generator)
    assert naswot(net, images) == pytest.approx(plain_naswot(net, images), abs=1e-4)


def test_naswot_leaves_out_what_does_not_reach_the_logits_and_is_least_for_equal_codes(
    generator: torch.Generator,
) -> None:
    class Dead(nn.Module):
        """With a branch whose output nobody uses."""

        def __init__(self, net: nn.Module) -> None:
            super().__init__()
            self.net, self.dead = net, nn.Sequential(made(generator, 50), nn.ReLU())

        def forward(self, images: Tensor) -> Tensor:
            self.dead(images)
            return self.net(images)

    net, images = relu_net(generator), torch.randn(5, 1, 2, 2, generator=generator)
    assert naswot(Dead(net), images) == pytest.approx(naswot(net, images))
    same = images[:1].expand(5, -1, -1, -1)
    assert naswot(net, same) < naswot(net, images) - 10
    assert naswot(made(generator, 2), images) == pytest.approx(5 * math.log(SINGULAR))


def test_synflow_is_the_published_formula(generator: torch.Generator) -> None:
    """Without biases the flow is |W_2|·|W_1| on ones, and each layer's share of Σ |θ ∂R/∂θ| is all of it."""
    net = made(generator, 6, 2, bias=False)
    first, second = (parameter.detach().abs().double() for parameter in net.parameters())
    flow = (second @ first @ torch.ones(4, dtype=torch.float64)).sum().item()
    assert synflow(net, 1, 2) == pytest.approx(2 * flow)


def test_synflow_does_not_see_norms_nor_signs(generator: torch.Generator) -> None:
    def score(norm: str, sign: int = 1) -> float:
        net = build_net(f"convnet-w4-d2-{norm}", channels=1, size=8, classes=3, generator=generator.manual_seed(1))
        for parameter in net.parameters():
            parameter.data.mul_(sign)
        return synflow(net, 1, 8)

    assert score("batch") == pytest.approx(score("instance")) == pytest.approx(score("nonorm", -1))
    assert score("batch") > 0


def test_multiply_adds_are_counted_by_hand(context: TrialContext) -> None:
    """A ConvNet of width 4 and depth 1 without pooling on 1×8×8: 4·9 per place, then 256 inputs to 3 classes."""
    bench, name = Workbench(context), next(iter(context.candidates))
    score = MultiplyAdds("macs").score(bench, context.candidates[name], torch.Generator())
    assert score == 8 * 8 * 4 * 9 + 4 * 8 * 8 * 3


@pytest.mark.parametrize("kind", [ActivationCodes, SynapticFlow])
def test_a_repeat_is_another_draw_of_weights_and_the_same_one_the_same_bits(
    context: TrialContext, kind: type[ActivationCodes] | type[SynapticFlow]
) -> None:
    source, name = kind("free", 16), next(iter(context.candidates))
    bench = Workbench(TrialContext(context.spec, context.settings, context.sets, {"free": source}, context.candidates))
    first, again, other = (bench.run(Job("free", name, repeat)) for repeat in (0, 0, 1))
    assert first["error"] is None
    assert first["accuracy"] is None
    assert first["score"] == again["score"] != other["score"]


def test_what_stands_beside_every_search_trains_nothing() -> None:
    assert all(SOURCES[name].free for name in FREE)


@pytest.mark.parametrize("name", ["convnet-w4-d2-relu-instance-avg", "convnet-w4-d2-leakyrelu-batch-max"])
def test_in_parts_the_scores_are_the_same_and_batch_norm_sees_all_images(
    name: str, generator: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seven images by threes, and codes that are compared a byte at a time."""
    net = build_net(name, channels=1, size=8, classes=3, generator=generator)
    images = torch.randn(7, 1, 8, 8, generator=generator)
    whole = jacobian_covariance(net, images), naswot(net, images)
    counts: list[int] = []
    net.register_forward_pre_hook(lambda module, given: counts.append(len(given[0])))
    monkeypatch.setattr("search.sources.free.UNPACKED", 1)
    assert jacobian_covariance(net, images, 3) == pytest.approx(whole[0], rel=1e-4)
    assert naswot(net, images, 3) == pytest.approx(whole[1])
    assert counts == ([7, 7] if "batch" in name else [3, 3, 1] * 2)


def test_a_memory_limit_holds_for_scores_without_training_and_for_testing(context: TrialContext) -> None:
    """So little memory that two images pass at a time."""
    candidate = next(iter(context.candidates.values()))
    cost = Session(device="cpu").footprint(candidate.outline(context.spec), context.spec.channels, context.spec.size)
    limit = (BASE + 2.5 * LIVE * cost.activations) / 2**30
    net = candidate.build(context.spec, torch.Generator(), "cpu")
    counts: list[int] = []
    net.register_forward_pre_hook(lambda module, given: counts.append(len(given[0])))
    fixed = replace(candidate, builder=lambda channels, size, classes: net)
    few = Workbench(context, Session(device="cpu", memory_limit=limit))
    for kind in (ActivationCodes, JacobianCovariance):
        kind("free", 16).score(few, fixed, torch.Generator())
    few.accuracy(net)
    few.loss(net)
    assert max(counts) == 2
    assert few.accuracy(net) == Workbench(context, Session(device="cpu")).accuracy(net)
