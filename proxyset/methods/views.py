"""What of a network distribution matching looks at."""

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from proxyset.compute.features import Embedding, View
from proxyset.errors import InputError
from proxyset.nets.families import BasicBlock

ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.Sigmoid, BasicBlock)
SCALE, LAST = 100.0, 0.01  # of DataDAM's loss, and of its term for the last layer


class AttentionMaps(nn.Module):
    """The attention maps of every block but the last, and what the classifier sees (DataDAM, Sajedi et al., ICCV 2023).

    A map is Σ_channels |A| of an activation A, flattened and brought to length 1. Scaled so that the squared distance
    of means is that paper's loss: 100·(Σ_blocks ‖·‖² + 0.01·‖last‖²).
    """

    per_image = True

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        maps, x = [], images
        body: nn.Sequential = self.net.body  # type: ignore[assignment]
        for layer in body:
            x = layer(x)
            if isinstance(layer, ACTIVATIONS) and x.ndim == 4:
                maps.append(F.normalize(x.float().abs().sum(1).flatten(1), dim=1))
        return torch.cat([*(SCALE**0.5 * one for one in maps[:-1]), (SCALE * LAST) ** 0.5 * x.float().flatten(1)], 1)


VIEWS: dict[str, View] = {"last": Embedding, "layers": AttentionMaps}


def _maps(body: nn.Sequential) -> int:
    """How many attention maps there are: of every block but the last, where activations still are maps."""
    layers = itertools.takewhile(lambda layer: not isinstance(layer, nn.Flatten), body)
    return max(0, sum(isinstance(layer, ACTIVATIONS) for layer in layers) - 1)


def check_view(view: str, name: str, net: nn.Module, with_classes: bool) -> None:
    """
    Args:
        name: of the network, for the message.

    Raises:
        InputError: the network does not show what is to be looked at.
    """
    if getattr(net, "embed", None) is None:
        raise InputError(f"network {name} gives no features: it needs a method `embed` of images to features N×F")
    if view == "layers" and not isinstance(getattr(net, "body", None), nn.Sequential):
        raise InputError(f"`features=layers` needs a network that is a row of layers, which {name} is not")
    if view == "layers" and not _maps(net.body):  # type: ignore[arg-type]
        raise InputError(f"`features=layers` needs a network of several blocks, and {name} has one at most")
    if with_classes and not isinstance(getattr(net, "classifier", None), nn.Linear):
        raise InputError(f"`weight_classes` needs a network with a linear `classifier`, which {name} is not")
