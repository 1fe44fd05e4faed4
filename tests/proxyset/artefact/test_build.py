"""From a dataset and a method to a set with its provenance; stopped, resumed, started over."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import proxyset
from proxyset.artefact.build import ProxySpec, build, build_file, checkpoint_path
from proxyset.artefact.proxy_set import ProxySet
from proxyset.checkpoint import read_step
from proxyset.compute.plan import Engine
from proxyset.compute.session import Session
from proxyset.data.images import ImageSet, one_hot
from proxyset.data.spec import Dataset
from proxyset.errors import InputError, RunError
from proxyset.methods.coreset import Herding, Random
from proxyset.methods.dsa import DC, DSA
from tests.proxyset.spy import spied

SMALL = DC(net="mlp", iterations=3, inner_steps=2, net_epochs=1)
CPU = Session(device="cpu", compile="off")


def test_a_checkpoint_does_not_change_the_bits(tiny: Dataset, tmp_path: Path) -> None:
    plain = build(tiny, SMALL, 2, seed=5, session=CPU)
    kept = build_file(ProxySpec(tiny, SMALL, 2, 5), tmp_path / "set.safetensors", session=CPU, every=1)
    assert torch.equal(plain.data.images, kept.data.images)
    assert not torch.equal(plain.data.images, build(tiny, SMALL, 2, seed=6, session=CPU).data.images)
    assert plain.spec == tiny.spec
    assert plain.provenance["seed"] == 5


def test_identity_changes_with_all_that_changes_the_bits(tiny: Dataset, make_dataset: Callable[..., Dataset]) -> None:
    base = ProxySpec(tiny, Herding(), 1).identity(Engine())
    assert ProxySpec(tiny, Herding(), 1).identity(Engine()) == base
    for other in (
        ProxySpec(make_dataset(seed=1), Herding(), 1).identity(Engine()),
        ProxySpec(tiny, Herding(epochs=3), 1).identity(Engine()),
        ProxySpec(tiny, Random(), 1).identity(Engine()),
        ProxySpec(tiny, Herding(), 2).identity(Engine()),
        ProxySpec(tiny, Herding(), 1, seed=1).identity(Engine()),
        ProxySpec(tiny, Herding(), 1).identity(Engine(torch.device("cuda"))),
        ProxySpec(tiny, Herding(), 1).identity(Engine(precision="bf16")),
        ProxySpec(tiny, Herding(), 1).identity(Engine(compiled=True)),
    ):
        assert other != base


def test_the_provenance_says_what_made_the_set(tiny: Dataset) -> None:
    facts = build(tiny, DSA(net="mlp", iterations=1), 2, seed=4, session=CPU).provenance
    assert facts["dataset"] == tiny.source | {"sha256": tiny.sha256, "images": 36}
    assert (facts["method"], facts["ipc"], facts["seed"]) == ("dsa", 2, 4)
    assert facts["settings"]["inner_steps"] == 2
    assert (facts["device_type"], facts["device"], facts["precision"], facts["compile"]) == (
        "cpu",
        "cpu",
        "fp32",
        "off",
    )
    assert facts["threads"] == torch.get_num_threads()
    assert facts["versions"]["torch"] == torch.__version__
    assert facts["versions"]["proxyset"] == proxyset.__version__
    assert facts["seconds"] >= 0
    assert facts["peak_memory_bytes"] > 2**20
    assert facts["scores"] == []


def test_a_method_is_named_or_given(tiny: Dataset) -> None:
    by_name = build(tiny, "random", 2, seed=1, session=CPU)
    assert by_name.data.sha256() == build(tiny, Random(), 2, seed=1, session=CPU).data.sha256()
    with pytest.raises(InputError, match="did you mean 'random'"):
        build(tiny, "rando", 2)
    with pytest.raises(InputError, match="`ipc=10`"):
        build(tiny, "random", 10, session=CPU)


def test_the_provenance_loads_the_dataset_again_from_any_folder(
    tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "mine.npz", images=tiny.train.images.numpy(), labels=tiny.train.labels.numpy())
    monkeypatch.chdir(tmp_path)
    facts = build(proxyset.load("mine.npz"), "random", 2, session=CPU).provenance["dataset"]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = proxyset.load(**{name: value for name, value in facts.items() if name not in ("sha256", "images")})
    assert again.sha256 == facts["sha256"]


# In a file, whatever happens.


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "set.safetensors"


def stop_at(iterations: float) -> Callable[..., None]:
    def progress(done: float, total: int, loss: float | None = None) -> None:
        if done >= iterations:
            raise KeyboardInterrupt

    return progress


def stopped(wanted: ProxySpec, path: Path, iterations: float = 1.5, **options: Any) -> None:
    with pytest.raises(KeyboardInterrupt, match="3 steps are kept"):
        build_file(wanted, path, session=CPU, progress=stop_at(iterations), **options)
    assert not path.exists()
    assert read_step(checkpoint_path(path)) == 3


def test_an_interrupted_file_goes_on_and_leaves_nothing_beside_it(tiny: Dataset, path: Path) -> None:
    wanted = ProxySpec(tiny, SMALL, 2)
    stopped(wanted, path)
    seen: list[float] = []
    proxy = build_file(wanted, path, session=CPU, progress=lambda done, total, loss=None: seen.append(done))
    assert seen == [2, 2.5, 3]  # iterations of two steps
    assert proxy.data.sha256() == build(tiny, SMALL, 2, session=CPU).data.sha256()
    assert ProxySet.load(path).data.sha256() == proxy.data.sha256()
    assert [file.name for file in path.parent.iterdir()] == ["set.safetensors"]


def test_other_work_is_refused_and_force_starts_over(tiny: Dataset, path: Path) -> None:
    stopped(ProxySpec(tiny, SMALL, 2), path)
    other = ProxySpec(tiny, SMALL, 2, seed=1)
    with pytest.raises(InputError, match=r"other work \(different: seed\).*`force=True` starts over"):
        build_file(other, path, session=CPU, progress=False)
    seen: list[float] = []
    build_file(other, path, session=CPU, force=True, progress=lambda done, total, loss=None: seen.append(done))
    assert len(seen) == 6


def test_a_state_is_written_every_so_many_iterations(tiny: Dataset, path: Path) -> None:
    written: list[int] = []

    def note(done: float, total: int, loss: float | None = None) -> None:
        written.append(read_step(checkpoint_path(path)))

    build_file(ProxySpec(tiny, SMALL, 2), path, session=CPU, progress=note, every=2)
    assert written == [0, 0, 0, 4, 4, 4]  # two steps each


def test_a_failure_says_where_the_last_good_state_is(tiny: Dataset, path: Path) -> None:
    wanted = ProxySpec(tiny, DC(net="mlp", iterations=30, distance="mse", lr_img=1e25), 2)
    with pytest.raises(RunError, match=r"the loss became") as raised:
        build_file(wanted, path, session=CPU, progress=False)
    assert (str(checkpoint_path(path)) in str(raised.value)) == checkpoint_path(path).exists()


def test_the_training_set_is_hashed_once(tiny: Dataset, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[int] = []
    digest = ImageSet.sha256
    monkeypatch.setattr(ImageSet, "sha256", spied(digest, hashed, len))
    for seed in range(2):
        build_file(ProxySpec(tiny, SMALL, 2, seed), path.with_stem(f"set{seed}"), session=CPU, progress=False)
    assert hashed.count(len(tiny.train)) == 1


# Threads.


@pytest.fixture
def two_threads_after() -> Iterator[Callable[[], None]]:
    """Gives what changes the number of threads; it is put back at the end."""
    before = torch.get_num_threads()
    yield lambda: torch.set_num_threads(before + 1)
    torch.set_num_threads(before)


def test_going_on_with_other_threads_is_said_once_and_works(
    tiny: Dataset, path: Path, two_threads_after: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    wanted = ProxySpec(tiny, SMALL, 2)
    stopped(wanted, path)
    two_threads_after()
    proxy = build_file(wanted, path, session=CPU, progress=False)
    assert len(caplog.messages) == 1
    assert "1 thread, this process has 2" in caplog.messages[0]
    assert proxy.provenance["threads"] == 2
    assert proxy.data.images.isfinite().all()


def test_going_on_with_the_same_threads_says_nothing(
    tiny: Dataset, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stopped(ProxySpec(tiny, SMALL, 2), path)
    build_file(ProxySpec(tiny, SMALL, 2), path, session=CPU, progress=False)
    assert not caplog.messages


# Soft targets of the real images.


def test_methods_that_go_by_labels_say_so_once(tiny: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    train = ImageSet(tiny.train.images, tiny.train.labels, one_hot(tiny.train.labels, 3))
    soft, session = Dataset(train, tiny.test, tiny.spec), Session(device="cpu", compile="off")
    for _ in range(2):
        by_label = build(soft, SMALL, 2, session=session)
    assert len(caplog.messages) == 1
    assert "dc goes by labels" in caplog.messages[0]
    assert by_label.data.sha256() == build(tiny, SMALL, 2, session=session).data.sha256()
    assert build(soft, Random(), 2, session=session).data.targets is not None
    assert len(caplog.messages) == 1
