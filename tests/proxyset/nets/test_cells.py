"""NAS-Bench-201's networks by their strings: what the benchmark publishes of them, and a plain build as an oracle."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from proxyset.compute.footprint import measure_footprint
from proxyset.data.spec import Shape
from proxyset.errors import InputError
from proxyset.nets.build import build_net, check_net, full_name, outline
from proxyset.nets.cells import Cell, all_cells, is_cell
from proxyset.nets.classifier import is_per_image

SHAPE: Shape = {"channels": 3, "size": 32, "classes": 10}
ALL_3X3 = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"
NOTHING = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
MIXED = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"


def test_there_are_15625_cells_and_each_parses_back() -> None:
    names = [str(cell) for cell in all_cells()]
    assert len(set(names)) == len(names) == 15_625
    for name in names[::97]:
        assert str(Cell.parse(name)) == name
        assert is_cell(name)
        assert full_name(name, 32) == name


def test_6466_of_them_differ_in_what_they_compute() -> None:
    """The paper's count, where `none` brings nothing and `skip_connect` changes nothing (its section 2.1)."""

    def computes(cell: Cell) -> str:
        nodes = ["x"]
        for node in (1, 2, 3):
            parts = []
            for source, operation in zip(nodes, cell.incoming(node), strict=True):
                gone = operation == "none" or source == "#"
                parts.append("#" if gone else source if operation == "skip_connect" else f"({source})@{operation}")
            nodes.append("+".join(sorted(parts)))
        return nodes[-1]

    assert len({computes(cell) for cell in all_cells()}) == 6_466


@pytest.mark.parametrize(
    ("name", "parameters", "megaflops"),
    [(MIXED, 802_426, 113.95), (ALL_3X3, 1_531_546, 220.12), (NOTHING, 73_306, 7.78)],
)
def test_parameters_and_multiply_adds_are_the_published_ones(name: str, parameters: int, megaflops: float) -> None:
    """Of CIFAR-10, as the benchmark's files have them: parameters, and millions of multiply-adds."""
    net = outline(name, **SHAPE)
    assert sum(parameter.numel() for parameter in net.parameters()) == parameters
    assert measure_footprint(net, 3, 32).flops / 2e6 == pytest.approx(megaflops, abs=0.005)


def plain(net: nn.Module, cell: Cell, images: Tensor) -> Tensor:
    """The network's answer by the paper's words, with the weights of `net` in evaluation mode, taken in order."""
    weights: Iterator[Any] = iter([m for m in net.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)])

    def norm(x: Tensor) -> Tensor:
        layer = next(weights)
        return F.batch_norm(x, layer.running_mean, layer.running_var, layer.weight, layer.bias)

    def conv(x: Tensor, stride: int = 1) -> Tensor:
        layer = next(weights)
        return norm(F.conv2d(F.relu(x), layer.weight, stride=stride, padding=layer.weight.shape[-1] // 2))

    x = norm(F.conv2d(images, next(weights).weight, padding=1))
    for stage in range(3):
        if stage:
            residual = conv(conv(x, stride=2))
            x = residual + F.conv2d(F.avg_pool2d(x, 2), next(weights).weight)
        for _ in range(5):
            nodes = [x]
            for node in (1, 2, 3):
                total = torch.zeros_like(x)
                for source, operation in enumerate(cell.incoming(node)):
                    if operation == "skip_connect":
                        total = total + nodes[source]
                    elif operation == "avg_pool_3x3":
                        total = total + F.avg_pool2d(nodes[source], 3, 1, 1, count_include_pad=False)
                    elif operation != "none":
                        total = total + conv(nodes[source])
                nodes.append(total)
            x = nodes[-1]
    pooled = F.relu(norm(x)).mean((2, 3))
    return F.linear(pooled, net.classifier.weight, net.classifier.bias)  # type: ignore[arg-type, union-attr]


@pytest.mark.parametrize(
    "name", [MIXED, "|avg_pool_3x3~0|+|nor_conv_1x1~0|none~1|+|none~0|nor_conv_3x3~1|skip_connect~2|", NOTHING]
)
def test_the_network_computes_what_the_paper_says(name: str, generator: torch.Generator) -> None:
    net = build_net(name, channels=3, size=8, classes=4, generator=generator).eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value in (module.weight, module.bias, module.running_mean):
                value.data.uniform_(-1, 1, generator=generator)  # type: ignore[union-attr]
    images = torch.randn(2, 3, 8, 8, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(net(images), plain(net, Cell.parse(name), images))


def test_images_see_each_other_through_batch_norm_alone() -> None:
    assert not is_per_image(outline(MIXED, **SHAPE))


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        (MIXED.replace("skip", "skp"), 32, "did you mean 'skip_connect'"),
        (MIXED[:-1], 32, "would be written"),
        (MIXED.replace("~2", "~1"), 32, "would be written"),
        ("|none~0|", 32, "6 operations, got 1"),
        (MIXED, 30, "multiple of 4 pixels, got 30"),
    ],
)
def test_a_bad_string_or_size_says_what_is_wrong(name: str, size: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_net(name, channels=3, size=size, classes=10)
    with pytest.raises(InputError, match=message):
        outline(name, channels=3, size=size, classes=10)
