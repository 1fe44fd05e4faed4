"""How good an architecture each way of searching has found after which time: pure functions of scores and seconds."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from search.scores import MeanScores, best_first
from search.sources.trained import AGAIN, TRUTH

ORDERS = 200  # random orders that random search is averaged over
POINTS = 100  # of time, at which it is


@dataclass(frozen=True)
class Course:
    """The best whole-set accuracy that a way of searching has found, against the time it took.

    Attributes:
        name: of the ranking that is followed, or random search.
        seconds: of all trainings so far, one at a time, with what building the set took; ascending.
        best: accuracy (0..1) of the best architecture that was trained on the whole set until then.
        low, high: of random search, what 90 % of the orders lie between.
    """

    name: str
    seconds: np.ndarray
    best: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None


def courses(
    scores: MeanScores, seconds: Mapping[str, "pd.Series[float]"], building: Mapping[str, float], seed: int
) -> list[Course]:
    """Every ranking that is followed from its first choice on, and random search; empty without a truth.

    All are replayed from the same trials: a ranking first costs its set and its trials of all architectures; from then
    on, and for random search from the start, each architecture costs its training on the whole set. Only architectures
    with a truth take part.

    Args:
        seconds: by source, what the trials of each architecture took, all repeats.
        building: by source, what its set took.
    """
    truth = scores.get(TRUTH)
    if truth is None or len(truth) < 2:
        return []
    cost = seconds[TRUTH].reindex(truth.index)
    found = []
    for name, values in scores.items():
        known = values[values.index.intersection(truth.index, sort=False)]
        if name in (TRUTH, AGAIN) or not len(known):
            continue
        before = building[name] + float(seconds[name].reindex(known.index).sum())
        order = best_first(known)
        found.append(Course(name, before + cost[order].to_numpy().cumsum(), _best_so_far(truth[order].to_numpy())))
    return [*found, _random(truth.to_numpy(), cost.to_numpy(), seed)]


def _best_so_far(values: np.ndarray) -> np.ndarray:
    return np.maximum.accumulate(values, axis=-1)


def _random(truth: np.ndarray, cost: np.ndarray, seed: int) -> Course:
    """Random search: the mean over random orders, from the time at which each of them has an architecture."""
    rng = np.random.default_rng([seed, len(truth)])
    orders = rng.permuted(np.tile(np.arange(len(truth)), (ORDERS, 1)), axis=1)
    at, best = cost[orders].cumsum(1), _best_so_far(truth[orders])
    times = np.geomspace(max(at[:, 0].max(), 1e-6), max(at[:, -1].max(), 2e-6), POINTS)
    values = np.stack([_value_at(times, one, of) for one, of in zip(at, best, strict=True)])
    low, high = np.percentile(values, [5, 95], axis=0)
    return Course("random search", times, values.mean(0), low, high)


def _value_at(times: np.ndarray, at: np.ndarray, values: np.ndarray) -> np.ndarray:
    """A step function that has `values` from `at` on."""
    return values[np.clip(np.searchsorted(at, times, side="right") - 1, 0, None)]


def seconds_by_architecture(table: pd.DataFrame) -> dict[str, "pd.Series[float]"]:
    """What the trials of each architecture took, by source, from the table of trials."""
    return {str(name): rows.groupby("name")["seconds"].sum() for name, rows in table.groupby("source")}
