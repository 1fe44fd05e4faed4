"""Images as one picture."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from proxyset.data.picture import as_html, png, sheet, tile


def test_tiles_show_every_class_in_its_row_or_column() -> None:
    pixels = torch.arange(6, dtype=torch.uint8).view(6, 1, 1, 1).expand(6, 1, 8, 8).contiguous()  # 3 classes of 2
    rows, columns = tile(pixels, 3), tile(pixels, 3, across=True)
    assert rows.shape == (27, 18)
    assert rows[::9, ::9].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert columns[::9, ::9].tolist() == [[0, 2, 4], [1, 3, 5]]
    assert (rows[8] == 255).all()  # a white line between
    assert tile(pixels.expand(6, 3, 8, 8), 3).shape == (27, 18, 3)


def test_a_sheet_leaves_the_end_of_a_short_row_white() -> None:
    rows = [torch.zeros(1, 1, 8, 8, dtype=torch.uint8), torch.zeros(3, 1, 8, 8, dtype=torch.uint8)]
    picture = sheet(rows)
    assert picture.shape == (18, 27)
    assert picture[::9, ::9].tolist() == [[0, 255, 255], [0, 0, 0]]


@pytest.mark.parametrize("shape", [(9, 18), (9, 18, 3)])
def test_pictures_are_png_of_the_same_pixels(shape: tuple[int, ...]) -> None:
    picture = torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with Image.open(io.BytesIO(png(picture))) as image:
        np.testing.assert_array_equal(np.asarray(image), picture.numpy())


def test_html_escapes_its_words_and_enlarges_small_pictures() -> None:
    page = as_html("a < b", torch.zeros(9, 9, dtype=torch.uint8))
    assert "a &lt; b" in page
    assert "width:477px" in page  # 53 times 9
