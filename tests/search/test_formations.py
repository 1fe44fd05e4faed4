"""Rankings by sets with a formation: what must be kept is what is stored, what a trial costs counts every tile."""

from collections.abc import Callable

import pytest
import torch
from rich.console import Console

from proxyset.artefact.build import build
from proxyset.artefact.proxy_set import ProxySet
from proxyset.data.spec import Dataset
from proxyset.methods.coreset import Random
from search.settings import RankingSettings
from search.sources.make import make_sources
from search.sources.proxies import PlannedProxy, SourcePlan
from search.sources.trained import EarlyStop, ProxySource
from search.tables import print_summary
from tests.search.test_api import SMALL, rank

SETTINGS = RankingSettings(epochs=10, whole_epochs=1, batch_size=16, free=False)


@pytest.fixture
def dataset(make_dataset: Callable[..., Dataset]) -> Dataset:
    return make_dataset(counts=12)


@pytest.fixture
def tiles(dataset: Dataset) -> ProxySet:
    """Six stored images, 24 to train on."""
    return build(dataset, Random(formation=2), 2, keep_as="uint8", progress=False)


def test_a_trial_costs_every_tile_and_a_user_keeps_what_is_stored(dataset: Dataset, tiles: ProxySet) -> None:
    plan = SourcePlan((PlannedProxy("tiles", given=tiles),), {"early-stop": EarlyStop})
    sources = make_sources(plan, [tiles], dataset, SETTINGS)
    assert (sources["tiles"].images, sources["tiles"].images_trained(SETTINGS)) == (6, 240)
    assert sources["tiles"].facts()["tiles"] == 4
    early = sources["early-stop"]
    assert isinstance(early, EarlyStop)
    assert (early.batch, early.batches) == (16, 2)  # as many updates as on 24 images, of as many images
    minibatches = early.order()(torch.Generator())
    assert [len(index) for index in minibatches] == [16, 16]


def test_facts_of_sets_without_a_formation_are_what_they_were(dataset: Dataset) -> None:
    """So that runs go on that older versions began."""
    assert set(ProxySource("x", 6).facts()) == {"name", "images", "seconds", "sha256", "file", "kind", "free"}


@pytest.mark.parametrize("formation", [1, 2])
def test_a_ranking_says_what_is_stored_and_what_is_trained_on(
    formation: int, dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    proxy = build(dataset, Random(formation=formation), 2, progress=False)
    result = rank(dataset, proxy, "early-stop", settings=SMALL)
    facts = result.summary["sources"]["random"]
    assert (facts["images"], facts["training_images"]) == (6, 6 * formation**2)
    assert result.trials["error"].isna().all()
    print_summary(result.summary, Console())
    assert ("6 (24 trained on)" in capsys.readouterr().out) == (formation == 2)
