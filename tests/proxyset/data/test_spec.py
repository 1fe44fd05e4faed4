"""From pixels to the space that networks see and back; what a dataset says of itself."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from proxyset.data.images import ImageSet
from proxyset.data.load import load
from proxyset.data.spec import Dataset, DatasetSpec, measure, normalise, to_pixels
from tests.proxyset.data.made import pixels


def test_size_and_channels_convert_named_sets_and_measure_anew() -> None:
    data = load("digits", size=16, channels=3)
    assert data.train.images.shape[1:] == (3, 16, 16)
    assert data.train.images.dtype == torch.uint8
    assert torch.equal(data.train.images[:, 0], data.train.images[:, 2])
    normalised = normalise(data.train.images, data.spec)
    assert normalised.mean((0, 2, 3)).abs().max() < 1e-4
    torch.testing.assert_close(normalised.std((0, 2, 3)), torch.ones(3), rtol=1e-3, atol=0)
    assert load("digits", flip=True).spec.flip is True


def test_measure_agrees_with_the_plain_formula() -> None:
    images = torch.from_numpy(pixels(50, 3, 8, 8))
    images[:, 2] = 7
    mean, std = measure(images)
    values = images.double() / 255
    torch.testing.assert_close(torch.tensor(mean).double(), values.mean((0, 2, 3)), rtol=1e-6, atol=0)
    expected = values.std((0, 2, 3), correction=0)
    torch.testing.assert_close(torch.tensor(std[:2]).double(), expected[:2], rtol=1e-6, atol=0)
    assert std[2] == 1.0  # a constant channel cannot be scaled to 1


@settings(deadline=None, max_examples=20, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), mean=st.floats(0, 1), std=st.floats(0.05, 1))
def test_normalised_pixels_come_back_exactly(seed: int, mean: float, std: float) -> None:
    spec = DatasetSpec("x", 1, 8, ("a", "b"), (mean,), (std,))
    images = torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (4, 1, 8, 8), dtype=np.uint8))
    normalised = normalise(images, spec)
    torch.testing.assert_close(normalised, (images.float() / 255 - mean) / std, rtol=1e-5, atol=1e-5)
    assert torch.equal(to_pixels(normalised, spec), images)
    assert normalise(normalised, spec) is normalised


def test_uint8_images_round_trip_through_normalised_space() -> None:
    for value in range(256):
        spec = DatasetSpec("x", 1, 1, ("a",), (0.1307,), (0.3081,))
        pixel = torch.full((1, 1, 1, 1), value, dtype=torch.uint8)
        assert to_pixels(normalise(pixel, spec), spec).item() == value


def test_a_dataset_says_what_it_is_in_a_line_and_shows_itself_in_a_notebook(
    tiny: Dataset, make_dataset: Callable[..., Dataset]
) -> None:
    assert repr(tiny) == "Dataset(tiny: 36 + 12 images 1×8×8, 3 classes)"
    for data in (tiny, make_dataset(classes=30, counts=3, channels=3)):
        page = data._repr_html_()
        assert "<img" in page
        assert "data:image/png;base64," in page
        assert repr(data) in page


def test_a_dataset_is_hashed_once(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = type(tiny.train)
    calls: list[int] = []
    digest = kind.sha256

    def count(data: ImageSet) -> str:
        calls.append(len(data))
        return digest(data)

    monkeypatch.setattr(kind, "sha256", count)
    assert tiny.sha256 == tiny.sha256 == digest(tiny.train)
    assert calls == [36]
