"""Pictures."""

import io
from pathlib import Path

import torch
from torch import Tensor

from proxyset.checkpoint import write_atomic
from proxyset.data import to_pixels
from proxyset.proxy import ProxySet

MAX_COLUMNS = 50
PIXELS_PER_IMAGE = 64


def save_preview(proxy: ProxySet, path: Path) -> None:
    """Write a PNG of the set: a row per class with its name, a column per image."""
    from matplotlib.figure import Figure

    tiles = tile(to_pixels(proxy.data.images, proxy.spec), proxy.spec.classes)
    height, width = tiles.shape[:2]
    step = proxy.spec.size + 1
    scale = max(1, round(PIXELS_PER_IMAGE / step))
    labels = max(len(name) for name in proxy.spec.class_names) * 8 + 30  # room in pixels, left of the grid
    figure = Figure(figsize=((width * scale + labels) / 100, (height * scale + 40) / 100), dpi=100)
    axes = figure.add_axes((labels / (width * scale + labels), 0.0, 1 - labels / (width * scale + labels), height * scale / (height * scale + 40)))
    axes.imshow(tiles.numpy(), cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto")
    axes.set_yticks([row * step + step / 2 for row in range(proxy.spec.classes)], proxy.spec.class_names)
    axes.set_xticks([])
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    method, ipc = proxy.provenance.get("method", "proxy set"), proxy.ipc
    figure.text(0.01, 1 - 20 / (height * scale + 40), f"{proxy.spec.name} · {method} · {ipc} per class", va="center")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    write_atomic(path, buffer.getvalue())


def tile(pixels: Tensor, classes: int) -> Tensor:
    """uint8 images ordered by class, N×C×H×W, to one picture H'×W'(×3) with a class per row and white lines between."""
    count, channels, size, _ = pixels.shape
    grid = pixels.view(classes, count // classes, channels, size, size)[:, :MAX_COLUMNS]
    rows, columns = grid.shape[:2]
    picture = torch.full((rows, size + 1, columns, size + 1, channels), 255, dtype=torch.uint8)
    picture[:, :size, :, :size] = grid.permute(0, 3, 1, 4, 2)
    return picture.view(rows * (size + 1), columns * (size + 1), channels).squeeze(-1)
