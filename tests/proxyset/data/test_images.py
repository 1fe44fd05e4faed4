"""Labelled images: what they may hold, soft targets, hashing, splitting, joining."""

import hashlib
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from proxyset.data.images import ImageSet, join, one_hot, stratified_split
from proxyset.data.spec import Dataset
from proxyset.errors import InputError


def test_an_image_set_is_checked(make_dataset: Callable[..., Dataset]) -> None:
    images, labels = torch.zeros(2, 1, 8, 8), torch.zeros(2, dtype=torch.int64)
    for bad in (
        (images[0], labels),
        (images, labels[:1]),
        (images.double(), labels),
        (images, labels.int()),
    ):
        with pytest.raises(InputError):
            ImageSet(*bad)
    data = make_dataset(counts=(3, 2, 4)).train
    by_class = data.indices_by_class(4)
    assert [len(index) for index in by_class] == [3, 2, 4, 0]
    assert all((data.labels[index] == label).all() for label, index in enumerate(by_class))
    changed = ImageSet(data.images.clone(), data.labels)
    assert changed.sha256() == data.sha256()
    changed.images[0, 0, 0, 0] ^= 1
    assert changed.sha256() != data.sha256()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_set_with_values_that_are_no_numbers_is_refused(bad: float) -> None:
    images = torch.zeros(2, 1, 8, 8)
    images[1, 0, 3, 3] = bad
    with pytest.raises(InputError, match="NaN or infinite"):
        ImageSet(images, torch.tensor([0, 1]))


@settings(deadline=None, max_examples=30, derandomize=True)
@given(
    counts=st.lists(st.integers(2, 30), min_size=2, max_size=5),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**32 - 1),
)
def test_stratified_split_keeps_every_image_once_and_every_class_in_both(
    counts: list[int], fraction: float, seed: int
) -> None:
    labels = torch.cat([torch.full((count,), label) for label, count in enumerate(counts)])
    images = torch.arange(len(labels)).to(torch.uint8).view(-1, 1, 1, 1)
    train, test = stratified_split(ImageSet(images, labels), len(counts), fraction, torch.Generator().manual_seed(seed))
    together = torch.cat([train.images, test.images]).flatten().tolist()
    assert sorted(together) == list(range(len(labels)))
    for label, count in enumerate(counts):
        held_out = int((test.labels == label).sum())
        assert 1 <= held_out < count
        assert abs(held_out - fraction * count) <= 1


def soft_set(count: int = 6, classes: int = 3) -> ImageSet:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(count, 1, 8, 8, generator=generator)
    targets = torch.rand(count, classes, generator=generator).softmax(1)
    return ImageSet(images, torch.arange(count) % classes, targets)


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        (torch.full((6, 3), 1 / 3, dtype=torch.float64), "float32"),
        (torch.full((5, 3), 1 / 3), "float32, 6×classes"),
        (torch.full((6,), 1.0), "6×classes"),
        (torch.full((6, 3), 0.5), "of sum 1"),
        (torch.tensor([[1.5, -0.5, 0.0]]).expand(6, 3), "at least 0"),
        (torch.tensor([[float("nan"), 0.5, 0.5]]).expand(6, 3), "probabilities"),
        (torch.tensor([[0.5, 0.5]]).expand(6, 2), "2 classes, but there is a label 2"),
    ],
)
def test_targets_must_be_probabilities_of_every_class(targets: Tensor, words: str) -> None:
    data = soft_set()
    with pytest.raises(InputError, match=words):
        ImageSet(data.images, data.labels, targets)


def test_targets_follow_their_images() -> None:
    data = soft_set()
    assert data.targets is not None
    for index in (torch.tensor([4, 0, 4]), slice(1, 3)):
        part = data[index]
        assert part.targets is not None
        assert torch.equal(part.targets, data.targets[index])
        assert torch.equal(part.images, data.images[index])
    assert data[torch.arange(0)].targets is not None
    assert data.to("cpu").targets is not None
    first, second = stratified_split(data, 3, 0.5, torch.Generator().manual_seed(0))
    assert first.targets is not None
    assert second.targets is not None
    assert torch.equal(first.targets, data.targets[_positions(data, first)])


def _positions(data: ImageSet, part: ImageSet) -> Tensor:
    return torch.tensor([int((data.images == image).flatten(1).all(1).nonzero()) for image in part.images])


def test_answers_are_the_targets_where_there_are_any() -> None:
    data = soft_set()
    assert data.answers is data.targets
    hard = ImageSet(data.images, data.labels)
    assert hard.answers is hard.labels


def test_targets_change_the_hash_and_a_set_without_them_hashes_as_before() -> None:
    data = soft_set()
    assert data.targets is not None
    hard = ImageSet(data.images, data.labels)
    other = ImageSet(data.images, data.labels, data.targets.flip(1))
    assert len({data.sha256(), hard.sha256(), other.sha256()}) == 3
    digest = hashlib.sha256()  # written as version 0.1 did
    for tensor in (hard.images, hard.labels):
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)};".encode())
        digest.update(tensor.numpy().tobytes())
    assert hard.sha256() == digest.hexdigest()


def test_joined_sets_keep_hard_labels_where_all_have_them() -> None:
    data = soft_set()
    hard = ImageSet(data.images, data.labels)
    both = join([hard, hard[:2]], 3)
    assert both.targets is None
    assert both.labels.tolist() == [*hard.labels.tolist(), 0, 1]


def test_joined_with_soft_targets_labels_become_one_hot() -> None:
    data = soft_set()
    hard = ImageSet(data.images, data.labels)
    both = join([hard, data], 3)
    assert both.targets is not None
    assert data.targets is not None
    assert torch.equal(both.targets, torch.cat([one_hot(hard.labels, 3), data.targets]))
    assert torch.equal(both.labels, data.labels.repeat(2))
    assert one_hot(torch.tensor([2, 0]), 3).tolist() == [[0, 0, 1], [1, 0, 0]]
