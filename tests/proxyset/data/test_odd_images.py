"""One image of each odd kind that people have: what it becomes, pixel by pixel, or the line that refuses it."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from proxyset.artefact.build import build
from proxyset.data.load import load
from proxyset.data.raster import MAX_PIXELS
from proxyset.data.spec import Dataset
from proxyset.errors import InputError
from tests.proxyset.data.made import pixels, png
from tests.proxyset.data.odd import COLOUR, GREY, ODD, REFUSED, SIZE, on, png_16, save, turned


def as_colour(image: np.ndarray) -> np.ndarray:
    """C×H×W."""
    return np.broadcast_to(image if image.ndim == 3 else image[..., None], (*image.shape[:2], 3)).transpose(2, 0, 1)


def write(root: Path, *files: tuple[str, bytes]) -> Path:
    """Into class a; class b has one plain image, so that there are two."""
    for name, content in (*(("a/" + name, content) for name, content in files), ("b/0.png", png(GREY))):
        path = root / "train" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("odd")
    write(folder, *((name, content) for name, (content, _) in ODD.items()))
    os.symlink(folder / "train" / "a" / "plain grey.png", folder / "train" / "a" / "zz link.png")
    return load(folder)


@pytest.mark.parametrize("name", ODD)
def test_an_odd_image_becomes_the_pixels_that_it_stands_for(name: str, odd: Dataset) -> None:
    row = sorted(ODD).index(name)
    np.testing.assert_array_equal(odd.train.images[row].numpy(), as_colour(ODD[name][1]))


def test_a_folder_of_odd_images_says_what_was_done_and_can_be_condensed(odd: Dataset) -> None:
    assert len(odd.train) == len(ODD) + 2
    assert np.array_equal(odd.train.images[len(ODD)].numpy(), as_colour(GREY))  # the link
    assert set(odd.notes) >= {"12 of 16 bits", "15 turned by EXIF", "1 in CMYK", "1 of real numbers"}
    assert "8 with transparency on white" in odd.notes
    assert "3 of several frames, the first of which is used" in odd.notes
    assert build(odd, "random", 1, progress=False).data.images.shape == (2, 3, SIZE, SIZE)


def test_numbers_of_12_bits_in_images_of_16_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As scanners write them: divided by 257 they would be nearly black, which nobody would see."""
    for most, dark in ((4095, True), (65535, False)):
        for number in range(4):
            place = tmp_path / str(most) / str(number % 2)
            place.mkdir(parents=True, exist_ok=True)
            values = np.linspace(0, most, SIZE * SIZE).astype(np.uint16).reshape(SIZE, SIZE)
            Image.fromarray(values).save(place / f"{number}.png")
        load(tmp_path / str(most))
        assert ("which leaves 17 grey levels" in caplog.text) == dark
        caplog.clear()


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_image_is_refused_by_name(name: str, tmp_path: Path) -> None:
    content, words = REFUSED[name]
    folder = write(tmp_path, ("0.png", png(GREY)), (name, content))
    with pytest.raises(InputError) as error:
        load(folder)
    assert name in str(error.value)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    """A pipe keeps its reader waiting until somebody writes."""
    folder = write(tmp_path, ("0.png", png(GREY)))
    os.mkfifo(folder / "train" / "a" / "pipe.png")
    with pytest.raises(InputError, match=r"pipe\.png: it is not a regular file"):
        load(folder)
    (folder / "train" / "a" / "pipe.png").unlink()
    os.symlink(folder / "nowhere.png", folder / "train" / "a" / "dangling.png")
    with pytest.raises(InputError, match=r"dangling\.png: No such file"):
        load(folder)
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(InputError, match="neither a folder"):
        load(tmp_path / "pipe.npz")


def test_an_eps_starts_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *arguments, **options: pytest.fail("Ghostscript"))
    with pytest.raises(InputError, match="no image of the formats"):
        load(write(tmp_path, ("in truth.png", REFUSED["eps in truth.png"][0])), size=8)


def test_pixels_are_limited_before_they_are_decoded(tmp_path: Path) -> None:
    small, side = png_16(np.zeros((8, 8, 1), np.uint16), 0), 13_000
    data = b"IHDR" + struct.pack(">II", side, side) + small[24:29]
    bomb = small[:12] + data + struct.pack(">I", zlib.crc32(data)) + small[33:]
    with pytest.raises(InputError, match=rf"bomb\.png: its 13000×13000 pixels are more than {MAX_PIXELS // 10**6} mil"):
        load(write(tmp_path, ("bomb.png", bomb)), size=8)


