"""The images of proxy sets for a page: class by class, and over the iterations of a condensation."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from proxyset.artefact.proxy_set import ProxySet
from proxyset.artefact.trace import read_rows
from proxyset.artefact.trace_images import MOST, read_images, trace_images_path
from proxyset.data.picture import png, sheet, tile
from proxyset.data.spec import to_pixels
from proxyset.report.parts import ClassImages, Gallery, Picture, Slider, embed

ACROSS = 10  # images in a row of a class's sheet
WIDEST = 640  # CSS pixels of a sheet
ENLARGED = 56  # CSS pixels of an image, about
MOST_PIXELS = 2_500_000  # bytes of pixels on one page, before compression
MOST_CLASSES = 400
FEW_CLASSES = 20  # that lie open where sets are compared


def gallery(proxies: Mapping[str, ProxySet]) -> Gallery:
    """The classes of sets that have the same ones, each with the images that every set stores for it.

    As many images of a class as a page has room for are shown, the first ones, which are the best where a method
    ranks them.
    """
    sets = list(proxies.items())
    spec = sets[0][1].spec
    classes = range(min(spec.classes, MOST_CLASSES))
    each = max(proxy.spec.channels * proxy.spec.size**2 for _, proxy in sets)
    room = max(1, MOST_PIXELS // (each * len(classes) * len(sets)))
    shown = []
    for number in classes:
        sheets = [_sheet(name, proxy, _of_class(proxy, number)[:room], len(sets) > 1) for name, proxy in sets]
        first = _of_class(sets[0][1], number)[:1]
        shown.append(ClassImages(spec.class_names[number], _picture(first, "", "", 1), sheets))
    notes = []
    if max(proxy.ipc for _, proxy in sets) > room:
        notes.append(f"The first {room} of each are shown.")
    if spec.classes > MOST_CLASSES:
        notes.append(f"The first {MOST_CLASSES} of {spec.classes} classes are shown.")
    return Gallery(shown, " ".join(notes), open=len(sets) > 1 and len(classes) <= FEW_CLASSES)


def _of_class(proxy: ProxySet, number: int) -> Tensor:
    """The stored images of one class as pixels."""
    return to_pixels(proxy.data.images[number * proxy.ipc : (number + 1) * proxy.ipc], proxy.spec)


def _sheet(name: str, proxy: ProxySet, pixels: Tensor, several: bool) -> Picture:
    count, tiles = len(pixels), proxy.data.formation
    what = f"{count} image{'s' * (count > 1)}" + (f" of {tiles}×{tiles} tiles" if tiles > 1 else "")
    return _picture(pixels, f"{name}: {what}" if several else what, f"{what} of {name}", ACROSS)


def _picture(pixels: Tensor, caption: str, alt: str, across: int) -> Picture:
    """Images side by side, in rows of `across`, each enlarged by a whole number."""
    return _shown(sheet(pixels.split(across)), pixels.shape[-1], caption, alt)


def _shown(picture: Tensor, size: int, caption: str, alt: str) -> Picture:
    picture = picture[:-1, :-1]  # lines between images, none around them
    wide = picture.shape[1]
    zoom = max(1, min(round(ENLARGED / size), WIDEST // wide))
    return Picture(embed(png(picture)), caption, alt, wide * zoom)


def slider(file: Path, proxy: ProxySet) -> list[Slider]:
    """The images that a trace kept, step by step; none where it kept none of this set."""
    seen = {row["step"]: row for row in read_rows(proxy.provenance.get("trace", []))}
    classes, frames = min(proxy.spec.classes, MOST), []
    for step, pixels in read_images(trace_images_path(file)).items():
        if step not in seen or pixels.shape[1:] != proxy.data.images.shape[1:] or len(pixels) % classes:
            continue
        row = seen[step]
        what = f"after {row['iteration']:g} iterations"
        picture = tile(pixels, classes, across=len(pixels) // classes < classes <= 2 * ACROSS)
        caption = f"{what}: {row['accuracy']:.1%} on held-out images"
        frames.append(_shown(picture, proxy.spec.size, caption, f"images {what}"))
    return [Slider("Iteration", frames)] if len(frames) > 1 else []
