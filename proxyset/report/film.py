"""How the images of a set come about: as a strip, and as an animation."""

import io
from pathlib import Path

import torch
from torch import Tensor

from proxyset.artefact.film import Frames
from proxyset.data.picture import as_image, made_by, sheet, tile
from proxyset.data.spec import DatasetSpec
from proxyset.files import write_atomic
from proxyset.names import figure_name
from proxyset.report.figures import caption_ticks, lies_across, one_sheet, write_figure

MOST_ROWS = 20  # classes in a strip
SECONDS_PER_FRAME, SECONDS_AT_THE_END = 0.6, 3.0
WIDE = 480  # pixels that an animation has at least


def save_strip(frames: Frames, spec: DatasetSpec, title: str, path: Path) -> Path:
    """Draw the first image of every class, at most 20, after the steps that were kept; returns the path.

    Args:
        title: names of other people in it through `figure_name`.
    """
    per_class = {step: pixels.unflatten(0, (spec.classes, -1)) for step, pixels in frames.pixels.items()}
    rows = [_row(per_class, label) for label in range(min(spec.classes, MOST_ROWS))]
    figure, axes = one_sheet(sheet(rows), spec.size)
    iterations = [f"{step / frames.per_iteration:g}" for step in frames.pixels]
    caption_ticks(
        axes, spec.size, columns=iterations, rows=[figure_name(name) for name in spec.class_names[:MOST_ROWS]]
    )
    axes.set_title(title, loc="left")
    axes.set_xlabel("iterations")
    return write_figure(figure, path)


def _row(per_class: dict[int, Tensor], label: int) -> Tensor:
    return torch.stack([pixels[label, 0] for pixels in per_class.values()])


def save_animation(frames: Frames, spec: DatasetSpec, path: Path) -> Path:
    """Write an animated PNG of all images, a picture for each step that was kept; returns the path."""
    from PIL import Image

    across = lies_across(len(next(iter(frames.pixels.values()))) // spec.classes, spec.classes)
    sheets = [as_image(tile(pixels, spec.classes, across)) for pixels in frames.pixels.values()]
    zoom = max(1, -(-WIDE // sheets[0].width))
    first, *others = [each.resize((each.width * zoom, each.height * zoom), Image.Resampling.NEAREST) for each in sheets]
    each = [1000 * SECONDS_PER_FRAME] * len(others) + [1000 * SECONDS_AT_THE_END]
    buffer = io.BytesIO()
    first.save(buffer, "PNG", save_all=True, append_images=others, duration=each, loop=0, pnginfo=made_by())
    write_atomic(path, buffer.getvalue())
    return path
