"""From names to proxy sets: used where they lie, built where they do not, refused where they cannot serve."""

from pathlib import Path
from typing import Any

import pytest

from proxyset.artefact.build import build
from proxyset.artefact.proxy_set import ProxySet
from proxyset.cli.app import main as build_main
from proxyset.compute.session import Session
from proxyset.data.load import load
from proxyset.data.spec import Dataset
from proxyset.errors import InputError
from proxyset.methods.dsa import DSA
from proxyset.progress import Progress, silent
from search.settings import RankingSettings, fill
from search.sources.base import Scope
from search.sources.make import make_sources
from search.sources.proxies import PlannedProxy, Proxies, SourcePlan, obtain, plan_sources
from search.sources.registry import FREE

SETTINGS = fill(
    RankingSettings(ipc=2, epochs=2, whole_epochs=1, batch_size=256, iterations=1, condense_net="mlp"), "tiny"
)
SESSION = Session(device="cpu")


def plan(proxies: Proxies, dataset: Dataset, **settings: Any) -> SourcePlan:
    return plan_sources(proxies, dataset, SETTINGS.model_copy(update=settings), SESSION)


def plan_one(proxy: str, dataset: Dataset, **settings: Any) -> PlannedProxy:
    return plan([proxy], dataset, **settings).proxies[0]


def provide(planned: PlannedProxy, progress: Progress = silent) -> ProxySet:
    return obtain(planned, SESSION, progress)


@pytest.fixture
def dataset(images: Path) -> Dataset:
    return load(images)


def test_a_missing_set_is_built_once_and_used_again(dataset: Dataset) -> None:
    planned = plan_one("random", dataset)
    assert planned.missing
    built = provide(planned)
    assert len(built.data) == 6
    again = plan_one("random", dataset, build=False)
    assert again.path == planned.path
    assert provide(again).data.sha256() == built.data.sha256()


def test_other_settings_are_another_set(dataset: Dataset) -> None:
    changes: tuple[dict[str, Any], ...] = (
        {},
        {"ipc": 1},
        {"seed": 1},
        {"iterations": 2},
        {"condense_net": "convnet-w4"},
    )
    paths = {plan_one("dsa", dataset, **change).path for change in changes}
    assert len(paths) == len(changes)


def test_what_is_left_open_is_the_methods_default(dataset: Dataset) -> None:
    planned = plan_one("dsa", dataset, iterations=None, condense_net=None)
    assert planned.wanted is not None
    assert planned.wanted.method == DSA()


def test_without_building_the_command_is_named_and_it_works(dataset: Dataset) -> None:
    with pytest.raises(InputError) as error:
        plan(["dsa"], dataset, build=False)
    words = str(error.value).split("to build it: ")[1].split()
    assert words[:2] == ["proxyset", "build"]
    with pytest.raises(SystemExit, match="0"):
        build_main(words[1:])
    assert not plan_one("dsa", dataset, build=False).missing


def test_what_proxyset_build_made_under_its_own_name_is_used(dataset: Dataset) -> None:
    planned = plan_one("random", dataset)
    plain = Path("proxysets/tiny-random-ipc2-seed0.safetensors")
    provide(planned).save(plain)
    assert plan_one("random", dataset).path == plain
    assert plan_one("random", dataset, seed=1).path != plain


def test_a_file_is_a_source_if_it_is_of_the_same_data(dataset: Dataset, tiny: Dataset) -> None:
    build(dataset, "random", 3, progress=False).save(Path("mine.safetensors"))
    planned = plan(["mine.safetensors", "early-stop", "whole"], dataset)
    proxies = [provide(one) for one in planned.proxies]
    sources = make_sources(planned, proxies, dataset, SETTINGS)
    assert list(sources) == ["mine", "early-stop", *FREE, "whole-again", "whole"]
    assert [source.free for source in sources.values()] == [False, False, *[True] * len(FREE), False, False]
    assert (sources["mine"].images, sources["early-stop"].facts()["batch"]) == (9, 9)
    build(tiny, "random", 3, progress=False).save(Path("other.safetensors"))
    with pytest.raises(InputError, match="made from other data"):
        provide(plan_one("other.safetensors", dataset))


