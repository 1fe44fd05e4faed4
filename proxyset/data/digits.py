"""The embedded dataset: scikit-learn's 1,797 real 8×8 handwritten digits, shipped inside its wheel."""

import torch

from proxyset.data.images import ImageSet


def read_digits() -> ImageSet:
    """All digits, N×1×8×8 uint8 (their 17 grey levels spread over 0..255)."""
    from sklearn.datasets import load_digits  # here, because scikit-learn takes a second to import

    bunch = load_digits()
    images = torch.from_numpy(bunch.images).mul(255 / 16).round().to(torch.uint8).unsqueeze(1)
    return ImageSet(images, torch.from_numpy(bunch.target).long())
