"""Budgets in bytes, and memories that are kept in fewer bytes."""

from pathlib import Path

import pytest
import torch

from continual.api import learn_stream
from continual.choose import provider_for
from continual.kept import bytes_of, packed, settled, unpacked
from continual.memory import Memory
from continual.settings import Budget, Learning
from continual.stream import Stream
from continual.trainer import Trainer
from proxyset.compute.session import Session
from proxyset.data.images import ImageSet, one_hot
from proxyset.errors import InputError
from proxyset.methods.base import Method
from proxyset.methods.coreset import Random
from proxyset.methods.dm import DM
from proxyset.methods.krr import KRR
from proxyset.settings import KeepAs
from tests.continual.conftest import Soft, stopped_and_resumed, untimed

DM_FEW = DM(net="convnet-w4-d1", iterations=1, batch_real=4, augment="none")
KRR_FEW = KRR(net="convnet-w4-d1", iterations=1, batch_real=4, augment="none", pool=1)
PIXELS = 64  # of the images of these streams, in one channel


def memory(stream: Stream, method: str | Method, budget: Budget) -> Memory:
    trainer = Trainer(stream, Learning(net="convnet-w4-d1"), session=Session(device="cpu"))
    return Memory(stream, budget, provider_for(method, budget, trainer, ranks_by_learner=False))


@pytest.mark.parametrize("keep_as", ["float32", "float16", "uint8"])
@pytest.mark.parametrize("method", [Random(), Random(formation=2), DM_FEW, KRR_FEW], ids=["r", "r2", "dm", "krr"])
def test_no_memory_exceeds_its_bytes_and_one_more_of_each_class_would(
    growing: Stream, tmp_path: Path, method: Method, keep_as: KeepAs
) -> None:
    most = 1100
    kept = memory(growing, method, Budget(budget_bytes=most, keep_as=keep_as, store=tmp_path))
    for stage in range(2):
        kept.add(stage)
        taken, per_class = kept.report()["bytes"], kept.quota(stage)
        assert taken == growing.slots(stage) * per_class * kept.bytes_each(growing.tasks[0]) <= most
        all_there_is = per_class == 10 // method.tiles()
        assert all_there_is or taken + growing.slots(stage) * kept.bytes_each(growing.tasks[0]) > most
        assert kept.rehearsal(growing.seen(stage)).labels.bincount().unique().tolist() == [per_class * method.tiles()]


def test_equal_bytes_are_those_of_as_many_real_images(growing: Stream, tmp_path: Path) -> None:
    counts = {}
    for keep_as in ("float32", "float16", "uint8"):
        for method in (Random(), DM_FEW, KRR_FEW):
            budget = Budget(ipc=4, equal="bytes", keep_as=keep_as, store=tmp_path)
            counts[method.name, keep_as] = memory(growing, method, budget).quota(2)
    assert [counts["random", kind] for kind in ("float32", "float16", "uint8")] == [4, 4, 4]
    assert [counts["dm", kind] for kind in ("float32", "float16", "uint8")] == [1, 2, 4]
    assert counts["krr", "uint8"] == 3  # its targets take bytes too
    assert memory(growing, "random", Budget(budget=12, equal="bytes", store=tmp_path)).quota(2) == 2


@pytest.mark.parametrize("keep_as", ["float32", "float16", "uint8"])
@pytest.mark.parametrize("pixels", [True, False])
@pytest.mark.parametrize("soft", [True, False])
def test_what_is_kept_takes_its_bytes_and_reads_back(
    generator: torch.Generator, keep_as: KeepAs, pixels: bool, soft: bool
) -> None:
    images = torch.randn(6, 3, 8, 8, generator=generator)
    labels = torch.arange(2).repeat_interleave(3)
    targets = torch.softmax(torch.randn(6, 2, generator=generator), 1) if soft else None
    data = ImageSet((images * 40 + 128).clamp(0, 255).byte() if pixels else images, labels, targets)
    data = settled(data, keep_as)
    tensors = packed(data, keep_as)
    stored = sum(tensors[name].nbytes for name in ("images", "targets") if name in tensors)
    assert stored == bytes_of(data, keep_as)
    assert unpacked(tensors).sha256() == data.sha256()
    few = data[torch.tensor([0, 3])]  # a shrunken memory is packed again, and loses nothing
    assert unpacked(packed(few, keep_as)).sha256() == few.sha256()


