"""DD-Ranking's scores, against their formulas."""

import math

import pytest

from proxyset.report.fair import Fair, Measured

MADE_UP = Measured(whole=0.9, hard=0.5, own=0.6, random=0.4, as_many=0.55, plain=0.3, plain_random=0.35)


def test_scores_are_the_published_formulas() -> None:
    found = Fair.of(MADE_UP)
    assert found.hlr == pytest.approx(0.4)
    assert found.ior == pytest.approx(0.2)
    assert found.over_as_many == pytest.approx(0.05)
    alpha, beta = 0.5 * 0.2 - 0.5 * 0.4, 0.5 * 0.2 + 0.5 * (0.3 - 0.35)
    for score, value in ((found.lrs, alpha), (found.ars, beta)):
        assert score == pytest.approx((math.exp(value) - math.exp(-1)) / (math.e - math.exp(-1)))


def test_the_worst_is_0_and_the_best_is_1() -> None:
    worst = Fair.of(Measured(whole=1, hard=0, own=0, random=1, as_many=0, plain=0, plain_random=1))
    best = Fair.of(Measured(whole=0, hard=1, own=1, random=0, as_many=0, plain=1, plain_random=0))
    assert (worst.lrs, worst.ars) == (pytest.approx(0), pytest.approx(0))
    assert (best.lrs, best.ars) == (pytest.approx(1), pytest.approx(1))
