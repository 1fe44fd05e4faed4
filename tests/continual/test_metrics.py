"""Metrics against a matrix worked out by hand."""

import numpy as np
import pytest

from continual.metrics import DEFINITIONS, summarise

IMAGES = np.array([10, 20, 40])
CORRECT = np.array([[9, -1, -1], [5, 18, -1], [7, 10, 36]], dtype=float)


def test_hand_computed_matrix() -> None:
    measures = summarise(CORRECT, IMAGES)
    assert measures["matrix"] == [[0.9, None, None], [0.5, 0.9, None], [0.7, 0.5, 0.9]]
    assert measures["average"] == pytest.approx([0.9, 0.7, 0.7])
    assert measures["pooled"] == pytest.approx([9 / 10, 23 / 30, 53 / 70])
    assert measures["average_incremental"] == pytest.approx((0.9 + 0.7 + 0.7) / 3)
    assert measures["forgetting"] == pytest.approx(((0.9 - 0.7) + (0.9 - 0.5)) / 2)
    assert measures["backward_transfer"] == pytest.approx(((0.7 - 0.9) + (0.5 - 0.9)) / 2)


def test_forgetting_is_measured_from_the_best_and_transfer_from_the_first() -> None:
    correct = np.array([[5, 0, 0], [8, 10, 0], [6, 20, 40]], dtype=float)
    measures = summarise(correct, IMAGES)
    assert measures["forgetting"] == pytest.approx(((0.8 - 0.6) + (0.5 - 1.0)) / 2)
    assert measures["backward_transfer"] == pytest.approx(((0.6 - 0.5) + (1.0 - 0.5)) / 2)


def test_every_metric_has_a_definition() -> None:
    assert set(DEFINITIONS) == set(summarise(CORRECT, IMAGES))
