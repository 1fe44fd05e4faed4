"""Image files and byte streams to pixels."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from proxyset.errors import InputError, one_line


def decode(sources: Iterator[tuple[str, Any]], size: int | None, channels: int | None) -> Tensor:
    """Named files or byte streams to uint8 pixels N×C×S×S, in threads (Pillow releases the lock).

    Args:
        size, channels: bring every image to this size and channel count; None keeps what is there (then all images must
            be of one square size; any colour image makes the set a colour set).

    Raises:
        InputError: an image that cannot be read or does not fit; the message names it.
    """
    with ThreadPoolExecutor() as pool:
        decoded = list(pool.map(lambda named: _decode_one(named, size, channels), sources))
    colour = channels == 3 or (channels is None and any(array.ndim == 3 for _, array in decoded))
    expected = decoded[0][1].shape[0] if decoded else 0
    for name, array in decoded:
        if array.shape[:2] != (expected, expected):
            height, width = array.shape[:2]
            wanted = f"{expected}×{expected} like the first" if height == width else "square"
            raise InputError(f"image {name} is {width}×{height}, not {wanted}; `size=N` brings all to N×N")
    images = torch.empty(len(decoded), 3 if colour else 1, expected, expected, dtype=torch.uint8)
    for row, (_, array) in enumerate(decoded):
        image = torch.from_numpy(array)
        images[row] = image.permute(2, 0, 1) if image.ndim == 3 else image
    return images


def _decode_one(named: tuple[str, Any], size: int | None, channels: int | None) -> tuple[str, np.ndarray]:
    from PIL import Image

    name, source = named
    try:
        with Image.open(source) as stored:
            grey = channels == 1 or (channels is None and stored.mode in ("1", "L", "I;16"))
            image = stored.convert("L" if grey else "RGB")
            if size is not None and image.size != (size, size):
                image = image.resize((size, size), Image.Resampling.BILINEAR)
            return name, np.array(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"cannot read image {name}: {one_line(error)}") from None
