"""Random generators split from one seed, so that no part of a run depends on what another part drew."""

import hashlib

import torch
from torch import Tensor


def make_generator(seed: int, *purpose: str | int) -> torch.Generator:
    """A CPU generator for one purpose of a run: the same seed and purpose give the same stream.

    Generators live on the CPU on every device: what they draw (indices, transforms, initial weights) is small,
    and a run then draws the same numbers wherever it computes.
    """
    digest = hashlib.sha256("/".join(map(str, (seed, *purpose))).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


FEW = 32  # picks that a loop makes as fast as anything
SPARSE = 50  # numbers for each pick from which a loop over the picks beats a shuffle of all numbers


def sample(length: int, count: int, generator: torch.Generator) -> Tensor:
    """`count` of the numbers from 0 to `length` − 1 without replacement, in random order: `count` int64.

    A shuffle of all numbers, or, where the picks are few or far between, only its first steps (Fisher–Yates), whose
    cost does not grow with `length`.
    """
    if count > FEW and length < SPARSE * count:
        return torch.randperm(length, generator=generator)[:count]
    # a double resolves any length; the generator's integers take one range per call
    jumps = torch.rand(count, generator=generator, dtype=torch.float64) * torch.arange(length, length - count, -1)
    moved: dict[int, int] = {}
    picked = []
    for place, jump in enumerate(jumps.long().tolist()):
        target = place + jump
        picked.append(moved.get(target, target))
        moved[target] = moved.get(place, place)
    return torch.tensor(picked, dtype=torch.int64)
