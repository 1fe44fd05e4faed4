"""The networks of NAS-Bench-201 by their architecture strings (Dong & Yang, ICLR 2020, arXiv:2001.00326)."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from proxyset.errors import InputError, nearest
from proxyset.nets.classifier import Classifier

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
NODES = 4  # of a cell; the first is its input, the last its output
EDGES = NODES * (NODES - 1) // 2
WIDTH = 16  # channels of the first stage; each later one has twice as many
STAGES, CELLS = 3, 5
SHRINKS = 2 ** (STAGES - 1)


@dataclass(frozen=True)
class Cell:
    """One of the 15,625 cells: an operation on each of the six edges between its four nodes.

    `str(cell)` is its architecture string, such as `|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|`
    `nor_conv_3x3~1|skip_connect~2|` on one line: a group for each node but the first, and in it the operation on the
    edge from each earlier node. `Cell.parse` reads it back.

    Attributes:
        operations: on the edges 0→1, 0→2, 1→2, 0→3, 1→3, 2→3.
    """

    operations: tuple[str, ...]

    def __post_init__(self) -> None:
        for operation in self.operations:
            if operation not in OPERATIONS:
                raise InputError(f"unknown operation {operation!r}: {nearest(operation, OPERATIONS)}")
        if len(self.operations) != EDGES:
            raise InputError(f"a NAS-Bench-201 cell has {EDGES} operations, got {len(self.operations)}")

    def incoming(self, node: int) -> tuple[str, ...]:
        """The operations on the edges to a node from 1 on, one for each earlier node."""
        start = node * (node - 1) // 2
        return self.operations[start : start + node]

    def __str__(self) -> str:
        groups = ("|".join(f"{name}~{source}" for source, name in enumerate(self.incoming(n))) for n in range(1, NODES))
        return "+".join(f"|{group}|" for group in groups)

    @classmethod
    def parse(cls, name: str) -> "Cell":
        """
        Raises:
            InputError: it is no architecture string of this space.
        """
        edges = re.findall(r"([^|+~]+)~(\d+)", name)
        cell = cls(tuple(operation for operation, _ in edges))
        if str(cell) != name:
            raise InputError(f"{name!r} is not a NAS-Bench-201 cell, which would be written {str(cell)!r}")
        return cell


def is_cell(name: str) -> bool:
    """Whether a name is meant as an architecture string."""
    return name.startswith("|")


def all_cells() -> Iterator[Cell]:
    """The 15,625 cells, in a fixed order."""
    return (Cell(operations) for operations in itertools.product(OPERATIONS, repeat=EDGES))


def check_cell_size(size: int) -> None:
    """
    Raises:
        InputError: the shortcuts of the two blocks that halve the maps do not fit images of this size.
    """
    if size < SHRINKS or size % SHRINKS:
        raise InputError(f"a NAS-Bench-201 network needs images of a multiple of {SHRINKS} pixels, got {size}")


class CellBlock(nn.Module):
    """A cell as a layer, N×C×H×W to the same shape: a node is the sum of what its edges bring."""

    per_image = True

    def __init__(self, cell: Cell, width: int) -> None:
        super().__init__()
        self.edges = nn.ModuleDict()
        self.skips: set[str] = set()
        for node in range(1, NODES):
            for source, operation in enumerate(cell.incoming(node)):
                key = f"{source}-{node}"
                if operation == "skip_connect":
                    self.skips.add(key)
                elif operation == "avg_pool_3x3":
                    self.edges[key] = nn.AvgPool2d(3, 1, 1, count_include_pad=False)
                elif operation != "none":
                    self.edges[key] = _convolution(width, width, int(operation[-1]))

    def forward(self, images: Tensor) -> Tensor:
        nodes = [images]
        for node in range(1, NODES):
            brought = [self._along(f"{source}-{node}", value) for source, value in enumerate(nodes)]
            there = [value for value in brought if value is not None]
            nodes.append(sum(there[1:], there[0]) if there else torch.zeros_like(images))
        return nodes[-1]

    def _along(self, key: str, value: Tensor) -> Tensor | None:
        if key in self.edges:
            return self.edges[key](value)
        return value if key in self.skips else None


class HalvingBlock(nn.Module):
    """The residual block between two stages: half the side, twice the channels."""

    per_image = True

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(_convolution(before, width, 3, stride=2), _convolution(width, width, 3))
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(before, width, 1, bias=False))

    def forward(self, images: Tensor) -> Tensor:
        return self.residual(images) + self.shortcut(images)


def cell_network(cell: Cell, channels: int, size: int, classes: int) -> nn.Module:
    """The network around a cell: a 3×3 convolution to 16 channels, three stages of five cells, a halving block between
    stages, then BatchNorm, ReLU, the mean over the map and a linear head.

    Raises:
        InputError: see `check_cell_size`.
    """
    check_cell_size(size)
    layers: list[nn.Module] = [nn.Conv2d(channels, WIDTH, 3, padding=1, bias=False), nn.BatchNorm2d(WIDTH)]
    width = WIDTH
    for stage in range(STAGES):
        if stage:
            layers.append(HalvingBlock(width, 2 * width))
            width *= 2
        layers += [CellBlock(cell, width) for _ in range(CELLS)]
    layers += [nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    return Classifier(nn.Sequential(*layers), nn.Linear(width, classes))


def _convolution(before: int, width: int, kernel: int, stride: int = 1) -> nn.Module:
    """ReLU, then the convolution, then BatchNorm."""
    convolution = nn.Conv2d(before, width, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(nn.ReLU(), convolution, nn.BatchNorm2d(width))
