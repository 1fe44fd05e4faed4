"""How well one ranking stands for another: pure functions of two lists of scores, one score per architecture.

A higher score is better. Everywhere, equal scores share their mean rank (as scipy does); a correlation with constant
scores, or with fewer than two, is NaN; where the best k are asked for and equal scores straddle the cut, the earlier
in the list are taken.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from scipy import stats

Scores = np.ndarray
Statistic = Callable[[Scores, Scores], np.ndarray]
"""Of two lists of scores; of R×N and R×N the R values of the rows."""


def spearman(proxy: Scores, truth: Scores) -> np.ndarray:
    """Spearman's rank correlation ρ: Pearson's correlation of the ranks, along the last axis."""
    a, b = (stats.rankdata(scores, axis=-1) for scores in (proxy, truth))
    a, b = (ranks - ranks.mean(-1, keepdims=True) for ranks in (a, b))
    return _ratio((a * b).sum(-1), (a * a).sum(-1), (b * b).sum(-1))


def kendall(proxy: Scores, truth: Scores) -> np.ndarray:
    """Kendall's τ-b of two lists: (concordant − discordant) pairs over the geometric mean of those untied in each."""
    return _kendall_of_resamples(proxy, truth, np.arange(len(truth))[None])[0]


def _kendall_of_resamples(proxy: Scores, truth: Scores, index: np.ndarray) -> np.ndarray:
    """τ-b of resamples (R×N positions): a pair of originals counts as often as the product of their multiplicities."""
    times = np.zeros((len(index), len(truth)))
    np.add.at(times, (np.arange(len(index))[:, None], index), 1)
    signs = [np.sign(scores[:, None] - scores[None, :]).astype(float) for scores in (proxy, truth)]

    def total(pairs: np.ndarray) -> np.ndarray:
        return ((times @ pairs) * times).sum(1)

    return _ratio(total(signs[0] * signs[1]), total(signs[0] ** 2), total(signs[1] ** 2))


def _ratio(both: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """both / √(first·second); NaN where that is 0: constant scores, or fewer than two."""
    norm = np.sqrt(first * second)
    return np.divide(both, norm, out=np.full_like(norm, np.nan), where=norm > 0)


def top(scores: Scores, k: int) -> np.ndarray:
    """Positions of the k highest scores, best first; of equal ones the earlier."""
    return np.argsort(-scores, axis=-1, kind="stable")[..., :k]


def share(count: int, percent: float) -> int:
    """How many architectures are the top `percent` of `count`: rounded, at least 1."""
    return max(1, round(count * percent / 100))


FAR = 2.0  # distances of the quartiles


def far_below(values: Scores) -> np.ndarray:
    """Which values lie so far below that they would press all others into a corner of a picture: under the lower
    quartile by over twice the distance of the quartiles.
    """
    lower, upper = np.percentile(values, [25, 75])
    return values < lower - FAR * max(upper - lower, 1e-9)


def decile(count: int) -> int:
    """How many architectures are "the best": a tenth of `count`, but at least ten where there are twice as many, and
    never more than half: an order of fewer says nothing.
    """
    return max(1, share(count, 10), min(10, count // 2))


def on_top(statistic: Statistic, proxy: Scores, truth: Scores, k: int, by_truth: bool = False) -> np.ndarray:
    """A statistic over only the k best by the proxy (as in the paper's Table 6), or by the truth."""
    best = top(truth if by_truth else proxy, k)
    return statistic(np.take_along_axis(proxy, best, -1), np.take_along_axis(truth, best, -1))


def precision(proxy: Scores, truth: Scores, k: int) -> float:
    """Share of the proxy's k best that are among the truth's k best."""
    return len(set(top(proxy, k)) & set(top(truth, k))) / k


def regret(proxy: Scores, truth: Scores, k: int = 1) -> np.ndarray:
    """What trusting the proxy costs: the best truth, minus the best truth among the proxy's k best."""
    return truth.max(-1) - np.take_along_axis(truth, top(proxy, k), -1).max(-1)


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
    index = rng.integers(len(truth), size=(samples, len(truth)))
    if statistic is kendall:
        return _kendall_of_resamples(proxy, truth, index)
    return statistic(proxy[..., index], truth[index])


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


def lead(
    first: Scores, second: Scores, truth: Scores, rng: np.random.Generator, samples: int = 1000, k: int | None = None
) -> Lead:
    """By how much Spearman's ρ of `first` exceeds that of `second`: both on the same resamples, so what they have in
    common cancels, and the intervals of the two need not lie apart.

    Args:
        k: over only the k best by the truth (None: all).
    """

    def rho(scores: Scores, truth: Scores) -> np.ndarray:
        return spearman(scores, truth) if k is None else on_top(spearman, scores, truth, k, by_truth=True)

    def statistic(pair: Scores, truth: Scores) -> np.ndarray:
        return rho(pair[0], truth) - rho(pair[1], truth)

    pair = np.stack([first, second])
    value, values = float(statistic(pair, truth)), _resampled(statistic, pair, truth, rng, samples)
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
    `_by_truth`, by the truth. Where there are at most 20 architectures, the best 20 are all of them, and there is no
    precision among them. `best` are the `decile` best, by the proxy or by the truth. `chosen` is the truth of the
    proxy's best, `regret` how far that is below the best truth.
    """
    count = len(proxy)
    sizes = {"top5": share(count, 5), "top10": share(count, 10), "top20": min(20, count)}
    result: dict[str, float] = {"n": count}
    for name, statistic in (("spearman", spearman), ("kendall", kendall)):
        result[name] = float(statistic(proxy, truth))
        result[f"{name}_low"], result[f"{name}_high"] = interval(statistic, proxy, truth, rng, samples)
    for label, k in sizes.items():
        result[f"{label}_k"] = k
        for name, statistic in (("spearman", spearman), ("kendall", kendall)):
            result[f"{name}_{label}"] = float(on_top(statistic, proxy, truth, k))
            result[f"{name}_{label}_by_truth"] = float(on_top(statistic, proxy, truth, k, by_truth=True))
        if k < count:  # all of them are always found
            result[f"precision_{label}"] = precision(proxy, truth, k)
    low, high = interval(lambda p, t: on_top(spearman, p, t, min(20, count)), proxy, truth, rng, samples)
    result["spearman_top20_low"], result["spearman_top20_high"] = low, high
    result["chosen"] = float(truth[top(proxy, 1)[0]])
    result["regret"] = float(regret(proxy, truth))
    result["regret_low"], result["regret_high"] = interval(regret, proxy, truth, rng, samples)
    return result | _of_the_best(proxy, truth, rng, samples)


def _of_the_best(proxy: Scores, truth: Scores, rng: np.random.Generator, samples: int) -> dict[str, float]:
    """Spearman's ρ among the `decile` best, by the proxy and by the truth."""
    k = decile(len(proxy))
    result: dict[str, float] = {"best_k": k}
    for name, by_truth in (("spearman_best", False), ("spearman_best_by_truth", True)):
        rho = partial(on_top, spearman, k=k, by_truth=by_truth)
        result[name] = float(rho(proxy, truth))
        result[f"{name}_low"], result[f"{name}_high"] = interval(rho, proxy, truth, rng, samples)
    return result
