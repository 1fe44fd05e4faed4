"""An augmentation of your own: shear the images sideways."""

import torch
from torch import Tensor
from torch.nn import functional as F

from proxyset.data.augment import Operation


def shear(images: Tensor, r: Tensor) -> Tensor:
    """Shear by up to a fifth of the height to either side. images: N×C×H×W; r: uniform in [0, 1), 1×1 or N×1."""
    amount = 0.4 * (r[:, 0] - 0.5)
    matrix = torch.zeros(len(r), 2, 3, device=images.device)
    matrix[:, 0, 0] = matrix[:, 1, 1] = 1
    matrix[:, 0, 1] = amount
    grid = F.affine_grid(matrix.expand(len(images), 2, 3), list(images.shape), align_corners=True)
    return F.grid_sample(images, grid, align_corners=True)


SHEAR = Operation(shear, draws=1)
