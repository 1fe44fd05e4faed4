"""Pictures."""

import io
from pathlib import Path

import torch
from torch import Tensor

from proxyset.checkpoint import write_atomic
from proxyset.data import to_pixels
from proxyset.proxy import ProxySet

MAX_COLUMNS = 50
MAX_ACROSS = 20  # classes side by side
MAX_UPRIGHT = 6  # letters of a class name that fit over one image
PIXELS_PER_IMAGE = 64
DPI = 100


def save_preview(proxy: ProxySet, path: Path) -> None:
    """Write a PNG of the set: a row per class with its name, or a column per class where that is the wider shape."""
    from matplotlib.figure import Figure

    spec = proxy.spec
    across = proxy.ipc < spec.classes <= MAX_ACROSS
    tiles = tile(to_pixels(proxy.data.images, spec), spec.classes, across)
    height, width = tiles.shape[:2]
    step = spec.size + 1
    scale = max(1, round(PIXELS_PER_IMAGE / step)) / DPI
    figure = Figure(figsize=(width * scale, height * scale), dpi=DPI)
    axes = figure.add_axes((0, 0, 1, 1))  # the grid fills the figure, pixel by pixel; labels extend it when saved
    axes.imshow(tiles.numpy(), cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto")
    centres = [number * step + step / 2 - 1 for number in range(spec.classes)]
    slanted = max(map(len, spec.class_names)) > MAX_UPRIGHT
    if across:
        axes.set_xticks(centres, spec.class_names)
        if slanted:
            for text in axes.get_xticklabels():
                text.set(rotation=40, ha="right", rotation_mode="anchor")
        axes.set_yticks([])
    else:
        axes.set_yticks(centres, spec.class_names)
        axes.set_xticks([])
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_title(f"{spec.name} · {proxy.provenance.get('method', 'proxy set')} · {proxy.ipc} per class", loc="left")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight", pad_inches=0.1)
    write_atomic(path, buffer.getvalue())


def tile(pixels: Tensor, classes: int, across: bool = False) -> Tensor:
    """uint8 images ordered by class, N×C×H×W, to one picture H'×W'(×3) with white lines between.

    Each class is a row of at most 50 images, or a column if `across`.
    """
    count, channels, size, _ = pixels.shape
    grid = pixels.view(classes, count // classes, channels, size, size)[:, :MAX_COLUMNS]
    grid = grid.transpose(0, 1) if across else grid
    rows, columns = grid.shape[:2]
    picture = torch.full((rows, size + 1, columns, size + 1, channels), 255, dtype=torch.uint8)
    picture[:, :size, :, :size] = grid.permute(0, 3, 1, 4, 2)
    return picture.view(rows * (size + 1), columns * (size + 1), channels).squeeze(-1)
