"""What an image costs a network."""

import torch
from torch import nn

from proxyset.compute.footprint import Footprint, measure_footprint
from proxyset.nets.build import build_net, outline


def test_footprint_of_a_convnet_by_hand() -> None:
    """One block of width 4 on 1×8×8 (conv 3×3, instance norm, ReLU, 2×2 pooling) and a head for 3 classes."""
    net = outline("convnet-w4-d1", channels=1, size=8, classes=3)
    multiplications = 4 * 9 * 64 + 4 * 16 * 3
    activations = [4 * 64, 4 * 64, 4 * 64, 4 * 16, 3]
    assert measure_footprint(net, 1, 8) == Footprint(2 * multiplications, 4 * 4 * 64, 4 * sum(activations))


def test_footprint_leaves_the_network_alone_and_survives_odd_ones() -> None:
    net = build_net("convnet-w4-d1-batch", channels=1, size=8, classes=3, generator=torch.Generator())
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    measure_footprint(net, 1, 8)
    assert net.training
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())

    class Caching(nn.Module):
        position: torch.Tensor | None = None

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.position is None:
                self.position = torch.zeros(8, device=x.device)
            return x + self.position

    caching = Caching()
    assert measure_footprint(caching, 1, 8).activations == 4 * 64
    caching(torch.zeros(1, 1, 8, 8))  # what was measured was a copy

    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.mean().item() > 0 else -x  # needs real numbers

    assert measure_footprint(Odd(), 1, 8) == Footprint(0, 0, 0)
