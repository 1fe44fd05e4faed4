"""What the tests of the networks share."""

import torch
from torch import nn

from proxyset.nets.arch import Arch
from proxyset.nets.build import build_net


def count(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def make(name: str | Arch, channels: int = 3, size: int = 32, classes: int = 10, condensing: bool = False) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    return build_net(name, channels=channels, size=size, classes=classes, generator=generator, condensing=condensing)
