"""A source of a ranking of your own: deeper networks first."""

from dataclasses import dataclass
from typing import Any

import torch

from search.sources.base import Free


@dataclass(frozen=True)
class Depth(Free):
    """How many convolutions and linear layers a network has."""

    repeats = False

    def score(self, bench: Any, candidate: Any, generator: torch.Generator) -> float:
        layers = candidate.outline(bench.context.spec).modules()
        return float(sum(isinstance(layer, torch.nn.Conv2d | torch.nn.Linear) for layer in layers))
