"""Every network's parameter count and output shape against plain formulas; initialisation, names, refused sizes."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from proxyset.nets import NETS, Arch, _convnet, all_archs, build_net, check_net, full_name, has_batch_norm, initialise
from proxyset.settings import InputError
from tests import reference

FORMULAS: dict[str, Callable[..., int]] = {
    "mlp": reference.mlp_parameters,
    "lenet": reference.lenet_parameters,
    "alexnet": reference.alexnet_parameters,
    "vgg11": reference.vgg11_parameters,
    "vgg11-batch": reference.vgg11_parameters,
    "resnet18": reference.resnet18_parameters,
    "resnet18-batch": reference.resnet18_parameters,
}
# For 3×32×32 and ten classes, as the papers and widely used implementations state them.
PUBLISHED = {
    "convnet": 320_010,
    "lenet": 62_006,
    "mlp": 411_146,
    "vgg11-batch": 9_231_114,
    "resnet18-batch": 11_173_962,
}


def count(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def make(name: str | Arch, channels: int = 3, size: int = 32, classes: int = 10, condensing: bool = False) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    return build_net(name, channels=channels, size=size, classes=classes, generator=generator, condensing=condensing)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_parameter_counts(name: str) -> None:
    assert count(make(name)) == PUBLISHED[name]


def test_all_720_convnets_have_the_parameters_that_the_formula_gives() -> None:
    archs = list(all_archs())
    assert len(set(archs)) == len(archs) == 720
    for arch in archs:
        for channels, size in ((3, 32), (1, 28)):
            with torch.device("meta"):
                net = _convnet(arch, channels, size, 10)
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


def test_names_of_all_720_read_back() -> None:
    for arch in all_archs():
        assert Arch.parse(str(arch)) == arch
    assert str(Arch()) == "convnet-w128-d3-relu-instance-avg"


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("condensing", [False, True])
@pytest.mark.parametrize(("channels", "size", "classes"), [(3, 32, 10), (1, 28, 10), (3, 64, 100), (1, 33, 3)])
def test_parameter_counts_and_output_shapes(
    name: str, condensing: bool, channels: int, size: int, classes: int
) -> None:
    net = make(name, channels, size, classes, condensing)
    assert count(net) == FORMULAS[name](channels=channels, size=size, classes=classes)
    net.eval()
    batch = torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits, features = net(batch), net.embed(batch)
    assert logits.shape == (2, classes)
    assert features.shape[0] == 2
    torch.testing.assert_close(net.classifier(features), logits)


@pytest.mark.parametrize("name", ["resnet18", "resnet18-batch"])
def test_resnet_for_condensing_has_no_strides_but_average_pooling(name: str) -> None:
    plain, condensing = make(name), make(name, condensing=True)

    def strides(net: nn.Module) -> list[int]:
        return [module.stride[0] for module in net.modules() if isinstance(module, nn.Conv2d)]

    assert strides(plain).count(2) == 6  # three stages, in the block and in its shortcut
    assert set(strides(condensing)) == {1}
    pools = [module for _, module in condensing.named_modules(remove_duplicate=False) if type(module) is nn.AvgPool2d]
    assert len(pools) == 6


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


@pytest.mark.parametrize("name", ["convnet-w8", "mlp", "lenet", "convnet-w8-batch", "convnet-w8-layer"])
def test_initialisation_is_torchs_default(name: str) -> None:
    net = make(name)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            fan_in = module.weight[0].numel()
            bound = 1 / math.sqrt(fan_in)  # Kaiming uniform with a = √5: gain √(1/3), times √(3 / fan_in)
            for tensor in (module.weight, module.bias):
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


def test_partial_names_take_the_defaults() -> None:
    assert Arch.parse("convnet") == Arch()
    assert Arch.parse("ConvNet-W32") == Arch(width=32)
    assert Arch.parse("convnet-sigmoid-nonorm-nopool-d2") == Arch(128, 2, "none", "sigmoid", "none")
    assert Arch.parse("convnet", size=8).depth == 2  # a third block would normalise over 2×2
    assert Arch.parse("convnet-d3", size=8).depth == 3
    assert full_name("convnet-w8", 8) == "convnet-w8-d2-relu-instance-avg"
    assert full_name("ResNet18", 32) == "resnet18"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("convnett", "did you mean 'convnet'"),
        ("resnet", "did you mean 'resnet18'"),
        ("convnet-w32-instanc", "did you mean 'instance'"),
        ("convnet-w0", "at least 1"),
        ("convnet-w6-group", "multiple of 4"),
        ("convnet-w8-w16", "width twice"),
        ("transformer", "unknown network 'transformer'"),
        ("", "unknown network ''"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_net(name, channels=3, size=32, classes=10)


# Pixels below which a network has nothing left after its poolings.
SMALLEST = {"lenet": 16, "vgg11": 32, "vgg11-batch": 32, "resnet18": 16, "resnet18-batch": 16, "convnet-d4": 16}


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
        net = make(name, 1, size, 3)
        with torch.no_grad():
            assert net(torch.zeros(2, 1, size, size)).shape == (2, 3)
    expected = [size for size in (8, 9, 15, 16, 17, 28, 31) if size < SMALLEST.get(name, 8)]
    assert refused == [size for size in expected if size != 28]  # 28 is padded to 32
