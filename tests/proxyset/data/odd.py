"""Odd images that people have: what is in the file, and the pixels that it stands for."""

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from tests.proxyset.data.made import pixels

SIZE = 8
GREY, COLOUR = pixels(SIZE, SIZE), pixels(SIZE, SIZE, 3, seed=1)
DEEP = np.random.default_rng(2).integers(0, 65536, (SIZE, SIZE, 4), dtype=np.uint16)
TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda image: image,
    2: np.fliplr,
    3: lambda image: np.rot90(image, 2),
    4: np.flipud,
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: np.rot90(image, 2).swapaxes(0, 1),
    8: np.rot90,
}


def save(image: np.ndarray | Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def turned(orientation: int, image: np.ndarray = COLOUR, kind: str = "PNG") -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return save(image, kind, exif=exif)


def on(background: int, image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Pixels with alpha on a background, by the plain formula."""
    alpha = alpha.reshape(*alpha.shape, *[1] * (image.ndim - 2)).astype(int)
    return np.round((image * alpha + background * (255 - alpha)) / 255).astype(np.uint8)


def of_16_bits(values: np.ndarray) -> np.ndarray:
    return np.round(values / 257).astype(np.uint8)


def png_16(values: np.ndarray, colour_type: int, key: bytes = b"") -> bytes:
    """A 16-bit PNG, which Pillow cannot write in colour. values: H×W×channels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    parts = [(b"IHDR", header), (b"tRNS", key), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts if part != (b"tRNS", b""))


def tiff_16(values: np.ndarray, order: str, deflated: bool, white_is_zero: bool = False) -> bytes:
    """A 16-bit TIFF of H×W×1 or H×W×3 values. order: < or >."""
    height, width, channels = values.shape
    data = values.astype(f"{order}u2").tobytes()
    data = zlib.compress(data) if deflated else data
    photometric = 2 if channels == 3 else int(not white_is_zero)
    start = 8 + 2 + 9 * 12 + 4
    short, long = 3, 4
    tags = [
        (256, short, width),
        (257, short, height),
        (258, short, 16),
        (259, short, 8 if deflated else 1),
        (262, short, photometric),
        (273, long, start + 2 * channels),
        (277, short, channels),
        (278, short, height),
        (279, long, len(data)),
    ]
    file = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HIH", 42, 8, len(tags))
    for tag, kind, value in tags:
        if tag == 258 and channels == 3:
            file += struct.pack(f"{order}HHII", tag, short, channels, start)
        elif kind == short:
            file += struct.pack(f"{order}HHIHH", tag, short, 1, value, 0)
        else:
            file += struct.pack(f"{order}HHII", tag, long, 1, value)
    return file + struct.pack(f"{order}I", 0) + struct.pack(f"{order}{channels}H", *[16] * channels) + data


def palette_image() -> Image.Image:
    image = Image.fromarray((GREY % 4).astype(np.uint8)).convert("P")
    image.putpalette(PALETTE.flatten().tolist())
    image.frombytes((GREY % 4).astype(np.uint8).tobytes())
    return image


PALETTE = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 8, 7]], np.uint8)
LATER = pixels(SIZE, SIZE, seed=9) // 2


def frames(kind: str) -> bytes:
    """An animation whose first frame is GREY."""
    later = Image.fromarray(LATER)
    options = {"lossless": True} if kind == "WEBP" else {}
    return save(GREY, kind, save_all=True, append_images=[later, later], **options)


def cmyk_as_rgb(values: np.ndarray) -> np.ndarray:
    light = 255 - values[..., 3:].astype(int)
    return (light - np.round(values[..., :3] * light / 255)).astype(np.uint8)


ALPHA = pixels(SIZE, SIZE, seed=3)
CMYK = pixels(SIZE, SIZE, 4, seed=4)
BITS = GREY > 127
REAL = np.linspace(0, 1, SIZE * SIZE, dtype=np.float32).reshape(SIZE, SIZE)
KEY = np.equal(GREY, GREY[0, 0]).astype(np.uint8)

