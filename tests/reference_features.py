"""Plain oracles of what compares features, from the papers and with nothing of the library: slow and obvious."""

import cmath
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

# Distribution matching (DM, equation 6), attention maps (DataDAM), characteristic functions (NCFM).


def dm_distance(net: nn.Module, real: Sequence[Tensor], synthetic: Sequence[Tensor]) -> Tensor:
    """Σ_c Σ_feature (mean of real − mean of synthetic)², from one image at a time.

    Args:
        real, synthetic: the augmented images of each class, N×C×H×W.
    """
    total = synthetic[0].new_zeros(())
    for ours, theirs in zip(synthetic, real, strict=True):
        means = [
            sum(net.embed(image[None])[0] for image in images) / len(images)  # type: ignore[operator]
            for images in (ours, theirs)
        ]
        for one, other in zip(*means, strict=True):
            total = total + (one - other) ** 2
    return total


def attention(activation: Tensor) -> Tensor:
    """Σ over channels of |A| at every place of one C×H×W activation, divided by the root of its summed squares."""
    channels, height, width = activation.shape
    places = [
        sum(abs(float(activation[c, y, x])) for c in range(channels)) for y in range(height) for x in range(width)
    ]
    length = sum(place**2 for place in places) ** 0.5
    return torch.tensor([place / length for place in places])


def characteristic_distance(real: Tensor, synthetic: Tensor, frequencies: Tensor) -> float:
    """mean_t √(½(|Φ_r| − |Φ_s|)² + ½·2|Φ_r||Φ_s|(1 − cos(a_r − a_s))) with complex numbers, one at a time.

    Args:
        real, synthetic: features of one class, N×F.
        frequencies: F×K.
    """
    total = 0.0
    for t in frequencies.T.tolist():
        values = []
        for features in (real, synthetic):
            total_value = 0j
            for row in features.tolist():
                length = sum(value**2 for value in row) ** 0.5
                total_value += cmath.exp(1j * sum(a * b / length for a, b in zip(row, t, strict=True)))
            values.append(total_value / len(features))
        r, s = values
        amplitude = (abs(r) - abs(s)) ** 2
        phase = 2 * abs(r) * abs(s) * (1 - math.cos(cmath.phase(r) - cmath.phase(s)))
        total += math.sqrt(0.5 * amplitude + 0.5 * phase)
    return total / frequencies.shape[1]
