"""Generators split from one seed, and sampling without replacement."""

import statistics
import time
from collections.abc import Callable

import pytest
import torch

from proxyset.seeds import make_generator, sample


def test_streams_of_one_seed_are_independent_and_repeatable() -> None:
    def stream(*arguments: int | str) -> list[float]:
        return torch.rand(4, generator=make_generator(*arguments)).tolist()  # type: ignore[arg-type]

    assert stream(0, "condense", "dsa") == stream(0, "condense", "dsa")
    different = [stream(0, "condense", "dsa"), stream(1, "condense", "dsa"), stream(0, "evaluate", "dsa")]
    different += [stream(0, "evaluate", 1), stream(0, "evaluate", 11), stream(0, "evaluate", 1, 1)]
    assert len({tuple(numbers) for numbers in different}) == len(different)


def test_sample_is_without_replacement_and_uniform() -> None:
    generator = torch.Generator().manual_seed(0)
    counts = torch.zeros(10)
    for _ in range(2000):
        picked = sample(10, 4, generator)
        assert len(set(picked.tolist())) == 4
        counts[picked] += 1
    # each is picked with probability 0.4: 800 ± 22 (one standard deviation)
    assert (counts - 800).abs().max() < 5 * 22
    assert sorted(sample(7, 7, generator).tolist()) == list(range(7))
    assert sample(10**12, 2, generator).max() < 10**12


@pytest.mark.parametrize(("length", "count"), [(100, 40), (40, 40), (3000, 40), (100, 1), (5, 0)])
def test_samples_of_every_kind_are_distinct_and_cover_all(length: int, count: int) -> None:
    """Many picks of few numbers, few of many, all, one, none."""
    generator = torch.Generator().manual_seed(0)
    seen = torch.zeros(length)
    rounds = 400
    for _ in range(rounds):
        picked = sample(length, count, generator)
        assert picked.dtype == torch.int64
        assert len(picked.unique()) == len(picked) == count
        seen[picked] += 1
    expected = rounds * count / length
    assert (seen - expected).abs().max() <= 5.5 * max(1.0, expected**0.5)


@pytest.mark.parametrize(("length", "count"), [(1000, 10), (100, 40)])
def test_every_place_of_a_sample_is_uniform(length: int, count: int) -> None:
    generator = torch.Generator().manual_seed(1)
    rows = torch.stack([sample(length, count, generator) for _ in range(600)]).double()
    spread = (length**2 / 12 / 600) ** 0.5  # of a mean over 600 uniform numbers
    assert (rows.mean(0) - (length - 1) / 2).abs().max() < 5 * spread


def median_seconds(work: Callable[[], object]) -> float:
    spent = []
    for _ in range(60):
        started = time.perf_counter()
        work()
        spent.append(time.perf_counter() - started)
    return statistics.median(spent)


def test_sampling_is_as_fast_as_a_shuffle_at_the_size_of_a_class_of_cifar() -> None:
    generator = torch.Generator().manual_seed(0)

    def shuffled() -> torch.Tensor:
        return torch.randperm(5000, generator=generator)[:256]

    ratios = []
    for _ in range(3):  # on a busy machine the best of three says it
        ratios.append(median_seconds(lambda: sample(5000, 256, generator)) / median_seconds(shuffled))
    assert min(ratios) <= 1.5
