"""Sources by name: those of the toolkit, and one of one's own."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from proxyset.compute.session import Session
from proxyset.data.spec import Dataset
from proxyset.data.validation import with_validation
from proxyset.errors import InputError
from search import Ranking, RankingSettings, rank_architectures
from search.commands import code_of
from search.sources.base import Scope
from search.sources.registry import SOURCES, get_source
from search.sources.trained import Tenth, TenthLoss
from search.trial import Job, TrialContext, Workbench

SMALL = RankingSettings(ipc=2, epochs=2, whole_epochs=1, batch_size=8, truth="none", free=False)
MINE = """
from dataclasses import dataclass
from search.sources.base import Free

@dataclass(frozen=True)
class NameLength(Free):
    def score(self, bench, candidate, generator):
        return float(len(candidate.name))
"""


def rank(dataset: Dataset, proxies: object) -> Ranking:
    options = {"space": ["mlp", "convnet-w4"], "progress": False, "session": Session(device="cpu")}
    return rank_architectures(dataset, proxies, settings=SMALL, **options)  # type: ignore[arg-type]


@pytest.fixture
def dataset(make_dataset: Callable[..., Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_source.py").write_text(MINE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return make_dataset(counts=12)


def test_a_source_of_ones_own_by_module_by_class_and_by_name(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    by_module = rank(dataset, ["my_source:NameLength"]).scores["NameLength"]
    assert by_module.to_list() == [3, len("convnet-w4")]
    import my_source  # type: ignore[import-not-found]

    assert rank(dataset, {"length": my_source.NameLength}).scores["length"].to_list() == by_module.to_list()
    monkeypatch.setattr(SOURCES, "_entries", dict(SOURCES._entries))
    SOURCES.register("name-length", my_source.NameLength)
    assert rank(dataset, ["name-length"]).scores["name-length"].to_list() == by_module.to_list()
    assert code_of({"proxy": ["my_source:NameLength"]}) == ["my_source:NameLength"]  # which `--trust` asks about
    assert code_of({"space": "модель.сеть:все"}) == ["модель.сеть:все"]


@pytest.mark.parametrize(
    ("proxies", "message"),
    [
        (["sinflow"], "did you mean 'synflow'"),
        (["synflow", "synflow"], "twice"),
        ({"whole": "synflow"}, "cannot be called 'whole'"),
        ({"macs": "synflow"}, "cannot be called 'macs'"),
        (["my_source:Nothing"], "cannot load the method"),
    ],
)
def test_a_bad_name_says_what_is_wrong(dataset: Dataset, proxies: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        rank(dataset, proxies)


def test_what_is_no_source_is_refused() -> None:
    with pytest.raises(InputError, match="is no source"):
        get_source("builtins:int")


def test_a_tenth_is_the_same_images_for_all_shuffled_anew(context: TrialContext) -> None:
    source = Tenth.make("tenth", Scope(context.settings, whole=36, proxy=6))
    assert (source.images, source.images_trained(context.settings)) == (4, 4)
    order = source.order()
    first, second = (torch.cat(list(order(torch.Generator().manual_seed(seed)))) for seed in (1, 2))
    assert sorted(first.tolist()) == sorted(second.tolist())
    assert len(set(first.tolist())) == 4
    other = Tenth.make("tenth", Scope(context.settings.model_copy(update={"seed": 1}), whole=36, proxy=6))
    assert sorted(torch.cat(list(other.order()(torch.Generator()))).tolist()) != sorted(first.tolist())


def test_a_tenth_is_scored_by_its_accuracy_or_by_its_loss(context: TrialContext) -> None:
    scope, name = Scope(context.settings, 36, 6), next(iter(context.candidates))
    sources = {"tenth": Tenth.make("tenth", scope), "tenth-loss": TenthLoss.make("tenth-loss", scope)}
    bench = Workbench(TrialContext(context.spec, context.settings, context.sets, sources, context.candidates))
    accuracy, loss = (bench.run(Job(source, name)) for source in sources)
    assert accuracy["score"] == accuracy["accuracy"] > 0
    assert loss["accuracy"] is None
    net = bench.train_job(Job("tenth-loss", name), lambda net, done: None)
    images, labels = bench.images("test").images, bench.images("test").labels
    spec = context.spec
    pixels = (images.float() / 255 - torch.tensor(spec.mean).view(-1, 1, 1)) / torch.tensor(spec.std).view(-1, 1, 1)
    expected = torch.nn.functional.cross_entropy(net.eval()(pixels), labels).item()
    assert -loss["score"] == pytest.approx(expected, rel=1e-4)


def test_trials_are_scored_on_as_many_test_images_as_asked(make_dataset: Callable[..., Dataset]) -> None:
    from search.driver import scored_on

    dataset = make_dataset(counts=12, test_count=20)
    part = scored_on(dataset, RankingSettings(score_images=7))
    assert len(part) == 7
    assert torch.equal(part.images, scored_on(dataset, RankingSettings(score_images=7)).images)
    assert not torch.equal(part.images, scored_on(dataset, RankingSettings(score_images=7, seed=1)).images)
    assert scored_on(dataset, RankingSettings(score_images=1000)) is dataset.test
    held = with_validation(dataset, 0.25)
    assert scored_on(held, RankingSettings()) is held.validation
    assert len(scored_on(held, RankingSettings(score_images=2))) == 2
