"""What the tests of the computation share."""

from collections.abc import Callable

import pytest

from proxyset.data.spec import Dataset


@pytest.fixture
def colour(make_dataset: Callable[..., Dataset]) -> Dataset:
    """Three classes of 8×8 colour images, eight of each: a real batch is then the whole class, in order."""
    return make_dataset(classes=3, counts=8, channels=3)
