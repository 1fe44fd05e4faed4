"""The embedded dataset."""

import pytest

from proxyset.data.load import load
from proxyset.data.spec import normalise


def test_digits_are_the_real_ones_split_once_and_for_all() -> None:
    data = load("digits")
    again = load("digits")
    assert (data.train.sha256(), data.test.sha256()) == (again.train.sha256(), again.test.sha256())
    assert len(data.train) + len(data.test) == 1797
    assert data.spec.class_names == tuple("0123456789")
    assert (data.spec.channels, data.spec.size, data.spec.flip) == (1, 8, False)
    assert data.train.images.max() == 255
    share = data.test.labels.bincount() / (data.test.labels.bincount() + data.train.labels.bincount())
    assert share.min() > 0.19
    assert share.max() < 0.21
    normalised = normalise(data.train.images, data.spec)
    assert normalised.mean().abs() < 1e-5
    assert normalised.std().item() == pytest.approx(1, abs=1e-3)
