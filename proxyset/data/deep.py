"""Images of more than 8 bits a channel as images of 8 bits."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from proxyset.data.unreadable import Unreadable

TO_8_BITS = np.round(np.arange(65536) / 257).astype(np.uint8)  # 65535 = 257·255
DEEP = "of 16 bits"
WHITE_IS_ZERO = 0  # TIFF, tag PhotometricInterpretation
# Pillow keeps the high byte of 16-bit colour. Read with the other order of bytes, it keeps the low one.
_OTHER_ORDER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}


def is_deep(stored: Image.Image) -> bool:
    """Whether an image that is not loaded yet has more than 8 bits a channel."""
    return stored.mode == "F" or stored.mode.startswith("I") or ";16" in _raw_mode(stored)


def to_8_bits(stored: Image.Image, reopen: Callable[[], Image.Image]) -> tuple[Image.Image, str]:
    """A deep image as L, LA, RGB or RGBA, and what it was.

    16 bits: v/257, rounded. Real numbers: those of 0..1 times 255, rounded, as in arrays.

    Args:
        stored: not loaded yet.
        reopen: opens the same image once more.

    Raises:
        Unreadable: 32-bit integers, which have no range of their own, and real numbers outside 0..1.
    """
    if stored.mode == "F":
        return _from_real(np.asarray(stored)), "of real numbers"
    if stored.mode.startswith("I;16"):
        bits = 12 if _raw_mode(stored) == "I;12" else 16
        values: np.ndarray = np.asarray(stored, dtype=np.uint16)
        values = values << 4 | values >> 8 if bits == 12 else values
        if stored.format == "TIFF" and stored.tag_v2.get(262) == WHITE_IS_ZERO:  # type: ignore[attr-defined]
            values = np.uint16(65535) - values
    elif stored.mode == "I":
        if stored.format not in ("PNG", "PPM"):
            raise Unreadable(
                "its integers of 32 bits, or with a sign, do not say what is white; save it with 8 or 16 bits"
            )
        values = np.asarray(stored).clip(0, 65535).astype(np.uint16)
    else:
        values = _colours(stored, reopen)
    return _with_key(values, stored.info.get("transparency")), DEEP


def _from_real(values: np.ndarray) -> Image.Image:
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        raise Unreadable(f"its real numbers must lie in 0..1, found {values.min()}..{values.max()}")
    return Image.fromarray(np.round(values * 255).astype(np.uint8))


def _colours(stored: Image.Image, reopen: Callable[[], Image.Image]) -> np.ndarray:
    """16-bit values H×W×C: grey and alpha, colours, or colours and alpha."""
    raw = _raw_mode(stored)
    if raw == "LA;16B":  # four bytes a pixel
        _read_as(stored, "RGBA")
        parts = np.asarray(stored).astype(np.uint16)
        return parts[..., ::2] << 8 | parts[..., 1::2]
    high = np.asarray(stored).astype(np.uint16)
    kind, _, order = raw.partition(";16")
    if kind not in ("RGB", "RGBX", "RGBA") or order not in _OTHER_ORDER:  # no other order: the high byte alone
        return high * 257
    low = reopen()
    _read_as(low, f"{kind};16{_OTHER_ORDER[order]}")
    return high << 8 | np.asarray(low)


def _with_key(values: np.ndarray, key: Any) -> Image.Image:
    """8 bits; pixels of the value `key` (PNG names one value that is transparent) get alpha 0."""
    image = TO_8_BITS[values]
    if key is None or isinstance(key, bytes):
        return Image.fromarray(image)
    hidden = (values.reshape(*values.shape[:2], -1) == np.asarray(key)).all(-1)
    alpha = np.where(hidden, 0, 255).astype(np.uint8)
    return Image.fromarray(np.dstack([image, alpha]))


def _raw_mode(stored: Image.Image) -> str:
    """How the pixels lie in the file, as Pillow calls it; empty where it does not say."""
    tiles = getattr(stored, "tile", [])
    arguments = tiles[0][3] if tiles else ""
    raw = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return raw if isinstance(raw, str) else ""


def _read_as(stored: Any, raw: str) -> None:
    """Have the pixels read as if they lay in the file in another way."""
    tiles = []
    for codec, extents, offset, arguments in stored.tile:
        changed = (raw, *arguments[1:]) if isinstance(arguments, tuple) else raw
        tile = (codec, extents, offset, changed)
        tiles.append(type(stored.tile[0])(*tile) if hasattr(stored.tile[0], "_replace") else tile)
    stored.tile = tiles
