"""Many images to one tensor: what is held at a time, and who hears how far it is."""

import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from proxyset.data import decode as module
from proxyset.data.decode import decode
from proxyset.data.form import Decoding
from proxyset.data.load import load
from proxyset.data.raster import Raster, Source, read_image
from proxyset.errors import InputError
from tests.proxyset.data.made import pixels, png
from tests.proxyset.data.odd import tiff_16
from tests.proxyset.data.test_folder import write_folder


def test_images_are_asked_for_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more originals are held than some per thread, however many there are."""
    lock, held, most = threading.Lock(), 0, 0

    def sources() -> Iterator[tuple[str, Source]]:
        nonlocal held, most
        for number in range(1000):
            with lock:
                held += 1
                most = max(most, held)
            yield str(number), png(np.full((8, 8), number % 256, np.uint8))

    def read(source: Source, form: Decoding) -> Raster:
        nonlocal held
        with lock:
            held -= 1
        return read_image(source, form)

    monkeypatch.setattr(module, "read_image", read)
    decoded = decode(sources(), 1000, Decoding())
    assert most <= module.WORKERS * module.PER_WORKER
    assert decoded.images[:, 0, 0, 0].tolist() == [number % 256 for number in range(1000)]
    assert decoded.kept == list(range(1000))


def test_nothing_is_read_after_an_image_that_stops_the_work() -> None:
    asked = []

    def sources() -> Iterator[tuple[str, Source]]:
        for number in range(1000):
            asked.append(number)
            yield f"number {number}", b"" if number == 3 else png(pixels(8, 8))

    with pytest.raises(InputError, match="cannot read image number 3: it is empty; `on_error='skip'`"):
        decode(sources(), 1000, Decoding())
    assert len(asked) <= module.WORKERS * module.PER_WORKER


def test_grey_images_become_colour_at_the_first_colour_image() -> None:
    grey, colour = pixels(3, 8, 8), pixels(8, 8, 3, seed=1)
    files = [png(grey[0]), png(grey[1]), png(colour), png(grey[2])]
    decoded = decode(((str(number), file) for number, file in enumerate(files)), 4, Decoding())
    assert decoded.done == {"made colour": 3}
    for row, image in ((0, grey[0]), (1, grey[1]), (3, grey[2])):
        assert torch.equal(decoded.images[row], torch.from_numpy(image).expand(3, 8, 8))
    assert torch.equal(decoded.images[2], torch.from_numpy(colour).permute(2, 0, 1))


def test_large_photos_are_refused_at_the_first_where_no_size_is_given() -> None:
    def sources() -> Iterator[tuple[str, Source]]:
        yield "first.jpg", png(pixels(300, 300))
        yield "second.jpg", png(pixels(300, 300))

    with pytest.raises(InputError, match=r"first\.jpg is 300×300, outside 8 to 256 pixels; `size=N`"):
        decode(sources(), 2, Decoding())


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[float, int]] = []

    def hear(done: float, total: int, loss: float | None = None) -> None:
        told.append((done, total))

    write_folder(tmp_path, ("ant", "bee"), 100)
    load(tmp_path, progress=hear)
    assert told[-1] == (200, 200)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_a_line_is_shown_only_where_it_takes_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_folder(tmp_path / "mine", ("ant", "bee"), 5)
    load(tmp_path / "mine", progress=True)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(module, "PATIENCE", -1)
    load(tmp_path / "mine", progress=True)
    assert "reading mine  10/10" in capsys.readouterr().err


def test_pillow_prints_nothing(recwarn: Any, caplog: pytest.LogCaptureFixture) -> None:
    image = Image.fromarray(pixels(8, 8)).convert("P")
    image.info["transparency"] = b"\xff"
    sources: list[tuple[str, Source]] = [("a", image), ("b", png(pixels(8, 8)))]
    decode(sources, 2, Decoding())
    assert not recwarn.list
    image_16 = tiff_16(pixels(8, 8, 1), "<", False)
    one, many = (struct.pack("<HHIH", 277, 3, 1, samples) for samples in (1, 25000))  # tag SamplesPerPixel
    damaged = image_16.replace(one, many)
    with pytest.raises(InputError, match="cannot read image c"):
        decode([("c", damaged)], 1, Decoding())
    assert not caplog.records
