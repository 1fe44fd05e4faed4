"""Random generators split from one seed, so that no part of a run depends on what another part drew."""

import hashlib

import torch


def make_generator(seed: int, *purpose: str | int) -> torch.Generator:
    """A CPU generator for one purpose of a run: the same seed and purpose give the same stream.

    Generators live on the CPU on every device: what they draw (indices, transforms, initial weights) is small,
    and a run then draws the same numbers wherever it computes.
    """
    digest = hashlib.sha256("/".join(map(str, (seed, *purpose))).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
