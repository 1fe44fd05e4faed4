"""Metrics against a matrix worked out by hand."""

import numpy as np
import pytest

from continual.metrics import DEFINITIONS, summarise

IMAGES = np.array([10, 20, 40])
CORRECT = np.array([[9, -1, -1], [5, 18, -1], [7, 10, 36]], dtype=float)


def test_hand_computed_matrix() -> None:
    found = summarise(CORRECT, IMAGES)
    assert found["matrix"] == [[0.9, None, None], [0.5, 0.9, None], [0.7, 0.5, 0.9]]
    assert found["average"] == pytest.approx([0.9, 0.7, 0.7])
    assert found["pooled"] == pytest.approx([9 / 10, 23 / 30, 53 / 70])
    assert found["average_incremental"] == pytest.approx((0.9 + 0.7 + 0.7) / 3)
    assert found["forgetting"] == pytest.approx(((0.9 - 0.7) + (0.9 - 0.5)) / 2)
    assert found["backward_transfer"] == pytest.approx(((0.7 - 0.9) + (0.5 - 0.9)) / 2)


def test_forgetting_is_measured_from_the_best_and_transfer_from_the_first() -> None:
    correct = np.array([[5, 0, 0], [8, 10, 0], [6, 20, 40]], dtype=float)
    found = summarise(correct, IMAGES)
    assert found["forgetting"] == pytest.approx(((0.8 - 0.6) + (0.5 - 1.0)) / 2)
    assert found["backward_transfer"] == pytest.approx(((0.6 - 0.5) + (1.0 - 0.5)) / 2)


def test_every_metric_has_a_definition() -> None:
    assert set(DEFINITIONS) == set(summarise(CORRECT, IMAGES))
