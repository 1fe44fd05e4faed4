"""The paper's 720 ConvNets by name."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Literal, get_args

from proxyset.errors import InputError, nearest

Norm = Literal["none", "batch", "layer", "instance", "group"]
Activation = Literal["sigmoid", "relu", "leakyrelu"]
Pooling = Literal["none", "max", "avg"]


@dataclass(frozen=True)
class Arch:
    """A ConvNet: `depth` blocks of [conv 3×3, norm, activation, 2×2 pooling] of `width` channels, then a linear head.

    `str(arch)` is its name, such as `convnet-w128-d3-relu-instance-avg`; `Arch.parse` reads it back.
    """

    width: int = 128
    depth: int = 3
    norm: Norm = "instance"
    activation: Activation = "relu"
    pooling: Pooling = "avg"

    def __post_init__(self) -> None:
        for name, choices in (("norm", Norm), ("activation", Activation), ("pooling", Pooling)):
            if getattr(self, name) not in get_args(choices):
                raise InputError(
                    f"unknown {name} {getattr(self, name)!r}: {nearest(getattr(self, name), get_args(choices))}"
                )
        if self.width < 1 or self.depth < 1:
            raise InputError(f"width and depth must be at least 1, got {self.width} and {self.depth}")
        if self.norm == "group" and self.width % 4:
            raise InputError(f"group norm has 4 groups, so the width must be a multiple of 4, got {self.width}")

    def __str__(self) -> str:
        norm = "nonorm" if self.norm == "none" else self.norm
        pooling = "nopool" if self.pooling == "none" else self.pooling
        return f"convnet-w{self.width}-d{self.depth}-{self.activation}-{norm}-{pooling}"

    @classmethod
    def parse(cls, name: str, *, size: int = 32) -> "Arch":
        """Read a name such as `convnet`, `convnet-w32` or `convnet-w32-d2-sigmoid-nonorm-max`; missing parts default.

        A missing depth is 3, or 2 for images under 16 pixels: there a third block would normalise over 2×2 maps, whose
        near-constant channels make the gradients explode (DSA on 8×8 digits then diverges).
        """
        parts: dict[str, int | str] = {}
        tokens = {"nonorm": ("norm", "none"), "nopool": ("pooling", "none")}
        for field, choices in (("norm", Norm), ("activation", Activation), ("pooling", Pooling)):
            tokens |= {choice: (field, choice) for choice in get_args(choices) if choice != "none"}
        head, *rest = name.lower().split("-")
        if head != "convnet":
            raise InputError(f"{name!r} is not a ConvNet: its name starts with 'convnet'")
        for token in rest:
            key: str
            value: int | str
            if token[:1] in ("w", "d") and is_count(token[1:]):
                key, value = ("width" if token[0] == "w" else "depth"), int(token[1:])
                if value > MOST[key]:
                    raise InputError(f"network {name!r} has a {key} of more than {MOST[key]:,}")
            elif token in tokens:
                key, value = tokens[token]
            else:
                raise InputError(
                    f"unknown part {token!r} of network {name!r}: {nearest(token, [*tokens, 'w128', 'd3'])}"
                )
            if key in parts:
                raise InputError(f"network {name!r} names its {key} twice")
            parts[key] = value
        return cls(**({"depth": 3 if size >= 16 else 2} | parts))  # type: ignore[arg-type]


MOST = {"width": 65_536, "depth": 64}  # more are a slip, and would overflow


def is_count(text: str) -> bool:
    """Whether these are digits that are read as a number."""
    return text.isascii() and text.isdecimal()


SPACE_720 = {
    "width": (32, 64, 128, 256),
    "depth": (1, 2, 3, 4),
    "norm": get_args(Norm),
    "activation": get_args(Activation),
    "pooling": get_args(Pooling),
}


def all_archs() -> Iterator[Arch]:
    """The paper's 720 ConvNets, in a fixed order."""
    names = [field.name for field in fields(Arch)]
    for choice in itertools.product(*(SPACE_720[name] for name in names)):
        yield Arch(**dict(zip(names, choice, strict=True)))
