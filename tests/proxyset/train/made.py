"""What the tests of the training share."""

from typing import Any

import torch
from torch import nn

from proxyset.nets.build import build_net
from proxyset.train.recipe import Recipe

PLAIN: dict[str, Any] = {"momentum": 0.0, "weight_decay": 0.0, "schedule": "constant", "augment": "none"}


def recipe(epochs: int, **changes: Any) -> Recipe:
    """Plain SGD at 0.01, with changes."""
    return Recipe(**PLAIN | {"epochs": epochs} | changes)


def make_net(name: str = "mlp", seed: int = 0, channels: int = 1) -> nn.Module:
    return build_net(name, channels=channels, size=8, classes=3, generator=torch.Generator().manual_seed(seed))