def test_objects_and_names_of_ones_own(dataset: Dataset) -> None:
    """From Python: a method with its settings, a proxy set in memory, under names that the tables should have."""
    given = build(dataset, "random", 1, progress=False)
    method = DSA(iterations=1, net="mlp")
    planned = plan({"dsa-1": method, "mine": given}, dataset).proxies
    assert [one.name for one in planned] == ["dsa-1", "mine"]
    assert planned[0].wanted is not None
    assert planned[0].wanted.method == method
    assert provide(planned[1]) is given
    assert [one.name for one in plan([method, given], dataset).proxies] == ["dsa", "random"]
    other = ProxySet(given.data, given.spec, given.provenance | {"dataset": {"sha256": "0"}})
    with pytest.raises(InputError, match="made from other data"):
        provide(plan([other], dataset).proxies[0])


def test_a_method_of_ones_own_is_named_by_its_module(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("my_method.py").write_text(MEAN)
    monkeypatch.syspath_prepend(".")
    planned = plan_one("my_method:Mean", dataset)
    assert planned.name == "mean"
    proxy = provide(planned)
    assert proxy.data.targets is not None
    with pytest.raises(InputError, match="--method my_method:Mean"):
        plan(["my_method:Mean"], dataset, build=False, seed=1)
    with pytest.raises(InputError, match="cannot load the method"):
        plan(["my_method:Meen"], dataset)


MEAN = """
import torch
from proxyset import ImageSet, Method
from proxyset.data.spec import normalise

class Mean(Method):
    name = "mean"

    def condense(self, problem, context):
        real, spec = problem.real, problem.spec
        means = torch.stack([normalise(real.images[index], spec).mean(0) for index in problem.classes])
        images = means.repeat_interleave(problem.ipc, 0)
        images = images + torch.randn(images.shape, generator=context.generator)
        targets = torch.full((len(images), spec.classes), 0.1 / spec.classes)
        targets[torch.arange(len(images)), problem.labels] += 0.9
        return ImageSet(images, problem.labels, targets)
"""


def test_early_stopping_has_the_name_that_it_is_given(dataset: Dataset) -> None:
    scope = Scope(fill(RankingSettings(), "tiny"), 36, 3)
    ((name, kind),) = plan({"as long": "early-stop"}, dataset).named.items()
    assert kind.make(name, scope).name == name == "as long"


@pytest.mark.parametrize("taken", ["params", "random", "whole", "train"])
def test_a_column_that_is_called_like_another_ranking_is_refused(dataset: Dataset, taken: str) -> None:
    settings = RankingSettings(truth_file="t.csv", truth_column="long", rank_columns=(taken,))
    with pytest.raises(InputError, match=f"`rank_columns` has '{taken}'"):
        plan_sources(["random"], dataset, settings, Session(device="cpu"))


@pytest.mark.parametrize(
    ("proxy", "message"),
    [
        (["dsaa"], "did you mean 'dsa'"),
        (["none.safetensors"], "no such file"),
        (["random", "random"], "twice"),
        (["whole", "whole"], "twice"),
        (["early"], "did you mean 'early-stop'"),
        ([], "at least one"),
        ({"train": "random"}, "cannot be called 'train'"),
        ({"ceiling": "whole"}, "noise ceiling, which has no other name, got 'ceiling'"),
    ],
)
def test_a_bad_proxy_says_what_is_wrong(dataset: Dataset, proxy: Proxies, message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan(proxy, dataset)


def test_an_impossible_set_is_refused_before_anything_is_built(dataset: Dataset) -> None:
    with pytest.raises(InputError, match="ipc=13"):
        plan(["random"], dataset, ipc=13)


def test_building_goes_on_after_an_interrupt(dataset: Dataset) -> None:
    planned = plan_one("dc", dataset, iterations=4, ipc=1)
    assert planned.path is not None
    whole = provide(planned).data.sha256()
    planned.path.unlink()

    def interrupt(done: float, total: int, loss: float | None = None) -> None:
        if done >= 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        provide(planned, interrupt)
    assert planned.path.with_suffix(".checkpoint").exists()
    assert provide(planned).data.sha256() == whole
    assert ProxySet.load(planned.path).provenance["method"] == "dc"


def test_what_a_trial_costs(dataset: Dataset) -> None:
    """Early stopping trains on as many images as a proxy does; the whole set on all of them, each epoch."""
    planned = plan(["random", "early-stop", "whole"], dataset)
    sources = make_sources(planned, [provide(planned.proxies[0])], dataset, SETTINGS)
    costs = {name: source.images_trained(SETTINGS) for name, source in sources.items()}
    whole = len(dataset.train)
    assert costs == {
        "random": 12, "early-stop": 12, **dict.fromkeys(FREE, 0), "whole-again": whole, "whole": whole,
    }  # fmt: skip
