"""Every network's parameter count and output shape against plain formulas; the norms; ResNet's two variants."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from proxyset.errors import InputError
from proxyset.nets.arch import Arch, all_archs
from proxyset.nets.build import NETS, check_net, outline
from proxyset.nets.classifier import Classifier, has_batch_norm
from tests import reference
from tests.proxyset.nets.made import count, make

FORMULAS: dict[str, Callable[..., int]] = {
    "mlp": reference.mlp_parameters,
    "lenet": reference.lenet_parameters,
    "alexnet": reference.alexnet_parameters,
    "vgg11": reference.vgg11_parameters,
    "vgg11-batch": reference.vgg11_parameters,
    "resnet18": reference.resnet18_parameters,
    "resnet18-batch": reference.resnet18_parameters,
    "resnet18-pooled": reference.resnet18_parameters,
    "resnet18-batch-pooled": reference.resnet18_parameters,
}
# For 3×32×32 and ten classes, as the papers and widely used implementations state them.
PUBLISHED = {
    "convnet": 320_010,
    "lenet": 62_006,
    "mlp": 411_146,
    "vgg11-batch": 9_231_114,
    "resnet18-batch": 11_173_962,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_parameter_counts(name: str) -> None:
    assert count(make(name)) == PUBLISHED[name]


def test_all_720_convnets_have_the_parameters_that_the_formula_gives() -> None:
    archs = list(all_archs())
    assert len(set(archs)) == len(archs) == 720
    for arch in archs:
        for channels, size in ((3, 32), (1, 28)):
            net = outline(arch, channels=channels, size=size, classes=10)
            expected = reference.convnet_parameters(
                arch.width, arch.depth, arch.norm, arch.pooling, channels=channels, size=size, classes=10
            )
            assert count(net) == expected, str(arch)


def test_every_convnet_maps_a_batch_to_finite_logits() -> None:
    """All norms, activations, poolings and depths; narrow, because the width changes no shape but its own."""
    batch = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for arch in all_archs():
        if arch.width == 32:
            narrow = Arch(4, arch.depth, arch.norm, arch.activation, arch.pooling)
            logits = make(narrow)(batch)
            assert logits.shape == (2, 10), str(arch)
            assert logits.isfinite().all(), str(arch)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("condensing", [False, True])
@pytest.mark.parametrize(("channels", "size", "classes"), [(3, 32, 10), (1, 28, 10), (3, 64, 100), (1, 33, 3)])
def test_parameter_counts_and_output_shapes(
    name: str, condensing: bool, channels: int, size: int, classes: int
) -> None:
    net = make(name, channels, size, classes, condensing)
    whole_map = {"condensing": True} if condensing and name in ("resnet18", "resnet18-batch") else {}
    assert count(net) == FORMULAS[name](channels=channels, size=size, classes=classes, **whole_map)
    assert isinstance(net, Classifier)
    net.eval()
    batch = torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits, features = net(batch), net.embed(batch)
    assert logits.shape == (2, classes)
    assert features.shape[0] == 2
    torch.testing.assert_close(net.classifier(features), logits)


@pytest.mark.parametrize("name", ["resnet18", "resnet18-batch", "resnet18-pooled"])
def test_resnet_for_condensing_has_no_strides_but_average_pooling(name: str) -> None:
    plain, condensing = make(name), make(name, condensing=True)

    def strides(net: nn.Module) -> list[int]:
        return [module.stride[0] for module in net.modules() if isinstance(module, nn.Conv2d)]

    assert strides(plain).count(2) == 6  # three stages, in the block and in its shortcut
    assert set(strides(condensing)) == {1}
    pools = [module for _, module in condensing.named_modules(remove_duplicate=False) if type(module) is nn.AvgPool2d]
    assert len(pools) == 6


@pytest.mark.parametrize(
    ("name", "condensing", "size", "inputs"),
    [
        ("resnet18", True, 32, 8192),  # as the authors' code has it, with which their Table 3 was made
        ("resnet18", True, 28, 4608),
        ("resnet18-batch", True, 32, 8192),
        ("resnet18-pooled", True, 32, 512),
        ("resnet18-batch-pooled", True, 28, 512),
        ("resnet18", False, 32, 512),  # evaluated with the usual head
        ("resnet18", False, 28, 512),
        ("resnet18-pooled", False, 32, 512),
    ],
)
def test_what_resnet_s_head_sees(name: str, condensing: bool, size: int, inputs: int) -> None:
    net = outline(name, channels=3, size=size, classes=10, condensing=condensing)
    assert isinstance(net, Classifier)
    assert net.classifier.in_features == inputs


def test_28_pixels_are_padded_to_32_by_the_first_convolution() -> None:
    first = next(module for module in make("convnet", size=28).modules() if isinstance(module, nn.Conv2d))
    assert first.padding == (3, 3)
    assert count(make("convnet", 1, 28)) == count(make("convnet", 1, 32))


@pytest.mark.parametrize(
    ("norm", "kind", "attributes"),
    [
        ("instance", nn.GroupNorm, {"num_groups": 8, "num_channels": 8, "affine": True}),
        ("group", nn.GroupNorm, {"num_groups": 4, "num_channels": 8}),
        ("layer", nn.LayerNorm, {"normalized_shape": (8, 32, 32)}),
        ("batch", nn.BatchNorm2d, {"num_features": 8}),
    ],
)
def test_norms_are_the_published_ones(norm: str, kind: type[nn.Module], attributes: dict[str, object]) -> None:
    net = make(Arch(width=8, norm=norm))  # type: ignore[arg-type]
    first = next(module for module in net.modules() if isinstance(module, kind))
    assert {name: getattr(first, name) for name in attributes} == attributes
    assert has_batch_norm(net) == (norm == "batch")


# Pixels below which a network has nothing left after its poolings.
SMALLEST = dict.fromkeys([name for name in NETS if name.startswith("resnet18")], 16) | {
    "lenet": 16,
    "vgg11": 32,
    "vgg11-batch": 32,
    "convnet-d4": 16,
}


@pytest.mark.parametrize("name", [*NETS, "convnet", "convnet-d4", "convnet-w8-d4-nopool", "convnet-w8-layer-max"])
def test_every_size_from_8_to_64_either_works_or_is_refused_before_any_work(name: str) -> None:
    refused = []
    for size in (8, 9, 15, 16, 17, 28, 31, 32, 47, 64):
        if name in NETS and size > 33:
            continue  # covered by the table above; slow here
        try:
            check_net(name, channels=1, size=size, classes=3)
        except InputError:
            refused.append(size)
            continue
        if name.endswith("-pooled"):
            continue  # without condensing it is the same network
        net = make(name, 1, size, 3)
        with torch.no_grad():
            assert net(torch.zeros(2, 1, size, size)).shape == (2, 3)
    expected = [size for size in (8, 9, 15, 16, 17, 28, 31) if size < SMALLEST.get(name, 8)]
    assert refused == [size for size in expected if size != 28]  # 28 is padded to 32
