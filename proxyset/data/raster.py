"""One image, of a file, bytes or Pillow, to 8-bit pixels of the asked form: the only place where images are opened."""

import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from proxyset.data.choice import Background
from proxyset.data.deep import is_deep, to_8_bits
from proxyset.data.form import SQUARED, Decoding, centre_square, fitted
from proxyset.data.unreadable import Unreadable
from proxyset.errors import one_line

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")  # no other: Pillow would start Ghostscript for EPS
MAX_PIXELS = 50_000_000
Source = Path | bytes | Image.Image

_ORIENTATION = 0x0112  # EXIF tag: how the camera was held
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Raster:
    """Pixels H×W (grey) or H×W×3, uint8, and what was done to get them, in words that follow a count."""

    pixels: np.ndarray
    done: tuple[str, ...]


def read_image(source: Source, form: Decoding) -> Raster:
    """Decode one image: first frame, 8 bits, no alpha, upright, then grey or colour, square and of the size.

    Raises:
        Unreadable: not a regular file, no image of the known formats, damaged, too large, or of values without a scale.
    """
    try:
        image, done = _decode(source, form)
        if form.channels and image.mode != ("L" if form.channels == 1 else "RGB"):
            done.append("made grey" if form.channels == 1 else "made colour")
            image = image.convert("L" if form.channels == 1 else "RGB")
        if form.size is not None and image.size != (form.size, form.size):
            if image.width != image.height:
                done.append(SQUARED[form.resize])
            done.append(f"resized to {form.size}×{form.size}")
            image = _to_size(image, form.size, form)
        return Raster(np.array(image), tuple(done))
    except (Unreadable, MemoryError):
        raise
    except UnidentifiedImageError:
        raise Unreadable(f"it is no image of the formats {', '.join(FORMATS)}") from None
    except OSError as error:
        raise Unreadable(error.strerror or one_line(error)) from None
    except Exception as error:  # on damaged files Pillow's readers raise nearly anything
        raise Unreadable(one_line(error) or type(error).__name__) from None


def _decode(source: Source, form: Decoding) -> tuple[Image.Image, list[str]]:
    """The image in 8 bits, L or RGB, upright."""
    with _opened(source) as (stored, reopen):
        width, height = stored.size
        if width * height > MAX_PIXELS:
            raise Unreadable(f"its {width}×{height} pixels are more than {MAX_PIXELS // 10**6} million")
        done = []
        turn = stored.tag_v2.get(_ORIENTATION, 1) if stored.format == "TIFF" else 1  # Pillow turns these itself
        if turn in _TURNS:
            done.append("turned by EXIF")
        if is_deep(stored):
            image, what = to_8_bits(stored, reopen)
            done.append(what)
        else:
            stored.load()
            image = stored
        if image.mode == "CMYK":
            done.append("in CMYK")
        image, through = _flat(image, form.background)
        if through:
            done.append(f"with transparency on {form.background}")
        turn = _orientation(stored)
        if turn in _TURNS:
            done.append("turned by EXIF")
            image = image.transpose(_TURNS[turn])
        if _has_more_frames(stored):
            done.append("of several frames, the first of which is used")
        return image, done


@contextmanager
def _opened(source: Source) -> Iterator[tuple[Any, Callable[[], Image.Image]]]:
    """An image that is not decoded yet, and what opens it once more."""
    if isinstance(source, Image.Image):
        source.load()
        yield source, lambda: source
        return
    with ExitStack() as stack:

        def reopen() -> Image.Image:
            return stack.enter_context(Image.open(stack.enter_context(_stream(source)), formats=FORMATS))

        yield reopen(), reopen


def _stream(source: Path | bytes) -> BinaryIO:
    stream = io.BytesIO(source) if isinstance(source, bytes) else open_regular(source)
    if not stream.read(1):
        stream.close()
        raise Unreadable("it is empty")
    stream.seek(0)
    return stream


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file (or a link to one) to read; a pipe or a device would keep its reader waiting.

    Raises:
        Unreadable: it is something else.
        OSError: it cannot be opened.
    """
    number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise Unreadable("it is not a regular file")
    return os.fdopen(number, "rb")


def _flat(image: Image.Image, background: Background) -> tuple[Image.Image, bool]:
    """L or RGB with transparent pixels on the background, and whether there were any."""
    grey = image.mode in ("1", "L", "LA", "La")
    plain = "L" if grey else "RGB"
    if image.mode not in ("LA", "La", "PA", "RGBA", "RGBa") and "transparency" not in image.info:
        return image.convert(plain), False
    image = image.convert("LA" if grey else "RGBA")
    alpha = image.getchannel("A")
    solid = image.convert(plain)
    if alpha.getextrema()[0] == 255:
        return solid, False
    base = Image.new(plain, image.size, background)
    base.paste(solid, mask=alpha)
    return base, True


def _to_size(image: Image.Image, size: int, form: Decoding) -> Image.Image:
    width, height = image.size
    if form.resize == "stretch" or width == height:
        return image.resize((size, size), Image.Resampling.BILINEAR)
    if form.resize == "crop":
        box = centre_square(width, height)
        return image.crop(box).resize((size, size), Image.Resampling.BILINEAR)
    across, down = fitted(width, height, size)  # first smaller, then padded: a strip of pixels has a huge square
    base = Image.new(image.mode, (size, size), form.background)
    base.paste(image.resize((across, down), Image.Resampling.BILINEAR), ((size - across) // 2, (size - down) // 2))
    return base


def _orientation(stored: Image.Image) -> int:
    try:
        return int(stored.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged EXIF says nothing; the image itself may be whole
        return 1


def _has_more_frames(stored: Image.Image) -> bool:
    try:
        return bool(getattr(stored, "is_animated", False))
    except Exception:  # a damaged second frame
        return True
