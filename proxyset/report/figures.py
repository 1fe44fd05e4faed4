"""Pictures of proxy sets."""

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from proxyset.artefact.proxy_set import ProxySet
from proxyset.data.picture import MADE_BY, tile
from proxyset.data.spec import to_pixels
from proxyset.files import write_atomic
from proxyset.names import figure_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
    names = [figure_name(name) for name in spec.class_names]
    slanted = max(map(len, names)) > MAX_UPRIGHT
    if across:
        axes.set_xticks(centres, names)
        if slanted:
            for text in axes.get_xticklabels():
                text.set(rotation=40, ha="right", rotation_mode="anchor")
        axes.set_yticks([])
    else:
        axes.set_yticks(centres, names)
        axes.set_xticks([])
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    soft = " · soft targets" if proxy.data.targets is not None else ""
    title = " · ".join(figure_name(words) for words in (spec.name, str(proxy.provenance.get("method", "proxy set"))))
    axes.set_title(f"{title} · {proxy.ipc} per class{soft}", loc="left")
    write_figure(figure, path)


def write_figure(figure: "Figure", path: Path) -> Path:
    """Write a figure as PNG, with what extends beyond its edges; returns the path."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # a box is drawn for a letter without one
        figure.savefig(buffer, format="png", bbox_inches="tight", pad_inches=0.1, metadata=MADE_BY)
    write_atomic(path, buffer.getvalue())
    return path
