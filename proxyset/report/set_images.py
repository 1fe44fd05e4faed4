"""The images of proxy sets for a page: class by class, and over the iterations of a condensation."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from proxyset.artefact.film import Frames, read_film
from proxyset.artefact.outputs import film_path
from proxyset.artefact.proxy_set import ProxySet
from proxyset.artefact.trace import read_rows
from proxyset.data.picture import png, sheet, tile
from proxyset.data.spec import to_pixels
from proxyset.errors import InputError
from proxyset.report.parts import ClassImages, Gallery, Picture, Slider, embed

ACROSS = 10  # images in a row of a class's sheet
WIDEST = 640  # CSS pixels of a sheet
ENLARGED = 56  # CSS pixels of an image, about
MOST_PIXELS = 2_500_000  # bytes of pixels on one page, before compression
MOST_CLASSES = 400
MOST_IN_FRAME, BEST_IN_FRAME = 100, 5  # images in a frame of the slider, and of one class
ROUNDED = 2  # of 255: how far a set that is kept in fewer bytes may lie from the images as they were learned
FEW_CLASSES = 20  # that lie open where sets are compared


def gallery(proxies: Mapping[str, ProxySet]) -> Gallery:
    """The classes of sets that have the same ones, each with the images that every set stores for it.

    As many images of a class as a page has room for are shown, the first ones, which are the best where a method
    ranks them.
    """
    sets = list(proxies.items())
    spec = sets[0][1].spec
    each = max(proxy.spec.channels * proxy.spec.size**2 for _, proxy in sets)
    most = min(MOST_CLASSES, max(1, MOST_PIXELS // (each * (len(sets) + 1))))  # an image to know each by, and a sheet
    classes = range(min(spec.classes, most))
    room = max(1, MOST_PIXELS // (each * len(classes) * len(sets)))
    shown = []
    for number in classes:
        sheets = [_sheet(name, proxy, _of_class(proxy, number)[:room], len(sets) > 1) for name, proxy in sets]
        first = _of_class(sets[0][1], number)[:1]
        shown.append(ClassImages(spec.class_names[number], _picture(first, "", "", 1), sheets))
    notes = []
    if max(proxy.ipc for _, proxy in sets) > room:
        notes.append(f"The first {room} of each are shown.")
    if spec.classes > most:
        notes.append(f"The first {most} of {spec.classes} classes are shown.")
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
    """The first images of each class while the set was learned; none where no film of this set was kept."""
    frames = _film_of(file, proxy)
    if frames is None:
        return []
    seen = {row["step"]: row for row in read_rows(proxy.provenance.get("trace", []))}
    classes = min(proxy.spec.classes, MOST_IN_FRAME)
    each = max(1, min(BEST_IN_FRAME, proxy.ipc, MOST_IN_FRAME // classes))
    shown = []
    for step, pixels in frames.pixels.items():
        what = f"after {step / frames.per_iteration:g} iterations"
        some = pixels.unflatten(0, (proxy.spec.classes, proxy.ipc))[:classes, :each].flatten(0, 1)
        picture = tile(some, classes, across=each < classes <= 2 * ACROSS)
        tested = f": {seen[step]['accuracy']:.1%} on held-out images" if step in seen else ""
        shown.append(_shown(picture, proxy.spec.size, what + tested, f"images {what}"))
    return [Slider("Iteration", shown)] if len(shown) > 1 else []


def _film_of(file: Path, proxy: ProxySet) -> Frames | None:
    """The film beside a set, if it ends with the set's own images: it may be of another that lay there before."""
    try:
        frames = read_film(film_path(file))
    except InputError:
        return None
    last, own = [*frames.pixels.values()][-1], to_pixels(proxy.data.images, proxy.spec)
    same = last.shape == own.shape and (last.int() - own.int()).abs().max() <= ROUNDED
    return frames if same else None
