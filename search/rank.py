"""How well one ranking stands for another: pure functions of two lists of scores, one score per architecture.

A higher score is better. Everywhere, equal scores share their mean rank (as scipy does); a correlation with constant
scores, or with fewer than two, is NaN; where the best k are asked for and equal scores straddle the cut, the earlier
in the list are taken.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

Scores = np.ndarray
Statistic = Callable[[Scores, Scores], float]


def spearman(proxy: Scores, truth: Scores) -> float:
    """Spearman's rank correlation ρ: Pearson's correlation of the ranks. The value of `scipy.stats.spearmanr`, which
    also works out a p-value and is too slow to bootstrap.
    """
    if _constant(proxy, truth):
        return math.nan
    a, b = (ranks - ranks.mean() for ranks in (stats.rankdata(proxy), stats.rankdata(truth)))
    return float(a @ b / math.sqrt((a @ a) * (b @ b)))


def kendall(proxy: Scores, truth: Scores) -> float:
    """Kendall's τ-b: (concordant − discordant) pairs, over the geometric mean of the pairs untied in each list."""
    if _constant(proxy, truth):
        return math.nan
    # Only the statistic is used: the quickest p-value will do, which scipy cannot work out for two
    method = "asymptotic" if len(proxy) > 2 else "exact"
    return float(stats.kendalltau(proxy, truth, method=method).statistic)


def _constant(proxy: Scores, truth: Scores) -> bool:
    return len(proxy) < 2 or np.ptp(proxy) == 0 or np.ptp(truth) == 0


def top(scores: Scores, k: int) -> np.ndarray:
    """Positions of the k highest scores, best first; of equal ones the earlier."""
    return np.argsort(-scores, kind="stable")[:k]


def share(count: int, percent: float) -> int:
    """How many architectures are the top `percent` of `count`: rounded, at least 1."""
    return max(1, round(count * percent / 100))


def on_top(statistic: Statistic, proxy: Scores, truth: Scores, k: int, by_truth: bool = False) -> float:
    """A statistic over only the k best by the proxy (as in the paper's Table 6), or by the truth."""
    best = top(truth if by_truth else proxy, k)
    return statistic(proxy[best], truth[best])


def precision(proxy: Scores, truth: Scores, k: int) -> float:
    """Share of the proxy's k best that are among the truth's k best."""
    return len(set(top(proxy, k)) & set(top(truth, k))) / k


def regret(proxy: Scores, truth: Scores, k: int = 1) -> float:
    """What trusting the proxy costs: the best truth, minus the best truth among the proxy's k best."""
    return float(truth.max() - truth[top(proxy, k)].max())


def interval(
    statistic: Statistic, proxy: Scores, truth: Scores, rng: np.random.Generator, samples: int = 1000
) -> tuple[float, float]:
    """95 % bootstrap interval (percentiles), resampling architectures with replacement.

    Resamples on which the statistic is NaN (constant scores) are left out; (NaN, NaN) where over half of them are.
    """
    return _percentiles(_resampled(statistic, proxy, truth, rng, samples), 95)


def _resampled(
    statistic: Statistic, proxy: Scores, truth: Scores, rng: np.random.Generator, samples: int
) -> np.ndarray:
    """The statistic on resamples of the architectures."""
    indices = (rng.integers(len(truth), size=len(truth)) for _ in range(samples))
    return np.array([statistic(proxy[..., index], truth[index]) for index in indices])


def _percentiles(values: np.ndarray, percent: float) -> tuple[float, float]:
    """The interval that holds the middle `percent` of the finite values."""
    finite = values[np.isfinite(values)]
    if len(finite) * 2 < len(values):
        return math.nan, math.nan
    low, high = np.percentile(finite, [50 - percent / 2, 50 + percent / 2])
    return float(low), float(high)


Verdict = Literal["significant", "suggestive", "no difference", "unknown"]


@dataclass(frozen=True)
class Lead:
    """By how much one ranking's Spearman exceeds another's.

    Attributes:
        value: the difference of the two ρ.
        low, high: ends of its 95 % bootstrap interval.
        verdict: significant where that interval leaves out 0, suggestive where only the 90 % interval does, otherwise
            no difference; unknown where a ranking is constant.
    """

    value: float
    low: float
    high: float
    verdict: Verdict


def lead(first: Scores, second: Scores, truth: Scores, rng: np.random.Generator, samples: int = 1000) -> Lead:
    """By how much Spearman's ρ of `first` exceeds that of `second`: both on the same resamples, so what they have in
    common cancels, and the intervals of the two need not lie apart.
    """

    def statistic(pair: Scores, truth: Scores) -> float:
        return spearman(pair[0], truth) - spearman(pair[1], truth)

    pair = np.stack([first, second])
    value, values = statistic(pair, truth), _resampled(statistic, pair, truth, rng, samples)
    low, high = _percentiles(values, 95)
    verdict: Verdict = "no difference"
    if not np.isfinite([value, low, high]).all():
        verdict = "unknown"
    elif _leaves_out_zero(low, high):
        verdict = "significant"
    elif _leaves_out_zero(*_percentiles(values, 90)):
        verdict = "suggestive"
    return Lead(value, low, high, verdict)


def _leaves_out_zero(low: float, high: float) -> bool:
    return low > 0 or high < 0


def summarise(proxy: Scores, truth: Scores, rng: np.random.Generator, samples: int = 1000) -> dict[str, float]:
    """Everything a report says of one source, by name; `_low` and `_high` are the ends of a 95 % interval.

    `top5`, `top10` and `top20` are the best 5 %, the best 10 % and the best 20 architectures by the proxy; with
    `_by_truth`, by the truth. Where there are at most 20 architectures, the best 20 are all of them. `chosen` is the
    truth of the proxy's best, `regret` how far that is below the best truth.
    """
    count = len(proxy)
    sizes = {"top5": share(count, 5), "top10": share(count, 10), "top20": min(20, count)}
    result: dict[str, float] = {"n": count}
    for name, statistic in (("spearman", spearman), ("kendall", kendall)):
        result[name] = statistic(proxy, truth)
        result[f"{name}_low"], result[f"{name}_high"] = interval(statistic, proxy, truth, rng, samples)
    for label, k in sizes.items():
        result[f"{label}_k"] = k
        for name, statistic in (("spearman", spearman), ("kendall", kendall)):
            result[f"{name}_{label}"] = on_top(statistic, proxy, truth, k)
            result[f"{name}_{label}_by_truth"] = on_top(statistic, proxy, truth, k, by_truth=True)
        result[f"precision_{label}"] = precision(proxy, truth, k)
    low, high = interval(lambda p, t: on_top(spearman, p, t, min(20, len(p))), proxy, truth, rng, samples)
    result["spearman_top20_low"], result["spearman_top20_high"] = low, high
    result["chosen"] = float(truth[top(proxy, 1)[0]])
    result["regret"] = regret(proxy, truth)
    result["regret_low"], result["regret_high"] = interval(regret, proxy, truth, rng, samples)
    return result
