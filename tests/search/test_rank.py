"""Rank statistics against scipy, brute force and values worked out by hand."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from search.rank import Lead, interval, kendall, lead, on_top, precision, regret, share, spearman, summarise, top

A = np.array([0.1, 0.4, 0.4, 0.9, 0.7])
B = np.array([0.2, 0.3, 0.5, 0.8, 0.8])


def brute_kendall(a: np.ndarray, b: np.ndarray) -> float:
    """τ-b by counting pairs."""
    pairs = list(itertools.combinations(range(len(a)), 2))
    signs = [(np.sign(a[i] - a[j]), np.sign(b[i] - b[j])) for i, j in pairs]
    untied_a, untied_b = sum(x != 0 for x, _ in signs), sum(y != 0 for _, y in signs)
    return float(sum(x * y for x, y in signs)) / math.sqrt(untied_a * untied_b)


def test_spearman_is_pearson_of_mean_ranks() -> None:
    ranks_a, ranks_b = [1, 2.5, 2.5, 5, 4], [1, 2, 3, 4.5, 4.5]
    assert spearman(A, B) == pytest.approx(np.corrcoef(ranks_a, ranks_b)[0, 1])
    assert spearman(A, B) == pytest.approx(stats.spearmanr(A, B).statistic)
    assert spearman(np.arange(4.0), np.arange(4.0) ** 3) == pytest.approx(1)
    assert spearman(np.arange(4.0), -np.arange(4.0)) == pytest.approx(-1)


def test_without_ties_spearman_is_the_textbook_formula() -> None:
    a, b = np.array([1.0, 2, 3, 4, 5]), np.array([2.0, 1, 4, 5, 3])
    assert spearman(a, b) == pytest.approx(1 - 6 * ((a - b) ** 2).sum() / (5 * 24))


def test_kendall_is_tau_b() -> None:
    assert kendall(A, B) == pytest.approx(brute_kendall(A, B))
    assert kendall(A, B) == pytest.approx(stats.kendalltau(A, B).statistic)


@pytest.mark.parametrize("statistic", [spearman, kendall])
def test_constant_or_single_scores_have_no_correlation(statistic) -> None:  # type: ignore[no-untyped-def]
    assert math.isnan(statistic(np.ones(4), np.arange(4.0)))
    assert math.isnan(statistic(np.arange(4.0), np.ones(4)))
    assert math.isnan(statistic(np.ones(1), np.ones(1)))


def test_top_takes_the_earlier_of_equals() -> None:
    assert top(A, 3).tolist() == [3, 4, 1]
    assert top(np.zeros(4), 2).tolist() == [0, 1]


def test_share_is_at_least_one() -> None:
    assert [share(720, 5), share(60, 5), share(60, 10), share(6, 5)] == [36, 3, 6, 1]


def test_on_top_looks_only_at_the_best() -> None:
    assert on_top(spearman, A, B, 3) == pytest.approx(spearman(A[[3, 4, 1]], B[[3, 4, 1]]))
    assert on_top(spearman, A, B, 3, by_truth=True) == pytest.approx(spearman(A[[3, 4, 2]], B[[3, 4, 2]]))


def test_precision_and_regret_by_hand() -> None:
    proxy, truth = np.array([5.0, 4, 3, 2, 1]), np.array([0.2, 0.9, 0.1, 0.8, 0.3])
    assert precision(proxy, truth, 2) == 0.5  # {0, 1} and {1, 3}
    assert regret(proxy, truth) == pytest.approx(0.7)
    assert regret(proxy, truth, 2) == 0.0


def test_interval_is_seeded_ordered_and_holds_the_value() -> None:
    rng = np.random.default_rng(0)
    proxy = rng.normal(size=50)
    truth = proxy + rng.normal(size=50)
    low, high = interval(spearman, proxy, truth, np.random.default_rng(1))
    assert (low, high) == interval(spearman, proxy, truth, np.random.default_rng(1))
    assert -1 <= low < spearman(proxy, truth) < high <= 1
    wide = interval(spearman, proxy[:10], truth[:10], np.random.default_rng(1))
    assert wide[1] - wide[0] > high - low


def test_interval_of_constant_scores_is_nan() -> None:
    assert all(math.isnan(end) for end in interval(spearman, np.ones(5), A, np.random.default_rng(0), 50))


def test_interval_covers_as_often_as_it_says() -> None:
    """Over many draws from one population, the 95 % interval holds its Spearman about that often."""
    rng = np.random.default_rng(0)
    population = rng.multivariate_normal([0, 0], [[1, 0.7], [0.7, 1]], size=20000)
    value = spearman(*population.T)
    inside = 0
    for _ in range(60):
        proxy, truth = rng.choice(population, 40).T
        low, high = interval(spearman, proxy, truth, rng, 100)
        inside += int(low <= value <= high)
    assert inside >= 50


def test_summary_has_every_statistic() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(60)
    facts = summarise(truth, truth, np.random.default_rng(0), 20)
    assert (facts["n"], facts["top5_k"], facts["top10_k"], facts["top20_k"]) == (60, 3, 6, 20)
    same = [facts[name] for name in ("spearman", "kendall", "spearman_top5", "precision_top20")]
    assert same == pytest.approx([1, 1, 1, 1])
    assert facts["regret"] == 0.0
    assert facts["chosen"] == truth.max()


def test_lead_is_paired() -> None:
    """Two proxies that share their noise: each one's interval is wide, that of their difference is not."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=60)
    worse = truth + rng.normal(size=60)
    better = worse + 0.2 * (truth - worse)
    result = lead(better, worse, truth, np.random.default_rng(0), 300)
    assert result.value == pytest.approx(spearman(better, truth) - spearman(worse, truth))
    assert 0 < result.low < result.value < result.high
    assert result.verdict == "significant"
    low, high = interval(spearman, better, truth, np.random.default_rng(0), 300)
    assert result.high - result.low < high - low
    assert lead(truth, truth, truth, np.random.default_rng(0), 10) == Lead(0.0, 0.0, 0.0, "no difference")


def test_the_verdict_of_a_lead() -> None:
    """Significant: the 95 % interval leaves out 0. Suggestive: only the 90 % interval does."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=24)
    noise = rng.normal(size=(2, 24))
    verdicts = []
    for strength in np.linspace(0.3, 3, 16):
        first, second = truth + 0.3 * noise[0], truth + strength * noise[1]
        result = lead(first, second, truth, np.random.default_rng(0), 500)
        assert (result.verdict == "significant") == (result.low > 0 or result.high < 0)
        verdicts.append(result.verdict)
    assert verdicts[0] == "no difference"
    assert verdicts[-1] == "significant"
    assert "suggestive" in verdicts
    assert lead(np.ones(24), truth, truth, np.random.default_rng(0), 20).verdict == "unknown"


@pytest.mark.parametrize("order", [1, -1])
def test_two_architectures_agree_or_not(order: int) -> None:
    proxy, truth = np.array([0.1, 0.2]), np.array([0.3, 0.3 + order * 0.1])
    assert spearman(proxy, truth) == kendall(proxy, truth) == pytest.approx(order)
