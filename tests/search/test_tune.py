"""Successive halving: a training that waits after each epoch, whose time it gets, and one on Ray."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from proxyset.compute.parallel import Pool
from proxyset.compute.session import Session
from proxyset.data.spec import Dataset
from proxyset.errors import RunError
from search.api import rank_architectures
from search.placement import Placement
from search.settings import RankingSettings
from search.sources.asha import Asha
from search.sources.halving import rungs_of
from search.sources.trained import ProxySource
from search.together import budget
from search.trial import Job, TrialContext, Workbench


@pytest.fixture(autouse=True)
def global_generators_stay_put() -> None:
    """Not held here: Ray and Tune draw names from the global generators."""


def with_asha(context: TrialContext) -> TrialContext:
    return replace(context, sources={**context.sources, "asha": Asha("asha")})


def test_epoch_by_epoch_gives_the_bits_of_a_training_that_never_waits(context: TrialContext) -> None:
    from search.tune import EpochByEpoch

    bench, name = Workbench(with_asha(context)), next(iter(context.candidates))
    whole = bench.train_job(Job("asha", name), lambda net, done: None)
    course = EpochByEpoch(lambda wait: bench.train_job(Job("asha", name), wait))
    assert course.advance()[1] == 1
    net, epochs = course.advance()
    assert epochs == context.settings.whole_epochs == 2
    for mine, theirs in zip(net.parameters(), whole.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    course.close()


def test_a_training_that_is_given_up_ends_and_one_that_fails_says_so(context: TrialContext) -> None:
    from search.tune import EpochByEpoch

    steps: list[int] = []

    def train(wait: Callable[[nn.Module, int], None]) -> None:
        for epoch in range(1, 100):
            steps.append(epoch)
            wait(nn.Identity(), epoch)

    course = EpochByEpoch(train)
    course.advance()
    course.close()
    assert steps == [1]

    def fail(wait: Callable[[nn.Module, int], None]) -> None:
        raise RuntimeError("no such layer")

    with pytest.raises(RuntimeError, match="no such layer"):
        EpochByEpoch(fail).advance()


def test_the_time_is_that_of_the_first_proxy_with_its_building(context: TrialContext) -> None:
    sources = {"random": replace(context.sources["random"], seconds=5.0), "whole": context.sources["whole"]}
    context = replace(context, sources={**sources, "asha": Asha("asha")})
    rows = [{"source": source, "seconds": 3.0} for source in ("random", "random", "whole")]
    session = Session(device="cpu")
    here = Placement(session, Pool(), session.compute, here=True)
    assert budget(rows, context, here) == ("random", 11.0)
    assert budget(rows, context, replace(here, pool=Pool(workers=2), here=False)) == ("random", 8.0)
    with pytest.raises(RunError, match="name one, such as random"):
        budget(rows[2:], context, here)


def test_the_time_of_a_halving_is_that_of_all_its_rungs(context: TrialContext) -> None:
    rungs = {rung.name: rung for rung in rungs_of(ProxySource("random", seconds=5.0))}
    context = replace(context, sources={**rungs, "whole": context.sources["whole"], "asha": Asha("asha")})
    rows = [{"source": name, "seconds": 3.0} for name in (*rungs, "whole")]
    session = Session(device="cpu")
    found = budget(rows, context, Placement(session, Pool(), session.compute, here=True))
    assert found == ("random-halving", 5.0 + 3.0 * len(rungs))


def test_the_rungs_are_powers_of_four_below_the_last_epoch() -> None:
    from search.tune import rungs

    assert [rungs(last) for last in (1, 2, 4, 5, 25, 100)] == [[1], [1], [1], [1, 4], [1, 4, 16], [1, 4, 16, 64]]


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_asha_scores_every_architecture_by_how_far_it_got(
    make_dataset: Callable[..., Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight architectures, five epochs: after the first, and after the fourth, most are given up."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("search.driver.budget", lambda *arguments: ("random", 600.0))
    settings = RankingSettings(ipc=2, epochs=1, whole_epochs=5, truth="none", free=False)
    result = rank_architectures(
        make_dataset(counts=12),
        ["random", "asha"],
        space=[f"convnet-w{width}" for width in range(4, 36, 4)],
        settings=settings,
        session=Session(device="cpu"),
        pool=Pool(workers=2),
        progress=False,
    )
    rows = result.trials[result.trials["source"] == "asha"]
    assert len(rows) == 8
    assert rows["error"].isna().all()
    assert rows["accuracy"].isna().all()
    reached = rows["score"].apply(int)
    assert set(reached) <= {1, 2, 4, 5, 6}
    assert reached.min() == 1 < reached.max()
