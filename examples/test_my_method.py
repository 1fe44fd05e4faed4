"""The promises of every method, each as a test of your own: pytest test_my_method.py."""

from pathlib import Path

import pytest
from my_method import Mean

from proxyset.testing import PROMISES


@pytest.mark.parametrize("promise", PROMISES)
def test_mean_keeps_the_promise(promise: str, tmp_path: Path) -> None:
    PROMISES[promise](Mean(noise=0.2), tmp_path)
