"""Learning that starts from the images of a proxy set in a file."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from proxyset.artefact.build import ProxySpec, build, build_file
from proxyset.artefact.proxy_set import ProxySet
from proxyset.artefact.same import is_same
from proxyset.artefact.starting import read_start
from proxyset.compute.plan import Engine
from proxyset.compute.session import Session
from proxyset.data.spec import Dataset
from proxyset.errors import InputError
from proxyset.methods.base import Problem
from proxyset.methods.coreset import Random
from proxyset.methods.dsa import DSA
from tests.proxyset.methods.made import make_context

CPU = Session(device="cpu", compile="off")


@pytest.fixture
def start(tiny: Dataset, tmp_path: Path) -> Path:
    path = tmp_path / "start.safetensors"
    build(tiny, Random(formation=2), 2, session=CPU, progress=False).save(path)
    return path


def method(init: Path, **settings: Any) -> DSA:
    small: dict[str, Any] = {"net": "mlp", "iterations": 2, "inner_steps": 1, "net_epochs": 1, "formation": 2}
    return DSA(**small | {"init": str(init), "lr_img": 1e-9} | settings)


def test_learning_starts_from_the_images_of_the_file(tiny: Dataset, start: Path) -> None:
    found = build(tiny, method(start), 2, session=CPU, progress=False)
    torch.testing.assert_close(found.data.images, ProxySet.load(start).data.images)
    assert found.provenance["settings"]["init"] == f"sha256:{ProxySet.load(start).data.sha256()}"
    learned = build(tiny, method(start, lr_img=1.0), 2, session=CPU, progress=False)
    assert not torch.equal(learned.data.images, found.data.images)


def test_the_file_counts_by_its_content_and_not_by_its_place(tiny: Dataset, start: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere.safetensors"
    shutil.copy(start, moved)
    first = ProxySpec(tiny, method(start), 2)
    assert ProxySpec(tiny, method(moved), 2).identity(Engine()) == first.identity(Engine())
    proxy = build_file(first, tmp_path / "set.safetensors", session=CPU, progress=False)
    assert is_same(proxy, ProxySpec(tiny, method(moved), 2), CPU)
    build(tiny, Random(formation=2), 2, seed=1, session=CPU, progress=False).save(moved)
    assert ProxySpec(tiny, method(moved), 2).identity(Engine()) != first.identity(Engine())


def test_stopped_and_resumed_equals_uninterrupted(tiny: Dataset, start: Path, tmp_path: Path) -> None:
    def stop(done: float, total: int, loss: float | None = None) -> None:
        raise KeyboardInterrupt

    wanted = ProxySpec(tiny, method(start, lr_img=1.0), 2)
    with pytest.raises(KeyboardInterrupt, match="1 steps are kept"):
        build_file(wanted, tmp_path / "set.safetensors", session=CPU, progress=stop)
    again = ProxySpec(tiny, method(start, lr_img=1.0), 2)
    found = build_file(again, tmp_path / "set.safetensors", session=CPU, progress=False)
    whole = build(tiny, method(start, lr_img=1.0), 2, session=CPU, progress=False)
    assert torch.equal(found.data.images, whole.data.images)


def test_a_file_of_other_images_is_refused(make_dataset: Callable[..., Dataset], tiny: Dataset, start: Path) -> None:
    for other, words in (
        (make_dataset(counts=(12, 9, 15), seed=1), "made from tiny, not from these images"),
        (make_dataset(counts=(12, 9, 15), size=12), "of other images than tiny: its size differs"),
        (make_dataset(counts=(12, 9, 15), flip=False), "of other images than tiny: its flip differs"),
    ):
        with pytest.raises(InputError, match=f"`init`.*{words}"):
            _ = ProxySpec(other, method(start), 2).problem
    with pytest.raises(InputError, match="`init`: that set has 6 images 1×8×8, but 3 of each of 3 classes"):
        build(tiny, method(start), 3, session=CPU)
    with pytest.raises(InputError, match="`init`: that set has `formation=2`, but 1 is wanted"):
        build(tiny, method(start, formation=1), 2, session=CPU)


def test_a_file_that_is_no_set_or_does_not_say_its_data_is_refused(tiny: Dataset, start: Path) -> None:
    with pytest.raises(InputError, match=r"`init`: no proxy set at 'missing.safetensors'"):
        read_start(method(Path("missing.safetensors")), tiny)
    proxy = ProxySet.load(start)
    ProxySet(proxy.data, proxy.spec).save(start)
    with pytest.raises(InputError, match="made from unknown data"):
        read_start(method(start), tiny)
    start.write_bytes(b"")
    with pytest.raises(InputError, match=r"`init`: .*not a whole"):
        read_start(method(start), tiny)


def test_methods_that_start_elsewhere_read_nothing(tiny: Dataset) -> None:
    assert read_start(Random(), tiny) is None
    assert read_start(DSA(), tiny) is None
    with pytest.raises(InputError, match="`init`: must be real, noise or"):
        DSA(init="other.npz")


def test_a_problem_without_its_start_is_refused(tiny: Dataset, start: Path) -> None:
    """`condense` itself reads no files."""
    with pytest.raises(InputError, match=r"`init=.*the problem has none as its `start`"):
        method(start).condense(Problem(tiny.train, tiny.spec, 2), make_context())
