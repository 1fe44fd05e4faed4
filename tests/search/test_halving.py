"""Successive halving: which trials each rung has, and the ranking that is made of them."""

from dataclasses import replace
from pathlib import Path

import pytest

from search.jobs import first_jobs, next_rungs
from search.scores import best_first, mean_scores
from search.settings import RankingSettings
from search.sources.halving import RUNGS, fold, rungs_of, share_of_epochs
from search.sources.trained import TRUTH, ProxySource
from search.trial import Row, TrialContext, Workbench
from tests.search.test_cli import run, scores

SOURCE = ProxySource("dsa", images=6, seconds=3.0, sha256="x")
FACTS = {rung.name: rung.facts() for rung in rungs_of(SOURCE)}


def test_each_rung_has_half_of_the_architectures_and_twice_the_epochs() -> None:
    rungs = rungs_of(SOURCE)
    settings = RankingSettings(epochs=80, whole_epochs=1, batch_size=8)
    assert [rung.recipe(settings).epochs for rung in rungs] == [10, 20, 40, 80]
    assert [rung.count(16) for rung in rungs] == [16, 8, 4, 2]
    assert [rung.count(3) for rung in rungs] == [3, 2, 1, 1]
    trained = sum(rung.count(16) * rung.images_trained(settings) for rung in rungs)
    assert trained == share_of_epochs("instead") * 16 * SOURCE.images_trained(settings)
    assert sum(rung.seconds for rung in rungs) == SOURCE.seconds
    few = RankingSettings(epochs=3, whole_epochs=1, batch_size=8)
    assert [rung.recipe(few).epochs for rung in rungs] == [1, 1, 1, 3]


def row(number: int, name: str, score: float | None, repeat: int = 0) -> Row:
    source = f"dsa-halving/{number + 1}"
    return {"source": source, "name": name, "repeat": repeat, "score": score, "accuracy": score, "seconds": 1.0}


def test_who_got_further_ranks_higher_and_all_rungs_are_paid() -> None:
    rows = [row(0, "a", 0.9), row(0, "b", 0.8), row(0, "c", 0.7), row(1, "a", 0.3), row(1, "b", 0.4), row(2, "b", 0.1)]
    whole: Row = {"source": "whole", "name": "a", "repeat": 0, "score": 0.5, "accuracy": 0.5, "seconds": 9.0}
    sources, folded = fold(FACTS | {"whole": {"kind": "WholeSet"}}, [*rows, whole])
    assert list(sources) == ["dsa-halving", "whole"]
    assert best_first(mean_scores(folded, ["a", "b", "c"])["dsa-halving"]) == ["b", "a", "c"]
    assert {one["name"]: one["seconds"] for one in folded if one["source"] != "whole"} == {"a": 2, "b": 3, "c": 1}
    assert whole in folded


def test_a_failure_on_a_higher_rung_leaves_the_lower_one() -> None:
    _, (kept,) = fold(FACTS, [row(0, "a", 0.9), row(1, "a", None)])
    assert (kept["score"], kept["seconds"]) == (0.9, 2.0)


def test_the_better_half_goes_on(context: TrialContext) -> None:
    proxy = context.sources["random"]
    assert isinstance(proxy, ProxySource)
    rungs = {rung.name: rung for rung in rungs_of(proxy)}
    context = replace(context, sources={**rungs, TRUTH: context.sources[TRUTH]})
    first = first_jobs(context)
    assert {job.source for job in first} == {"random-halving/1", TRUTH}
    first = [job for job in first if job.source != TRUTH]
    bench = Workbench(context)
    rows = [bench.run(job) for job in first]
    ranked = sorted(rows, key=lambda one: -one["score"])
    second = next_rungs(context, 1, mean_scores(rows, list(context.candidates)))
    assert [job.candidate for job in second] == [one["name"] for one in ranked[:2]]
    assert len(next_rungs(context, 1)) == len(second)
    assert next_rungs(context, 2, mean_scores(rows, list(context.candidates))) == []


@pytest.mark.parametrize("halving", ["instead", "beside"])
def test_a_search_by_halving(images: Path, halving: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(images, "--proxy", "random", "--halving", halving, "--no-free", "--epochs", "8") == 0
    out = capsys.readouterr().out
    counts = {f"random-halving/{number + 1}": count for number, count in enumerate((4, 2, 1, 1))}
    done = scores()
    assert {name: sum(key[0] == name for key in done) for name in counts} == counts
    assert len(counts) == RUNGS
    assert any(key[0] == "random" for key in done) == (halving == "beside")
    assert "random-halving" in out
    assert ("random-halving and random order the architectures alike" in out) == (halving == "beside")
