"""What an image costs a network, measured without computing."""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Footprint:
    """What one image costs a network in one forward pass, in fp32.

    Attributes:
        flops: floating-point operations of its convolutions and products.
        largest: bytes of its largest activation.
        activations: bytes of all its activations.
    """

    flops: int
    largest: int
    activations: int


def measure_footprint(net: nn.Module, channels: int, size: int) -> Footprint:
    """Measure a copy of a network, or of its outline, on the meta device; all zero where it cannot run there."""
    outputs: list[int] = []

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and not list(module.children()):
            outputs.append(output.numel() * 4)

    try:
        net = copy.deepcopy(net).to("meta").eval()
        for module in net.modules():
            module.register_forward_hook(note)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            net(torch.empty(1, channels, size, size, device="meta"))
    except Exception:  # a user's network may do what only real tensors can
        return Footprint(0, 0, 0)
    return Footprint(counter.get_total_flops(), max(outputs, default=0), sum(outputs))
