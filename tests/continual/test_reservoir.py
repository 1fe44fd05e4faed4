"""Reservoir sampling: a uniform draw from everything so far."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from continual.api import learn_stream
from continual.loading import join_domains, split_classes
from continual.memory import Memory
from continual.reservoir import Reservoir
from continual.settings import Budget, Learning
from continual.stream import Stream
from proxyset.data.images import one_hot
from proxyset.data.spec import Dataset
from proxyset.errors import InputError
from tests.continual.conftest import renamed, stopped_and_resumed, untimed


def filled(stream: Stream, seed: int, **amount: Any) -> Memory:
    kept = Memory(stream, Budget(**amount), Reservoir(stream, seed))
    kept.check()
    for stage in range(len(stream.tasks)):
        kept.add(stage)
    return kept


@pytest.mark.parametrize("amount", [{"budget": 12}, {"ipc": 2}, {"ipc": 2, "equal": "bytes"}])
def test_every_image_so_far_is_as_likely(make_dataset: Callable[..., Dataset], amount: dict[str, Any]) -> None:
    """A task with three times the images has three times as many in memory, on average over seeds. So many per class
    are those of the whole stream from the start: had the memory grown, the first task would have given up too much.
    """
    sets = [renamed(make_dataset(counts=counts), f"set{counts}") for counts in (8, 24)]
    stream = join_domains(sets)
    shares = []
    for seed in range(60):
        kept = filled(stream, seed, **amount)
        assert sum(len(data) for data in kept.kept) == 12
        shares.append(len(kept.kept[1]) / 12)
    spread = (0.75 * 0.25 / 12 / 60) ** 0.5
    assert abs(sum(shares) / 60 - 0.75) < 4 * spread


def test_bytes_of_soft_targets_count_in_advance(make_dataset: Callable[..., Dataset]) -> None:
    """64 pixels and three probabilities of four bytes."""
    hard = make_dataset(counts=8)
    soft = replace(hard, train=replace(hard.train, targets=one_hot(hard.train.labels, 3)))
    kept = filled(join_domains([renamed(soft, "one"), renamed(soft, "two")]), 0, budget_bytes=8 * (64 + 12))
    assert sum(len(data) for data in kept.kept) == 8


def test_what_was_given_up_never_comes_back(growing: Stream) -> None:
    kept = Memory(growing, Budget(budget=12), Reservoir(growing, 0))
    before: set[bytes] = set()
    for stage in range(3):
        kept.add(stage)
        now = {image.numpy().tobytes() for image in kept.kept[0].images}
        assert not before or now <= before
        before = now


def test_its_size_is_that_of_the_whole_stream_from_the_start(make_dataset: Callable[..., Dataset]) -> None:
    """Ten classes in five steps, nine images each: 30 after the second step as after the last."""
    stream = split_classes(make_dataset(classes=10, counts=9, flip=False), 5, seed=0)
    kept = Memory(stream, Budget(ipc=3), Reservoir(stream, 0))
    sizes = []
    for stage in range(5):
        kept.add(stage)
        sizes.append(sum(len(part) for part in kept.kept))
    assert sizes == [18, 30, 30, 30, 30] == [kept.size(stage) for stage in range(5)]


def test_more_than_was_seen_is_refused(growing: Stream) -> None:
    with pytest.raises(InputError, match="a reservoir of 66 images has more than the 60 of all tasks"):
        Memory(growing, Budget(ipc=11), Reservoir(growing, 0)).check()


@pytest.mark.parametrize("budget", [Budget(budget=10_000), Budget(budget_bytes=10_000_000)])
def test_a_reservoir_that_is_not_full_holds_what_was_seen(growing: Stream, budget: Budget) -> None:
    kept = Memory(growing, budget, Reservoir(growing, 0))
    kept.check()
    for stage in range(3):
        kept.add(stage)
        seen = sum(len(task.data.train) for task in growing.tasks[: stage + 1])
        assert seen - growing.slots(stage) < sum(len(part) for part in kept.kept) == kept.size(stage) <= seen


def test_a_run_with_it_goes_on(growing: Stream, quick: Learning, tmp_path: Path) -> None:
    budget = Budget(budget=12, store=tmp_path)
    whole = learn_stream(growing, "reservoir", budget, quick)
    assert whole["memory_kept"]["images"] == 12
    resumed = stopped_and_resumed(growing, "reservoir", budget, quick, tmp_path / "run")
    assert untimed(resumed) == untimed(whole)
    assert torch.tensor(whole["matrix"][0][0]) >= 0


def test_what_cannot_be_condensed_again_is_refused_before_the_work(make_dataset: Callable[..., Dataset]) -> None:
    stream = join_domains([renamed(make_dataset(counts=8), name) for name in ("first", "second")])
    with pytest.raises(InputError, match="recondense"):
        Memory(stream, Budget(budget=12, shrink="recondense"), Reservoir(stream, 0)).check()
