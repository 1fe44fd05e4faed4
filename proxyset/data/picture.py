"""Images as one picture: a sheet with a row per class, as PNG or in HTML."""

import base64
import html
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.PngImagePlugin import PngInfo

MAX_COLUMNS = 50
MADE_BY = {"Software": "proxyset"}
"""Text in every PNG, by which a picture of ours is told from a user's."""


def tile(pixels: Tensor, classes: int, across: bool = False) -> Tensor:
    """uint8 images ordered by class, N×C×H×W, to one picture H'×W'(×3) with white lines between.

    Each class is a row of at most 50 images, or a column if `across`.
    """
    rows = pixels.split(len(pixels) // classes)
    return sheet([row[:MAX_COLUMNS] for row in rows], across)


def sheet(rows: Sequence[Tensor], across: bool = False) -> Tensor:
    """Rows (columns if `across`) of uint8 images, each count×C×H×W, to one picture H'×W'(×3), white lines between."""
    channels, size = rows[0].shape[1:3]
    longest = max(map(len, rows))
    grid = torch.full((len(rows), longest, channels, size, size), 255, dtype=torch.uint8)
    for number, row in enumerate(rows):
        grid[number, : len(row)] = row
    grid = grid.transpose(0, 1) if across else grid
    down, wide = grid.shape[:2]
    picture = torch.full((down, size + 1, wide, size + 1, channels), 255, dtype=torch.uint8)
    picture[:, :size, :, :size] = grid.permute(0, 3, 1, 4, 2)
    return picture.view(down * (size + 1), wide * (size + 1), channels).squeeze(-1)


def as_image(picture: Tensor) -> "Image":
    """A uint8 picture, H×W or H×W×3, as Pillow has it."""
    from PIL import Image

    return Image.fromarray(picture.contiguous().numpy())


def made_by() -> "PngInfo":
    """The texts of a PNG of ours, as Pillow has them."""
    from PIL.PngImagePlugin import PngInfo

    facts = PngInfo()
    for name, text in MADE_BY.items():
        facts.add_text(name, text)
    return facts


def png(picture: Tensor) -> bytes:
    """A uint8 picture, H×W or H×W×3, as PNG."""
    buffer = io.BytesIO()
    as_image(picture).save(buffer, "PNG", pnginfo=made_by())
    return buffer.getvalue()


def as_html(words: str, picture: Tensor, least: int = 480) -> str:
    """A line of text and a picture under it, at least `least` pixels wide, for notebooks."""
    zoom = max(1, round(least / picture.shape[1]))
    image = base64.b64encode(png(picture)).decode()
    style = f"width:{picture.shape[1] * zoom}px;image-rendering:pixelated"
    return f'<div>{html.escape(words)}<br><img style="{style}" src="data:image/png;base64,{image}"></div>'
