"""What the tests of the readers share: images made here, and a check of what was read."""

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from proxyset.data.images import ImageSet


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def check(found: ImageSet, images: np.ndarray, labels: Any) -> None:
    """`images` is N×C×H×W."""
    assert found.images.dtype == torch.uint8
    np.testing.assert_array_equal(found.images.numpy(), images)
    assert found.labels.dtype == torch.int64
    assert found.labels.tolist() == list(labels)
