"""The last layer of a network whose classes become more."""

import torch
from torch import Tensor, nn


class GrowingHead(nn.Module):
    """A linear head in parts, one for the classes of each step: what a part answers never changes when another joins.

    One wider matrix would not promise that: a matrix product may round differently at another width.
    """

    per_image = True

    def __init__(self, first: nn.Linear) -> None:
        super().__init__()
        self.parts = nn.ModuleList([first])

    def forward(self, features: Tensor) -> Tensor:
        """Features N×F to logits N×classes."""
        return torch.cat([part(features) for part in self.parts], 1)

    def sizes(self) -> list[int]:
        """Classes of each part."""
        return [part.out_features for part in self.parts if isinstance(part, nn.Linear)]

    def grow(self, classes: int, generator: torch.Generator) -> None:
        """Add a freshly initialised part for `classes` new classes."""
        first = self.parts[0]
        assert isinstance(first, nn.Linear)
        part = nn.utils.skip_init(nn.Linear, first.in_features, classes, device=first.weight.device)
        bound = first.in_features**-0.5  # torch's default for weights (Kaiming uniform, a = √5) and biases alike
        for parameter in part.parameters():
            parameter.data.copy_(torch.rand(parameter.shape, generator=generator).mul_(2).sub_(1).mul_(bound))
        self.parts.append(part)
