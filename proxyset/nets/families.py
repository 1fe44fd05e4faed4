"""The families of networks: ConvNet, MLP, LeNet, AlexNet, VGG-11 and ResNet-18 (paper, section 4.1)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from proxyset.errors import InputError
from proxyset.nets.arch import Activation, Arch, Norm
from proxyset.nets.classifier import Classifier

Builder = Callable[..., nn.Module]
"""Channels, image size and classes to a network of images N×C×H×W to logits N×classes."""


def convnet(arch: Arch, channels: int, size: int, classes: int) -> nn.Module:
    padded = _padded(size)
    if arch.pooling != "none":
        _require(f"{arch} ({arch.depth} poolings)", size, 2**arch.depth if padded < 2**arch.depth else 0)
    layers: list[nn.Module] = []
    for block in range(arch.depth):
        pad = 1 + (padded - size) // 2 if block == 0 else 1
        layers += [nn.Conv2d(channels if block == 0 else arch.width, arch.width, 3, padding=pad)]
        layers += [*_norm(arch.norm, arch.width, padded), _activation(arch.activation)]
        if arch.pooling != "none":
            layers.append(nn.MaxPool2d(2) if arch.pooling == "max" else nn.AvgPool2d(2))
            padded //= 2
    return Classifier(nn.Sequential(*layers), nn.Linear(arch.width * padded**2, classes))


def mlp(channels: int, size: int, classes: int) -> nn.Module:
    body = nn.Sequential(nn.Flatten(), nn.Linear(channels * size**2, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU())
    return Classifier(body, nn.Linear(128, classes))


def lenet(channels: int, size: int, classes: int) -> nn.Module:
    _require("lenet", size, 16)
    padding = 2 if size == 28 else 0
    side = ((size + 2 * padding - 4) // 2 - 4) // 2
    conv = [nn.Conv2d(channels, 6, 5, padding=padding), nn.ReLU(), nn.MaxPool2d(2)]
    conv += [nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    linear = [nn.Linear(16 * side**2, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU()]
    return Classifier(nn.Sequential(*conv, *linear), nn.Linear(84, classes))


def alexnet(channels: int, size: int, classes: int) -> nn.Module:
    padded = _padded(size)
    plan = [(128, 5, True), (192, 5, True), (256, 3, False), (192, 3, False), (192, 3, True)]
    layers: list[nn.Module] = []
    before, pad = channels, (padded - size) // 2
    for width, kernel, pool in plan:
        layers += [nn.Conv2d(before, width, kernel, padding=kernel // 2 + pad), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if pool else []
        before, pad = width, 0
    return Classifier(nn.Sequential(*layers), nn.Linear(192 * (padded // 8) ** 2, classes))


def vgg11(channels: int, size: int, classes: int, norm: Norm = "instance") -> nn.Module:
    padded = _padded(size)
    _require("vgg11 (5 poolings)", size, 32 if padded < 32 else 0)
    layers: list[nn.Module] = []
    before, pad = channels, 1 + (padded - size) // 2
    for part in (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"):
        if isinstance(part, str):
            layers.append(nn.MaxPool2d(2))
            continue
        layers += [nn.Conv2d(before, part, 3, padding=pad), *_norm(norm, part, 0), nn.ReLU()]
        before, pad = part, 1
    return Classifier(nn.Sequential(*layers), nn.Linear(512 * (padded // 32) ** 2, classes))


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut (He et al. 2016); `pool` replaces a stride of 2 by 2×2 average pooling."""

    per_image = True

    def __init__(self, before: int, width: int, stride: int, norm: Norm, pool: bool) -> None:
        super().__init__()
        shrink: list[nn.Module] = [nn.AvgPool2d(2)] if pool and stride == 2 else []
        stride = 1 if pool else stride
        first = [
            nn.Conv2d(before, width, 3, stride, 1, bias=False),
            *_norm(norm, width, 0),
            nn.ReLU(),
            *shrink,
        ]
        self.residual = nn.Sequential(*first, nn.Conv2d(width, width, 3, 1, 1, bias=False), *_norm(norm, width, 0))
        self.shortcut = nn.Sequential()
        if before != width:
            self.shortcut = nn.Sequential(
                nn.Conv2d(before, width, 1, stride, bias=False), *shrink, *_norm(norm, width, 0)
            )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.residual(x) + self.shortcut(x))


def resnet18(
    channels: int, size: int, classes: int, norm: Norm = "instance", condensing: bool = False, pooled: bool = False
) -> nn.Module:
    """ResNet-18 for small images.

    Args:
        condensing: the variant for gradient matching: stride 1 and 2×2 average pooling in place of every stride of 2,
            and a head on the whole last map (512×4×4 at 32 pixels, 512×3×3 at 28), as in the authors' code, which made
            the paper's Table 3.
        pooled: a head on the mean over the last map in any case.
    """
    _require("resnet18 (its last stage is 1/8 of the image and normalised over it)", size, 16)
    layers: list[nn.Module] = [
        nn.Conv2d(channels, 64, 3, 1, 1, bias=False),
        *_norm(norm, 64, 0),
        nn.ReLU(),
    ]
    before = 64
    for width, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers.append(BasicBlock(before, width, stride, norm, condensing))
        layers.append(BasicBlock(width, width, 1, norm, condensing))
        before = width
    if pooled or not condensing:
        return Classifier(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1)), nn.Linear(512, classes))
    return Classifier(nn.Sequential(*layers), nn.Linear(512 * (size // 8) ** 2, classes))


def _padded(size: int) -> int:
    """28-pixel images are padded to 32 by the first convolution, as in the paper's code."""
    return 32 if size == 28 else size


def _require(net: str, size: int, least: int) -> None:
    if size < least:
        raise InputError(f"network {net} needs images of at least {least} pixels, got {size}")


def _norm(norm: Norm, width: int, side: int) -> list[nn.Module]:
    match norm:
        case "batch":
            return [nn.BatchNorm2d(width)]
        case "layer":
            return [nn.LayerNorm([width, side, side])]
        case "instance":
            return [nn.GroupNorm(width, width)]
        case "group":
            return [nn.GroupNorm(4, width)]
    return []


def _activation(activation: Activation) -> nn.Module:
    return {"sigmoid": nn.Sigmoid, "relu": nn.ReLU, "leakyrelu": nn.LeakyReLU}[activation]()
