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


class Always(nn.Module):
    """Answers with one class, whatever it sees and learns."""

    def __init__(self, label: int, classes: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(10.0 * torch.eye(classes)[label])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return (0 * self.logits + self.logits.detach()).expand(len(images), -1)


def always(label: int) -> Callable[[int, int, int], nn.Module]:
    return lambda channels, size, classes: Always(label, classes)


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_asha_gives_up_what_is_worse_than_what_came_before(
    make_dataset: Callable[..., Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight architectures, the best first, each as good as its class is frequent; decided after one and four epochs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("search.driver.budget", lambda *arguments: ("random", 600.0))
    result = rank_architectures(
        make_dataset(classes=8, counts=(80, 70, 60, 50, 40, 30, 20, 10)),
        ["random", "asha"],
        space=[(f"class{label}", always(label)) for label in range(8)],
        settings=RankingSettings(ipc=2, epochs=1, whole_epochs=5, truth="none", free=False),
        session=Session(device="cpu"),
        pool=Pool(workers=2),
        progress=False,
    )
    rows = result.trials[result.trials["source"] == "asha"].set_index("name")
    assert rows["error"].isna().all()
    assert rows["accuracy"].isna().all()
    scores = rows["score"].to_dict()
    scores.pop("class1")  # it starts beside the best, and goes on for a while where it is scored first
    expected = {f"class{label}": 1 + (8 - label) / 36 for label in range(2, 8)}
    assert scores == pytest.approx({"class0": 5 + 8 / 36, **expected})