def test_unreadable_images_can_be_left_out_and_are_listed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bad = [(name, content) for name, (content, _) in REFUSED.items()]
    folder = write(tmp_path, ("0.png", png(GREY)), ("1.png", png(GREY)), *bad)
    os.mkfifo(folder / "train" / "b" / "pipe.png")
    data = load(folder, on_error="skip")
    assert data.train.labels.tolist() == [0, 0, 1]
    assert len(data.left_out) == len(REFUSED) + 1
    assert f"{len(REFUSED) + 1} left out as unreadable" in data.notes
    for name in (*REFUSED, "pipe.png"):
        assert any(name in line for line in data.left_out)
        assert name in caplog.text
    again = load(**data.source)
    assert again.train.sha256() == data.train.sha256()


def test_a_class_of_unreadable_images_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, ("0.png", b"text"))
    with pytest.raises(InputError, match="class 'a' has no images"):
        load(folder, on_error="skip")


def test_transparent_pixels_show_the_background(tmp_path: Path) -> None:
    alpha = pixels(SIZE, SIZE, seed=5)
    folder = write(tmp_path, ("0.png", save(np.dstack([GREY, alpha]), "PNG")))
    for background, value in (("white", 255), ("black", 0)):
        data = load(folder, background=background)  # type: ignore[arg-type]
        np.testing.assert_array_equal(data.train.images[0, 0].numpy(), on(value, GREY, alpha))
        assert data.notes == (f"1 with transparency on {background}",)
        assert data.source["background"] == background


WIDE = pixels(12, 30, 3, seed=6)


def resized(image: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def expected(resize: str) -> np.ndarray:
    if resize == "crop":
        return resized(WIDE[:, 9:21], 10, 10)
    if resize == "stretch":
        return resized(WIDE, 10, 10)
    padded = np.full((10, 10, 3), 255, np.uint8)
    padded[3:7] = resized(WIDE, 10, 4)
    return padded


@pytest.mark.parametrize(("resize", "what"), [("crop", "cropped"), ("fit", "padded"), ("stretch", "stretched")])
def test_images_that_are_not_square(resize: str, what: str, tmp_path: Path) -> None:
    data = load(write(tmp_path, ("wide.png", png(WIDE))), size=10, resize=resize)  # type: ignore[arg-type]
    np.testing.assert_array_equal(data.train.images[0].numpy(), expected(resize).transpose(2, 0, 1))
    assert data.notes == ("2 resized to 10×10", f"1 {what} to squares", "1 made colour")
    assert load(**data.source).train.sha256() == data.train.sha256()


def test_crop_is_what_is_done_where_nothing_is_said(tmp_path: Path) -> None:
    folder = write(tmp_path, ("wide.png", png(WIDE)))
    np.testing.assert_array_equal(load(folder, size=10).train.images[0].numpy(), expected("crop").transpose(2, 0, 1))
    with pytest.raises(InputError, match=r"wide\.png is 30×12, not square; `size=N` brings all to N×N, `resize`"):
        load(folder)


def test_a_turned_image_is_turned_before_it_is_cropped(tmp_path: Path) -> None:
    data = load(write(tmp_path, ("0.png", turned(6, WIDE))), size=10)
    upright = np.rot90(WIDE, -1)
    np.testing.assert_array_equal(data.train.images[0].numpy(), resized(upright[9:21], 10, 10).transpose(2, 0, 1))


def test_images_in_memory_are_decoded_in_the_same_way() -> None:
    images = [Image.fromarray(np.dstack([COLOUR, GREY])), Image.fromarray(WIDE)] * 2
    data = load((images, [0, 1, 1, 0]), size=8, background="black", test_fraction=0.5)
    both = torch.cat([data.train.images, data.test.images]).numpy()
    wanted = [on(0, COLOUR, GREY), resized(WIDE[:, 9:21], 8, 8)]
    assert {image.tobytes() for image in both} == {image.transpose(2, 0, 1).tobytes() for image in wanted}
    assert "2 with transparency on black" in data.notes