def test_a_byte_a_value_is_near_what_was_learned(growing: Stream, tmp_path: Path) -> None:
    sets = [memory(growing, DM_FEW, Budget(ipc=2, keep_as=kind, store=tmp_path)) for kind in ("float32", "uint8")]
    for kept in sets:
        kept.add(0)
    exact, rough = (kept.kept[0].images for kept in sets)
    assert not torch.equal(exact, rough)
    spread = float(exact.max() - exact.min())
    torch.testing.assert_close(rough, exact, atol=2 * spread / 255, rtol=0)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1  # condensed once, for both


def test_targets_that_were_not_announced_are_refused_where_bytes_are_counted(growing: Stream, tmp_path: Path) -> None:
    kept = memory(growing, Soft(), Budget(budget_bytes=2 * PIXELS * 4, store=tmp_path))
    with pytest.raises(InputError, match="has no setting `targets`"):
        kept.add(0)


def test_amounts_that_are_none(growing: Stream, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give one of them"):
        Budget(budget=3, budget_bytes=300)
    with pytest.raises(InputError, match="counts bytes already"):
        Budget(equal="bytes", budget_bytes=300)
    for words in ("300", "3 parsecs", "-3KiB"):
        with pytest.raises(InputError, match="`budget_bytes`"):
            Budget(budget_bytes=words)
    assert Budget(budget_bytes="1.5KiB").budget_bytes == 1536
    with pytest.raises(InputError, match="one takes 256 bytes here"):
        memory(growing, DM_FEW, Budget(budget_bytes=1000, store=tmp_path)).check()


def test_a_run_in_bytes_goes_on_after_a_stop(growing: Stream, quick: Learning, tmp_path: Path) -> None:
    budget = Budget(budget_bytes=1700, keep_as="uint8", store=tmp_path)
    whole = learn_stream(growing, KRR_FEW, budget, quick, folder=tmp_path / "whole")
    assert whole["budget"] == {"budget_bytes": 1700}
    assert (whole["keep_as"], whole["memory_kept"]["bytes"] <= 1700) == ("uint8", True)
    resumed = stopped_and_resumed(growing, KRR_FEW, budget, quick, tmp_path / "stopped")
    assert untimed(resumed) == untimed(whole)


def test_a_shrinking_memory_can_be_condensed_again(growing: Stream, tmp_path: Path) -> None:
    heads, again = (
        memory(growing, DM_FEW, Budget(budget=12, shrink=shrink, store=tmp_path)) for shrink in ("head", "recondense")
    )
    for kept in (heads, again):
        kept.add(0)
        kept.add(1)
    assert [len(data) for data in again.kept] == [len(data) for data in heads.kept] == [6, 6]
    assert not torch.equal(again.kept[0].images, heads.kept[0].images)
    assert torch.equal(again.kept[1].images, heads.kept[1].images)


def test_recondensing_picks_from_what_is_kept(growing: Stream, tmp_path: Path) -> None:
    kept = memory(growing, Random(), Budget(budget=12, shrink="recondense", store=tmp_path))
    kept.add(0)
    before = {image.numpy().tobytes() for image in kept.kept[0].images}
    kept.add(1)
    after = {image.numpy().tobytes() for image in kept.kept[0].images}
    assert after < before


def test_one_hot_targets_keep_their_labels() -> None:
    targets = one_hot(torch.arange(3), 3)
    data = settled(ImageSet(torch.zeros(3, 1, 8, 8), torch.arange(3), targets), "uint8")
    assert torch.equal(data.answers, targets)
