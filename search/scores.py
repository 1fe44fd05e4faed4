"""The rows of a run as a table, and the mean score of each architecture."""

import pandas as pd

from search.trial import Row

COLUMNS = ["source", "name", "repeat", "seed", "width", "depth", "norm", "activation", "pooling"]
COLUMNS += ["parameters", "score", "accuracy", "seconds", "threads", "error"]

MeanScores = dict[str, "pd.Series[float]"]
"""By source the mean score of each architecture."""


def frame(rows: list[Row]) -> pd.DataFrame:
    """The rows as a table."""
    return pd.DataFrame(rows, columns=COLUMNS).astype({"score": float, "accuracy": float, "seconds": float})


def mean_scores(rows: list[Row], names: list[str], repeats: int | None = None) -> MeanScores:
    """For each source the mean score of each architecture over its (first `repeats`) repeats, in the order of `names`;
    those that failed are left out.
    """
    table = frame(rows).dropna(subset=["score"])
    if repeats is not None:
        table = table[table["repeat"] < repeats]
    means = {str(name): group.groupby("name")["score"].mean() for name, group in table.groupby("source")}
    return {name: scores.reindex(names).dropna() for name, scores in means.items()}


def best_first(scores: "pd.Series[float]") -> list[str]:
    """The architectures by their score, the highest first; of equal ones the earlier."""
    return [str(name) for name in scores.sort_values(ascending=False, kind="stable").index]
