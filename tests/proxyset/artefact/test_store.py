"""Proxy sets kept by what they are."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from proxyset.artefact import store as module
from proxyset.artefact.build import ProxySpec, build_file
from proxyset.artefact.proxy_set import ProxySet
from proxyset.artefact.store import is_same, load_or_build, store_path
from proxyset.compute.session import Session
from proxyset.data.spec import Dataset
from proxyset.methods.coreset import Random
from proxyset.methods.dsa import DC

CPU = Session(device="cpu", compile="off")
WORK = DC(net="mlp", iterations=1)


@pytest.fixture
def wanted(tiny: Dataset) -> ProxySpec:
    return ProxySpec(tiny, WORK, 2, seed=3)


def test_what_build_made_by_default_is_found_and_other_work_keeps_apart(wanted: ProxySpec, tmp_path: Path) -> None:
    plain = tmp_path / "tiny-dc-ipc2-seed3.safetensors"
    first = store_path(wanted, CPU, tmp_path)
    assert first != plain
    assert first.name.startswith("tiny-dc-ipc2-seed3-")
    build_file(wanted, plain, session=CPU, progress=False)
    assert store_path(wanted, CPU, tmp_path) == plain
    other = replace(wanted, method=DC(net="mlp", iterations=2))
    assert store_path(other, CPU, tmp_path) not in (plain, first)


def test_the_name_of_the_dataset_in_the_file_can_be_another(wanted: ProxySpec, tmp_path: Path) -> None:
    assert store_path(wanted, CPU, tmp_path, name="task1").name.startswith("task1-dc-ipc2-seed3-")


def test_a_set_is_the_same_whatever_computed_it_and_wherever_its_data_lies(wanted: ProxySpec, tmp_path: Path) -> None:
    proxy = build_file(wanted, tmp_path / "set.safetensors", session=CPU, progress=False)
    moved = replace(wanted, dataset=replace(wanted.dataset, source={"source": "/elsewhere"}))
    assert is_same(proxy, moved, CPU)
    assert is_same(proxy, moved, Session(device="cpu", compile="on", memory_limit=4))
    named = replace(wanted.dataset, spec=replace(wanted.dataset.spec, name="other"))
    assert is_same(proxy, replace(wanted, dataset=named), CPU)


def test_a_set_is_another_with_other_images_settings_budget_or_seed(
    wanted: ProxySpec, make_dataset: Callable[..., Dataset], tmp_path: Path
) -> None:
    proxy = build_file(wanted, tmp_path / "set.safetensors", session=CPU, progress=False)
    assert is_same(proxy, wanted, CPU)
    for other in (
        replace(wanted, dataset=make_dataset(seed=1)),
        replace(wanted, dataset=replace(wanted.dataset, spec=replace(wanted.dataset.spec, flip=False))),
        replace(wanted, method=Random()),
        replace(wanted, method=DC(net="mlp", iterations=1, lr_img=0.2)),
        replace(wanted, ipc=1),
        replace(wanted, seed=4),
    ):
        assert not is_same(proxy, other, CPU)


def test_one_begun_in_another_way_is_started_over(wanted: ProxySpec, tmp_path: Path) -> None:
    """Nobody can give --force to a set that a search or a stream keeps."""
    long = replace(wanted, method=DC(net="mlp", iterations=2))
    path = store_path(long, CPU, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        load_or_build(long, path, session=CPU, progress=stop)
    other = Session(device="cpu", compile="off", memory_limit=4)
    assert load_or_build(long, path, session=other, progress=False).provenance["memory_limit"] == 4 * 2**30
    assert not path.with_suffix(".checkpoint").exists()


def stop(done: float, total: int, loss: float | None = None) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("other", [True, False])
def test_a_checkpoint_beside_a_finished_set_stays_where_it_is_of_other_work(
    other: bool, wanted: ProxySpec, tmp_path: Path
) -> None:
    """Of the set itself it is what a kill left between writing the set and removing the checkpoint."""
    path = tmp_path / "set.safetensors"
    build_file(wanted, path, session=CPU, progress=False)
    begun = replace(wanted, method=DC(net="mlp", iterations=3)) if other else wanted
    with pytest.raises(KeyboardInterrupt):
        build_file(begun, path, session=CPU, progress=stop, force=True)
    unfinished = path.with_suffix(".checkpoint")
    assert unfinished.exists()
    load_or_build(wanted, path, session=CPU)
    assert unfinished.exists() == other


def test_data_that_moved_is_the_same_work(wanted: ProxySpec, tmp_path: Path) -> None:
    long, path = replace(wanted, method=DC(net="mlp", iterations=3)), tmp_path / "set.safetensors"
    whole = build_file(long, tmp_path / "whole.safetensors", session=CPU, progress=False)

    def stop(done: float, total: int, loss: float | None = None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_file(long, path, session=CPU, progress=stop)
    moved = replace(long, dataset=replace(long.dataset, source=long.dataset.source | {"source": "/elsewhere"}))
    assert build_file(moved, path, session=CPU, progress=False).data.sha256() == whole.data.sha256()


def test_it_is_built_once(wanted: ProxySpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = store_path(wanted, CPU, tmp_path)
    built = load_or_build(wanted, path, session=CPU, progress=False)
    assert ProxySet.load(path).data.sha256() == built.data.sha256()
    monkeypatch.setattr(module, "build_file", lambda *arguments, **options: pytest.fail("built again"))
    assert load_or_build(wanted, path, session=CPU, progress=False).data.sha256() == built.data.sha256()
