"""The memory: its budget, what it holds, how it is rehearsed."""

from pathlib import Path

import pytest
import torch

from continual.choose import provider_for
from continual.memory import Memory
from continual.providers import first_of_each_class
from continual.settings import Budget, Learning
from continual.stream import Stream
from continual.trainer import Trainer
from proxyset.artefact.build import build
from proxyset.compute.session import Session
from proxyset.data.images import ImageSet
from proxyset.data.spec import normalise
from proxyset.errors import InputError
from proxyset.methods.base import Method
from proxyset.methods.registry import get_method
from tests.continual.conftest import FEW, Soft

SETTINGS = {"dc": FEW, "dsa": FEW, "herding": ("epochs=1",), "k-center": ("epochs=1",), "forgetting": ("epochs=1",)}
SESSION = Session(device="cpu")


def memory(stream: Stream, name: str | Method, store: Path, seed: int = 0, **amount: int) -> Memory:
    settings = SETTINGS.get(name, ()) if isinstance(name, str) else ()
    budget = Budget(memory_settings=settings, store=store, **amount)
    trainer = Trainer(stream, Learning(net="convnet-w4-d1"), seed=seed, session=SESSION)
    return Memory(stream, budget, provider_for(name, budget, trainer, ranks_by_learner=False))


def pixels(data: ImageSet) -> set[bytes]:
    return {image.numpy().tobytes() for image in data.images}


@pytest.mark.parametrize("name", [*SETTINGS, "random"])
@pytest.mark.parametrize("amount", [{"ipc": 2}, {"budget": 13}, {"budget": 6}])
def test_never_exceeds_its_budget_and_is_balanced(
    growing: Stream, tmp_path: Path, name: str, amount: dict[str, int]
) -> None:
    kept = memory(growing, name, tmp_path, **amount)
    kept.check()
    assert kept.size(-1) == 0
    for stage in range(3):
        kept.add(stage)
        limit = amount.get("budget", 2 * growing.slots(stage))
        assert 0 < kept.report()["images"] == kept.size(stage) <= limit
        counts = kept.rehearsal(growing.seen(stage)).labels.bincount()
        assert len(counts) == growing.seen(stage)
        assert counts.unique().tolist() == [limit // growing.slots(stage)]


def test_what_was_given_up_is_not_expected_back(
    growing: Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images of the first task take four times the bytes: by themselves they would allow fewer than all tasks do."""
    pixels = growing.tasks[0].data.spec.size ** 2
    monkeypatch.setattr(Memory, "bytes_each", lambda self, task: pixels * (4 if task is growing.tasks[0] else 1))
    budget = Budget(ipc=4, equal="bytes", store=tmp_path)
    trainer = Trainer(growing, Learning(net="convnet-w4-d1"), session=SESSION)
    kept = Memory(growing, budget, provider_for("random", budget, trainer, ranks_by_learner=False))
    for stage in range(3):
        kept.add(stage)
        assert kept.quota(stage) == 1
        assert kept.report()["images"] == kept.size(stage)
    again = Memory(growing, budget, provider_for("random", budget, trainer, ranks_by_learner=False))
    again.set_state(kept.state(), 3)


@pytest.mark.parametrize("name", ["random", "herding", "k-center", "forgetting"])
@pytest.mark.parametrize("kind", ["growing", "domains"])
def test_holds_only_training_images_of_its_own_task(
    request: pytest.FixtureRequest, tmp_path: Path, name: str, kind: str
) -> None:
    stream: Stream = request.getfixturevalue(kind)
    assert get_method(name).picks_real
    kept = memory(stream, name, tmp_path, ipc=3)
    for stage, task in enumerate(stream.tasks):
        kept.add(stage)
        assert len(kept.kept) == stage + 1  # nothing of later tasks
        for images, seen in zip(kept.kept, stream.tasks, strict=False):
            assert pixels(images) <= pixels(seen.data.train)
            assert not pixels(images) & pixels(seen.data.test)
        assert task.data.train.images.dtype == torch.uint8


def test_rehearsal_is_normalised_by_task_and_labelled_in_the_stream(domains: Stream, tmp_path: Path) -> None:
    kept = memory(domains, "random", tmp_path, ipc=2)
    for stage in range(3):
        kept.add(stage)
    data = kept.rehearsal(3)
    assert data.labels.tolist() == [0, 0, 1, 1, 2, 2] * 3
    assert data.targets is None
    for stage, task in enumerate(domains.tasks):
        expected = normalise(kept.kept[stage].images, task.data.spec)
        assert torch.equal(kept.rehearsal(3, since=stage, until=stage + 1).images, expected)
    assert len(kept.rehearsal(3, until=2)) == 12


def test_real_images_take_a_byte_per_value_and_keep_their_pixels(growing: Stream, tmp_path: Path) -> None:
    real, synthetic, soft = (memory(growing, name, tmp_path, ipc=2) for name in ("random", "dsa", Soft()))
    for kept in (real, synthetic, soft):
        kept.add(0)
    assert real.report()["bytes"] == 4 * 64
    assert synthetic.report()["bytes"] == 4 * 64 * 4
    assert soft.report()["bytes"] == 4 * 64 * 4 + 4 * 2 * 4  # and the targets
    assert [kept.report()["soft_targets"] for kept in (real, synthetic, soft)] == [False, False, True]
    built = build(growing.tasks[0].data, "random", 2, seed=0, progress=False)
    assert torch.equal(real.rehearsal(2).images, built.data.images)


def test_shrinking_keeps_the_head_of_each_ranked_list(growing: Stream, tmp_path: Path) -> None:
    kept = memory(growing, "herding", tmp_path, budget=12)
    kept.add(0)
    before = kept.kept[0]
    assert len(before) == 12
    kept.add(1)
    assert torch.equal(kept.kept[0].images, first_of_each_class(before, 2, 3).images)
    assert torch.equal(kept.kept[0].images[:3], before.images[:3])
    assert torch.equal(kept.kept[0].images[3:], before.images[6:9])


def test_a_budget_smaller_than_the_classes_is_refused(growing: Stream, domains: Stream, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`budget=5` is smaller than the 6 classes"):
        memory(growing, "random", tmp_path, budget=5).check()
    with pytest.raises(InputError, match="`budget=8` is smaller than the 9 classes"):
        memory(domains, "random", tmp_path, budget=8).check()
    memory(growing, "joint", tmp_path, budget=5).check()  # has no budget


@pytest.mark.parametrize("name", ["random", "soft", "joint", "none"])
def test_its_state_brings_it_back(growing: Stream, tmp_path: Path, name: str) -> None:
    def make() -> Memory:
        return memory(growing, Soft() if name == "soft" else name, tmp_path, ipc=2)

    kept, again = make(), make()
    for stage in range(2):
        kept.add(stage)
    again.set_state(kept.state(), 2)
    assert again.report() == kept.report()
    assert [data.sha256() for data in again.kept] == [data.sha256() for data in kept.kept]
