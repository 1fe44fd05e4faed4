"""The images of a class that cover it evenly: those nearest to k-means centres (DREAM, Liu et al., ICCV 2023)."""

import torch
from torch import Tensor

ROUNDS = 10  # of Lloyd's algorithm; the centres hardly move after that


def nearest_to_centres(features: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Positions of `count` different rows of `features` (N×F), each the nearest to a k-means centre.

    Own code, because scikit-learn adds up in the order in which its threads finish, so that no two runs agree.
    """
    start = torch.randperm(len(features), generator=generator)[:count].to(features.device)
    centres = features[start]
    for _ in range(ROUNDS):
        nearest = torch.cdist(features, centres).argmin(1)
        sizes = nearest.bincount(minlength=count)
        sums = torch.zeros_like(centres).index_add_(0, nearest, features)
        centres = torch.where(sizes[:, None] > 0, sums / sizes.clamp(min=1)[:, None], centres)
    distances = torch.cdist(centres, features)
    picked: list[int] = []
    for row in distances:  # one after another, so that no image is picked twice
        row[picked] = float("inf")
        picked.append(int(row.argmin()))
    return torch.tensor(picked)
