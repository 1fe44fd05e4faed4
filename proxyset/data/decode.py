"""Many images to one tensor, in bounded memory."""

import logging
import os
import time
import warnings
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from proxyset.data.choice import SIZES
from proxyset.data.form import Decoding
from proxyset.data.raster import Raster, Source, read_image
from proxyset.data.unreadable import Unreadable
from proxyset.errors import InputError
from proxyset.progress import ProgressLine, shown

WORKERS = 8  # at most: each may hold an image of as many pixels as are allowed
PER_WORKER = 8  # images that are asked for at once
PATIENCE = 1.0  # seconds before a line shows how far it is


@dataclass(frozen=True)
class Decoded:
    """
    Attributes:
        images: uint8 N×C×S×S.
        kept: for each image its position among the sources.
        done: how many images something was done to, by what it was.
        left_out: the name of each image that could not be read, and why.
    """

    images: Tensor
    kept: list[int]
    done: Counter[str]
    left_out: list[str]


def decode(sources: Iterable[tuple[str, Source]], count: int, form: Decoding) -> Decoded:
    """Named images to uint8 pixels N×C×S×S, in threads (Pillow releases the lock).

    A few images are asked for at a time, and each is brought to its size before the next are: no more is held than
    the result and some images per thread. Without `form.size`, all images must be of one square size. Without
    `form.channels`, any colour image makes the set a colour set.

    Args:
        count: how many sources there are.

    Raises:
        InputError: an image that cannot be read or does not fit; the message names it.
    """
    pixels = _Pixels(count, form)
    kept: list[int] = []
    left_out: list[str] = []
    done: Counter[str] = Counter()
    with closing(_results(sources, count, form)) as results:
        for position, (name, result) in enumerate(results):
            if isinstance(result, Unreadable):
                if form.on_error != "skip":
                    advice = "; `on_error='skip'` leaves such images out" if form.on_error == "stop" else ""
                    raise InputError(f"cannot read image {name}: {result}{advice}")
                left_out.append(f"{name}: {result}")
                continue
            pixels.add(name, result.pixels)
            done.update(result.done)
            kept.append(position)
    images = pixels.all()
    if pixels.grey and len(images) and images.shape[1] == 3:
        done["made colour"] += pixels.grey
    return Decoded(images, kept, done, left_out)


def _results(
    sources: Iterable[tuple[str, Source]], count: int, form: Decoding
) -> Generator[tuple[str, Raster | Unreadable], None, None]:
    """What became of each source, in order."""

    def read(source: Source) -> Raster | Unreadable:
        try:
            return read_image(source, form)
        except Unreadable as error:
            return error

    workers = min(WORKERS, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    sources, read_so_far = iter(sources), 0
    with _progress(form) as show, _quiet(), ThreadPoolExecutor(workers) as pool:
        while batch := list(islice(sources, workers * PER_WORKER)):
            names = [name for name, _ in batch]
            yield from zip(names, pool.map(read, [source for _, source in batch]), strict=True)
            read_so_far += len(batch)
            show(read_so_far, count)


@contextmanager
def _progress(form: Decoding) -> Iterator["_Patient"]:
    show = _Patient(form)
    try:
        yield show
    finally:
        show.close()


class _Patient:
    """Progress that a line shows only where the work takes a while; a function of the caller's is always called."""

    def __init__(self, form: Decoding) -> None:
        self.show = shown(form.progress, form.title)
        self.line = self.show if isinstance(self.show, ProgressLine) else None
        self.since = time.monotonic()
        self.begun = False

    def __call__(self, done: int, total: int) -> None:
        self.begun = self.begun or self.line is None or time.monotonic() - self.since > PATIENCE
        if self.begun:
            self.show(done, total)

    def close(self) -> None:
        if self.line is not None:
            self.line.close()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what Pillow warns of and logs: sizes that we limit ourselves, damaged EXIF, unusual palettes."""
    log = logging.getLogger("PIL")
    passed_on, nowhere = log.propagate, logging.NullHandler()
    log.propagate = False
    log.addHandler(nowhere)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")
            yield
    finally:
        log.propagate = passed_on
        log.removeHandler(nowhere)


class _Pixels:
    """Rows of one uint8 tensor that becomes colour at the first colour image."""

    def __init__(self, count: int, form: Decoding) -> None:
        self.count, self.size, self.fixed = count, form.size, form.size is not None
        self.images: Tensor | None = None
        self.channels = form.channels or 1
        self.rows = self.grey = 0

    def add(self, name: str, pixels: np.ndarray) -> None:
        """
        Raises:
            InputError: it is not square, of another size than the first, or of a size that no method takes.
        """
        height, width = pixels.shape[:2]
        if self.size is None and height == width:
            check_size(height, f"image {name} is")
            self.size = height
        if (height, width) != (self.size, self.size):
            like = f"{self.size}×{self.size} like the first" if height == width else "square"
            raise InputError(
                f"image {name} is {width}×{height}, not {like}; `size=N` brings all to N×N, `resize` says how"
            )
        if pixels.ndim == 3:
            self.channels = 3
        else:
            self.grey += 1
        self._make_room()
        assert self.images is not None
        image = torch.from_numpy(pixels)
        self.images[self.rows] = image.permute(2, 0, 1) if image.ndim == 3 else image
        self.rows += 1

    def _make_room(self) -> None:
        if self.images is not None and self.images.shape[1] == self.channels:
            return
        assert self.size is not None
        shape = (self.count, self.channels, self.size, self.size)
        try:
            wider = torch.empty(shape, dtype=torch.uint8)
        except (RuntimeError, MemoryError):
            raise InputError(f"{self.count} images of {self.size}×{self.size} pixels do not fit into memory") from None
        if self.images is not None:
            wider[: self.rows] = self.images[: self.rows]
        self.images = wider

    def all(self) -> Tensor:
        """Those that were added."""
        if self.images is None:
            return torch.empty(0, self.channels, self.size or SIZES[0], self.size or SIZES[0], dtype=torch.uint8)
        return self.images[: self.rows]


def check_size(side: int, what: str) -> None:
    """
    Raises:
        InputError: images that are so wide are outside what networks take.
    """
    if side not in SIZES:
        raise InputError(f"{what} {side}×{side}, outside {SIZES[0]} to {SIZES[-1]} pixels; `size=N` brings all to N×N")
