"""Arrays of images brought to a size and a channel count."""

import numpy as np
import pytest
import torch

from proxyset.data.convert import convert
from proxyset.data.form import Decoding
from tests.proxyset.data.made import pixels


def test_grey_is_the_luma_of_colour() -> None:
    colours = torch.tensor([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [10, 200, 30]], dtype=torch.uint8)
    grey = convert(colours.view(5, 3, 1, 1).expand(5, 3, 8, 8), 8, 1, Decoding())
    assert grey[:, 0, 0, 0].tolist() == [76, 150, 29, 255, 124]  # 0.299 R + 0.587 G + 0.114 B
    assert torch.equal(convert(grey, 8, 3, Decoding())[:, 1:2], grey)


@pytest.mark.parametrize(("size", "target"), [(8, 32), (32, 8), (28, 32), (10, 9)])
def test_resizing_keeps_flat_images_flat_and_the_mean(size: int, target: int) -> None:
    flat = torch.full((2, 1, size, size), 137, dtype=torch.uint8)
    assert (convert(flat, target, 1, Decoding()) == 137).all()
    ramp = torch.arange(size).mul(255 // size).to(torch.uint8).expand(1, 1, size, size)
    resized = convert(ramp, target, 1, Decoding())
    assert resized.float().mean().item() == pytest.approx(ramp.float().mean().item(), abs=2)
    assert (resized[0, 0, 0].diff().int() >= 0).all()


def test_images_that_are_not_square_are_cropped_padded_or_stretched() -> None:
    wide = torch.from_numpy(pixels(2, 3, 8, 12))
    cropped = convert(wide, 8, 3, Decoding(resize="crop"))
    assert torch.equal(cropped, wide[..., 2:10])
    for background, value in (("white", 255), ("black", 0)):
        padded = convert(wide, 12, 3, Decoding(resize="fit", background=background))  # type: ignore[arg-type]
        assert torch.equal(padded[:, :, 2:10], wide)
        assert (padded[:, :, [0, 1, 10, 11]] == value).all()
    flat = torch.full((1, 1, 8, 12), 7, dtype=torch.uint8)
    assert (convert(flat, 9, 1, Decoding(resize="stretch")) == 7).all()
    tall = np.zeros((1, 1, 100, 1), np.uint8)
    assert convert(torch.from_numpy(tall), 8, 1, Decoding(resize="fit")).shape == (1, 1, 8, 8)
