"""From names to proxy sets: found where they lie, built where they do not, refused where they cannot serve."""

from pathlib import Path

import pytest

from proxyset.cli import main as build_main
from proxyset.config import parse
from proxyset.data import Dataset, load
from proxyset.proxy import ProxySet
from proxyset.settings import InputError
from search.settings import Run, Schedule, part, resolve
from search.sources import make_sources, plan_proxies, provide
from tests.search.conftest import SMALL


def command(images: Path, *flags: str) -> Run:
    argv = ["--dataset", str(images), *SMALL.split(), *flags]
    return resolve(parse(Run, argv, "search run", pairs=True))


@pytest.fixture
def dataset(images: Path) -> Dataset:
    return load(images)


def test_a_missing_set_is_built_once_and_then_found(images: Path, dataset: Dataset) -> None:
    run = command(images, "--proxy", "random")
    (plan,) = plan_proxies(run, dataset)
    assert plan.missing
    built = provide(plan, run, dataset)
    assert len(built.data) == 6
    (again,) = plan_proxies(command(images, "--proxy", "random", "--no-build"), dataset)
    assert again.path == plan.path
    assert provide(again, run, dataset).data.sha256() == built.data.sha256()


def test_other_settings_are_another_set(images: Path, dataset: Dataset) -> None:
    flags = ([], ["--ipc", "1"], ["--seed", "1"], ["--iterations", "2"], ["--condense-net", "convnet-w4"])
    paths = {plan_proxies(command(images, "--proxy", "dsa", *flag), dataset)[0].path for flag in flags}
    assert len(paths) == len(flags)


def test_without_building_the_command_is_named_and_it_works(images: Path, dataset: Dataset) -> None:
    run = command(images, "--proxy", "dsa", "--no-build")
    with pytest.raises(InputError) as error:
        plan_proxies(run, dataset)
    words = str(error.value).split("to build it: ")[1].split()
    assert words[:2] == ["proxyset", "build"]
    with pytest.raises(SystemExit, match="0"):
        build_main(words[1:])
    (plan,) = plan_proxies(run, dataset)
    assert not plan.missing


def test_what_proxyset_build_made_under_its_own_name_is_used(images: Path, dataset: Dataset) -> None:
    run = command(images, "--proxy", "random")
    (plan,) = plan_proxies(run, dataset)
    plain = Path("proxysets/tiny-random-ipc2-seed0.safetensors")
    provide(plan, run, dataset).save(plain)
    assert plan_proxies(run, dataset)[0].path == plain
    other = command(images, "--proxy", "random", "--seed", "1")
    assert plan_proxies(other, dataset)[0].path != plain


def test_a_file_is_a_source_if_it_is_of_the_same_data(images: Path, dataset: Dataset, tiny: Dataset) -> None:
    from proxyset.builder import build
    from proxyset.methods import get_method

    build(dataset, get_method("random")(), 3).save("mine.safetensors")
    run = command(images, "--proxy", "mine.safetensors", "early-stop", "whole")
    (plan,) = plan_proxies(run, dataset)
    proxy = provide(plan, run, dataset)
    sources = make_sources(run, part(run, Schedule), dataset, [(plan, proxy)])
    assert list(sources) == ["mine", "early-stop", "params", "jacobian", "whole-again", "whole"]
    assert (sources["mine"].images, sources["early-stop"].batch) == (9, 9)
    build(tiny, get_method("random")(), 3).save("other.safetensors")
    run = command(images, "--proxy", "other.safetensors")
    with pytest.raises(InputError, match="made from other data"):
        provide(plan_proxies(run, dataset)[0], run, dataset)


@pytest.mark.parametrize(
    ("proxy", "message"),
    [
        (["dsaa"], "did you mean 'dsa'"),
        (["none.safetensors"], "no such file"),
        (["random", "random"], "twice"),
        (["early"], "did you mean 'early-stop'"),
    ],
)
def test_a_bad_proxy_says_what_is_wrong(images: Path, dataset: Dataset, proxy: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan_proxies(command(images, "--proxy", *proxy), dataset)


def test_an_impossible_set_is_refused_before_anything_is_built(images: Path, dataset: Dataset) -> None:
    with pytest.raises(InputError, match="ipc 13 is larger"):
        plan_proxies(command(images, "--proxy", "random", "--ipc", "13"), dataset)


def test_building_goes_on_after_an_interrupt(images: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    run = command(images, "--proxy", "dc", "--iterations", "4", "--ipc", "1")
    (plan,) = plan_proxies(run, dataset)
    whole = provide(plan, run, dataset).data.sha256()
    plan.path.unlink()

    class Interrupting:
        terminal = False

        def __init__(self, title: str) -> None: ...

        def __call__(self, done: int, total: int, loss: float | None = None) -> None:
            if done == 2:
                raise KeyboardInterrupt

        def close(self) -> None: ...

    with monkeypatch.context() as patch:
        patch.setattr("search.sources.ProgressLine", Interrupting)
        with pytest.raises(KeyboardInterrupt):
            provide(plan, run, dataset)
    assert plan.path.with_suffix(".checkpoint").exists()
    assert provide(plan, run, dataset).data.sha256() == whole
    assert ProxySet.load(plan.path).provenance["method"] == "dc"
