"""What would shorten a search: only what is not short already."""

from proxyset.methods.dsa import DSA
from proxyset.methods.registry import get_method
from search.advice import cheaper_sets, cheaper_trials
from search.settings import RankingSettings, fill


def test_what_shortens_the_trials_and_what_it_costs() -> None:
    paper = fill(RankingSettings(), "mnist")
    assert list(cheaper_trials(paper, 60)) == ["truth=sample:20", "sample=24", "whole_epochs=50", "epochs=150"]
    small = paper.model_copy(update={"truth": "none", "epochs": 1, "repeats": 2})
    assert list(cheaper_trials(small, 12)) == ["repeats=1"]
    assert all(cheaper_trials(paper, 60).values())


def test_what_shortens_building() -> None:
    assert list(cheaper_sets([DSA()])) == ["condense_net=convnet-w32", "iterations=100"]
    assert list(cheaper_sets([DSA(net="convnet-w32", iterations=20)])) == ["proxy=random"]
    assert list(cheaper_sets([get_method("random")()])) == ["proxy=random"]
