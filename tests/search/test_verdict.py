"""Verdicts and what is found after which time, from made scores whose answer is known."""

import numpy as np
import pandas as pd
import pytest

from search.figures import regret, scatter
from search.rank import decile
from search.regret import courses
from search.verdict import Verdict, judge

RNG = np.random.default_rng(0)
TRUTH = RNG.random(60)
NOISE = RNG.normal(size=(4, 60))
GOOD, POOR, NONE = TRUTH + 0.02 * NOISE[0], TRUTH + 0.6 * NOISE[1], NOISE[2]


def verdict(mine: np.ndarray, **others: np.ndarray) -> Verdict:
    free = {name: name == "params" for name in others if name != "again"}
    scores = {"dsa": mine, **others}
    return judge("dsa", scores, TRUTH, free, 0, others.get("again"))


def test_a_ranking_that_beats_every_rival_is_trusted() -> None:
    result = verdict(GOOD, random=POOR, params=NONE)
    assert result.grade == "trust it"
    assert "better than random and params, beyond chance" in result.why


def test_one_that_a_rival_beats_is_not() -> None:
    result = verdict(POOR, random=NONE, params=GOOD)
    assert (result.grade, result.why) == ("do not", "params ranks better, which costs nothing")
    assert verdict(POOR, random=GOOD).why == "random ranks better"


def test_one_that_does_as_well_as_a_rival_is_not_worth_its_making() -> None:
    result = verdict(GOOD, random=GOOD, params=NONE)
    assert (result.grade, result.why) == ("do not", "no better than random")


def test_a_lead_within_chance_leaves_it_open() -> None:
    mine = TRUTH + 0.2 * NOISE[0]
    slightly_worse = mine.copy()
    slightly_worse[[0, 1]] = mine[[1, 0]]  # ρ is 0.03 lower
    result = verdict(mine, random=slightly_worse)
    assert (result.grade, "within chance" in result.why) == ("undecided", True)


def test_chance_itself_is_not_trusted() -> None:
    assert verdict(NONE, random=NOISE[3]).why == "its ρ cannot be told from 0"
    assert verdict(np.ones(60)).grade == "do not"


def test_nothing_beside_it_decides_nothing() -> None:
    assert verdict(GOOD).grade == "undecided"


def test_the_ceiling_says_whether_there_is_anything_to_gain() -> None:
    at_it = verdict(GOOD, random=POOR, again=TRUTH + 0.02 * NOISE[3])
    assert "ranks no better" in at_it.why
    below = verdict(POOR, random=NONE, again=GOOD)
    assert "reaches ρ 1.00" in below.why


def test_the_best_are_a_tenth_but_no_fewer_than_can_be_ordered() -> None:
    assert [decile(count) for count in (2, 4, 16, 24, 60, 200, 720)] == [1, 2, 8, 10, 10, 20, 72]


NAMES = list("abcd")


def series(*values: float) -> "pd.Series[float]":
    return pd.Series(values, index=NAMES, dtype=float)


def test_what_a_ranking_has_found_by_hand() -> None:
    """Building 5 s, four trials of 1 s, then one training of 10 s after another in its order: c, a, b, d."""
    scores = {"dsa": series(0.3, 0.2, 0.4, 0.1), "whole": series(0.7, 0.9, 0.5, 0.8)}
    seconds = {"dsa": series(1, 1, 1, 1), "whole": series(10, 10, 10, 10)}
    dsa, random = courses(scores, seconds, {"dsa": 5.0, "whole": 0.0}, seed=0)
    assert dsa.seconds.tolist() == [19, 29, 39, 49]
    assert dsa.best.tolist() == [0.5, 0.7, 0.9, 0.9]
    assert random.name == "random search"
    assert random.seconds[0] == 10
    assert random.best[0] == pytest.approx(np.mean([0.7, 0.9, 0.5, 0.8]), abs=0.03)
    assert random.best[-1] == pytest.approx(0.9)
    assert (np.diff(random.best) >= 0).all()
    assert regret([dsa, random]) is not None


def test_without_a_truth_there_is_nothing_to_find() -> None:
    assert courses({"dsa": series(1, 2, 3, 4)}, {"dsa": series(1, 1, 1, 1)}, {"dsa": 0.0}, 0) == []
    assert regret([]) is None


def test_the_picture_names_the_choice_and_the_best_and_counts_what_it_leaves_out() -> None:
    names = [f"net{number}" for number in range(20)]
    truth = pd.Series(np.linspace(0.90, 0.95, 20), index=names)
    truth["net0"] = 0.1  # far below
    proxy = truth.copy()
    proxy["net5"] = 0.99  # a wrong first choice
    facts = {"free": False, "ordinal": False, "spearman": 0.8, "spearman_low": 0.5, "spearman_high": 0.9}
    figure = scatter({"dsa": proxy, "whole": truth}, {"sources": {"dsa": facts, "whole": {}}})
    assert figure is not None
    (axes,) = (one for one in figure.axes if one.get_visible())
    assert axes.get_title() == "dsa, ρ 0.80 [0.50, 0.90]"
    assert "1 far below, not shown" in axes.get_xlabel()
    assert "(%)" in axes.get_xlabel()
    assert "(%)" in axes.get_ylabel()
    assert axes.get_ylim()[0] > 80
    assert any("choice: net5" in text.get_text() for text in axes.texts)
    assert "net19" in figure.get_suptitle()