ODD: dict[str, tuple[bytes, np.ndarray]] = {
    "plain grey.png": (save(GREY, "PNG"), GREY),
    "plain colour.bmp": (save(COLOUR, "BMP"), COLOUR),
    "häßlich 図 name .png": (save(GREY, "PNG"), GREY),
    "jpeg in truth.png": (jpeg := save(GREY, "JPEG"), np.array(Image.open(io.BytesIO(jpeg)))),
    "16 grey.png": (png_16(DEEP[..., :1], 0), of_16_bits(DEEP[..., 0])),
    "16 grey with a key.png": (
        png_16(DEEP[..., :1], 0, DEEP[0, 0, :1].astype(">u2").tobytes()),
        on(255, of_16_bits(DEEP[..., 0]), np.where(DEEP[..., 0] == DEEP[0, 0, 0], 0, 255)),
    ),
    "16 grey and alpha.png": (
        png_16(DEEP[..., :2], 4),
        on(255, of_16_bits(DEEP[..., 0]), of_16_bits(DEEP[..., 1])),
    ),
    "16 colour.png": (png_16(DEEP[..., :3], 2), of_16_bits(DEEP[..., :3])),
    "16 colour and alpha.png": (png_16(DEEP, 6), on(255, of_16_bits(DEEP[..., :3]), of_16_bits(DEEP[..., 3]))),
    "16 grey.pgm": (b"P5 8 8 65535\n" + DEEP[..., 0].astype(">u2").tobytes(), of_16_bits(DEEP[..., 0])),
    "16 colour little.tif": (tiff_16(DEEP[..., :3], "<", False), of_16_bits(DEEP[..., :3])),
    "16 colour big.tif": (tiff_16(DEEP[..., :3], ">", False), of_16_bits(DEEP[..., :3])),
    "16 colour packed.tiff": (tiff_16(DEEP[..., :3], ">", True), of_16_bits(DEEP[..., :3])),
    "16 grey.tif": (tiff_16(DEEP[..., :1], "<", True), of_16_bits(DEEP[..., 0])),
    "16 grey white is 0.tif": (tiff_16(DEEP[..., :1], "<", False, True), of_16_bits(65535 - DEEP[..., 0])),
    "16 grey turned.tif": (turned(6, DEEP[..., 0], "TIFF"), np.rot90(of_16_bits(DEEP[..., 0]), -1)),
    "real.tif": (save(REAL, "TIFF"), np.round(REAL * 255).astype(np.uint8)),
    "rgba.png": (save(np.dstack([COLOUR, ALPHA]), "PNG"), on(255, COLOUR, ALPHA)),
    "rgba opaque.webp": (
        save(np.dstack([COLOUR, np.full_like(ALPHA, 255)]), "WEBP", lossless=True),
        COLOUR,
    ),
    "la.png": (save(np.dstack([GREY, ALPHA]), "PNG"), on(255, GREY, ALPHA)),
    "grey with a key.png": (save(GREY, "PNG", transparency=int(GREY[0, 0])), on(255, GREY, 255 * (1 - KEY))),
    "cmyk.tif": (save(Image.fromarray(CMYK, "CMYK"), "TIFF"), cmyk_as_rgb(CMYK)),
    "palette.png": (save(palette_image(), "PNG"), PALETTE[GREY % 4]),
    "palette with transparency.png": (
        save(palette_image(), "PNG", transparency=bytes([255, 0, 100, 255])),
        on(255, PALETTE[GREY % 4], np.array([255, 0, 100, 255])[GREY % 4]),
    ),
    "palette with transparency.gif": (
        save(palette_image(), "GIF", transparency=2),
        on(255, PALETTE[GREY % 4], np.where(GREY % 4 == 2, 0, 255)),
    ),
    "one bit.png": (save(Image.fromarray(BITS), "PNG"), (BITS * 255).astype(np.uint8)),
    "animated.gif": (frames("GIF"), GREY),
    "animated.webp": (frames("WEBP"), GREY),
    "animated.png": (frames("PNG"), GREY),
    **{f"exif {number}.png": (turned(number), turn(COLOUR)) for number, turn in TURNS.items()},
    **{f"exif {number}.tif": (turned(number, kind="TIFF"), turn(COLOUR)) for number, turn in TURNS.items()},
}
"""By name: the bytes of a file of 8×8 pixels, and the pixels that it becomes on white, H×W or H×W×3."""

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"

REFUSED: dict[str, tuple[bytes, str]] = {
    "eps in truth.png": (EPS, "no image of the formats PNG, JPEG"),
    "text.jpg": (b"not an image", "no image of the formats"),
    "truncated.png": (save(pixels(64, 64), "PNG")[:2000], "truncated"),
    "truncated.jpg": (save(pixels(64, 64), "JPEG")[:1500], "truncated"),
    "empty.png": (b"", "it is empty"),
    "32 bits.tif": (save(GREY.astype(np.int32), "TIFF"), "32 bits"),
    "real beyond 1.tif": (save(REAL * 2, "TIFF"), "must lie in 0..1"),
    "not a number.tif": (save(REAL * np.nan, "TIFF"), "must lie in 0..1"),
}
"""By name: the bytes of a file that is no image for us, and what is said of it."""
