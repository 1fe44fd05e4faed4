"""Pictures of proxy sets."""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from proxyset.artefact.proxy_set import ProxySet
from proxyset.data.images import ImageSet
from proxyset.data.picture import MADE_BY, MAX_COLUMNS, tile
from proxyset.data.spec import DatasetSpec, to_pixels
from proxyset.files import write_atomic
from proxyset.names import figure_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_ACROSS = 20  # classes side by side
MAX_UPRIGHT = 6  # letters of a class name that fit over one image
PIXELS_PER_IMAGE = 64
MOST_PIXELS = 30_000  # of a side of a picture: more is refused by what draws it, or by what shows it
GAP = 0.4  # inches between what is stored and what is trained on
DPI = 100


def save_preview(proxy: ProxySet, path: Path) -> None:
    """Write a PNG of the set: a row per class with its name, or a column per class where that is the wider shape.

    Of a formation it shows what is stored, and each tile as networks see it.
    """
    spec, data = proxy.spec, proxy.data
    across = lies_across(proxy.ipc, spec.classes)
    panels = {"stored": data} | ({"as trained on": _first_tiles(data, spec.classes)} if data.formation > 1 else {})
    sheets = [tile(to_pixels(shown.images, spec), spec.classes, across) for shown in panels.values()]
    figure, places = _grid([(sheet.shape[0], sheet.shape[1]) for sheet in sheets], spec.size, across)
    for axes, sheet, caption in zip(places, sheets, panels, strict=True):
        _show(axes, sheet)
        axes.set_xlabel(caption if len(panels) > 1 else "")
    _name_classes(places[-1 if across else 0], spec, across)
    tiles = f" · {data.formation}×{data.formation} tiles" if data.formation > 1 else ""
    soft = " · soft targets" if data.targets is not None else ""
    places[0].set_title(f"{title_of(proxy)}{tiles}{soft}", loc="left")
    write_figure(figure, path)


def title_of(proxy: ProxySet) -> str:
    """What a picture of a set is called: "mnist · dsa · 10 per class"."""
    names = proxy.spec.name, str(proxy.provenance.get("method", "proxy set"))
    return f"{' · '.join(map(figure_name, names))} · {proxy.ipc} per class"


def lies_across(ipc: int, classes: int) -> bool:
    """Whether classes are columns of a sheet, because that is the wider shape."""
    return ipc < classes <= MAX_ACROSS


def one_sheet(sheet: Tensor, size: int) -> tuple["Figure", "Axes"]:
    """A figure of one sheet (see `proxyset.data.picture.sheet`), enlarged as previews are.

    Args:
        size: of one image in it.
    """
    figure, (axes,) = _grid([(sheet.shape[0], sheet.shape[1])], size, down=False)
    _show(axes, sheet)
    return figure, axes


def _show(axes: "Axes", sheet: Tensor) -> None:
    """A sheet, without a frame or marks."""
    axes.imshow(sheet.numpy(), cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto")
    axes.set(xticks=[], yticks=[])
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _first_tiles(data: ImageSet, classes: int) -> ImageSet:
    """Of each class as many tiles at full size as a picture has columns; there may be very many in all."""
    stored = -(-MAX_COLUMNS // data.formation**2)
    return data[torch.arange(len(data)).view(classes, -1)[:, :stored].flatten()].unfold()


def _grid(shapes: Sequence[tuple[int, int]], size: int, down: bool) -> tuple["Figure", list["Axes"]]:
    """A figure with places for pictures of these shapes (H×W) under or beside each other, pixel by pixel.

    Labels extend it when it is saved.

    Args:
        size: of one image in the pictures, which decides how far they are enlarged.
    """
    from matplotlib.figure import Figure

    rows, columns = zip(*shapes, strict=True)
    longest = max(sum(rows), *columns) if down else max(*rows, sum(columns))
    scale = min(max(1, round(PIXELS_PER_IMAGE / (size + 1))), MOST_PIXELS / longest) / DPI
    heights, widths = ([side * scale for side in sides] for sides in zip(*shapes, strict=True))
    gaps = GAP * (len(shapes) - 1)
    height = sum(heights) + gaps if down else max(heights)
    width = max(widths) if down else sum(widths) + gaps
    figure, places, before = Figure(figsize=(width, height), dpi=DPI), [], 0.0
    for tall, wide in zip(heights, widths, strict=True):
        left, bottom = (0.0, height - before - tall) if down else (before, height - tall)
        places.append(figure.add_axes((left / width, bottom / height, wide / width, tall / height)))
        before += (tall if down else wide) + GAP
    return figure, places


def _name_classes(axes: "Axes", spec: DatasetSpec, across: bool) -> None:
    """The names of the classes under their columns, or beside their rows."""
    names = [figure_name(name) for name in spec.class_names]
    if not across:
        caption_ticks(axes, spec.size, rows=names)
        return
    caption_ticks(axes, spec.size, columns=names)
    if max(map(len, names)) > MAX_UPRIGHT:
        for text in axes.get_xticklabels():
            text.set(rotation=40, ha="right", rotation_mode="anchor")


def caption_ticks(axes: "Axes", size: int, *, columns: Sequence[str] = (), rows: Sequence[str] = ()) -> None:
    """Words under the columns and beside the rows of a sheet of images of this size."""
    for place, words in ((axes.set_xticks, columns), (axes.set_yticks, rows)):
        if words:
            place([number * (size + 1) + (size + 1) / 2 - 1 for number in range(len(words))], words)


def write_figure(figure: "Figure", path: Path) -> Path:
    """Write a figure as PNG, with what extends beyond its edges; returns the path."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # a box is drawn for a letter without one
        figure.savefig(buffer, format="png", bbox_inches="tight", pad_inches=0.1, metadata=MADE_BY)
    write_atomic(path, buffer.getvalue())
    return path
