"""Herding against brute force, k-center's guarantee, forgetting events against a hand-made sequence, features."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from proxyset.data.spec import Dataset, normalise
from proxyset.methods.ranking import ForgettingEvents, embed, herd, k_center, scaled
from proxyset.nets.build import build_net
from proxyset.nets.classifier import Classifier
from tests import reference

CPU = torch.device("cpu")


def random_features(seed: int, rows: int, columns: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, columns, generator=generator, dtype=torch.float64)


@settings(deadline=None, max_examples=30, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 12), columns=st.integers(1, 6))
def test_herding_agrees_with_brute_force(seed: int, rows: int, columns: int) -> None:
    features = random_features(seed, rows, columns)
    assert herd(features, rows).tolist() == reference.herding(features.numpy(), rows)


def test_herding_takes_the_nearest_to_the_mean_first_not_the_farthest() -> None:
    """A common coreset library takes the argmax of the residual."""
    features = torch.tensor([[10.0], [0.0], [4.0], [-14.0]])  # mean 0
    assert herd(features, 2).tolist() == [1, 2]


@settings(deadline=None, max_examples=25, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(3, 10), count=st.integers(1, 3))
def test_k_center_leaves_no_row_farther_than_twice_the_best(seed: int, rows: int, count: int) -> None:
    features = random_features(seed, rows, 2)
    picks = k_center(features, count).tolist()
    assert len(set(picks)) == count
    radius = reference.covering_radius(features.numpy(), picks)
    assert radius <= 2 * reference.best_covering_radius(features.numpy(), count) + 1e-12


def test_k_center_always_adds_the_row_farthest_from_its_picks() -> None:
    features = random_features(0, 15, 3).numpy()
    picks = k_center(torch.from_numpy(features), 15).tolist()
    assert picks[0] == np.linalg.norm(features - features.mean(0), axis=1).argmin()
    for number in range(1, 15):
        nearest = [min(np.linalg.norm(row - features[pick]) for pick in picks[:number]) for row in features]
        assert nearest[picks[number]] == pytest.approx(max(nearest))


@pytest.mark.parametrize("pick", [herd, k_center])
def test_duplicates_are_picked_once_each(pick: Any) -> None:
    assert sorted(pick(torch.ones(5, 2), 5).tolist()) == [0, 1, 2, 3, 4]


def test_forgetting_events_of_a_hand_made_sequence() -> None:
    sequences = {  # whether each image was classified correctly when seen, epoch by epoch
        "always": [True, True, True, True],
        "never": [False, False, False, False],
        "learned once": [False, False, True, True],
        "forgotten once": [True, True, False, False],
        "forgotten twice": [True, False, True, False],
        "forgotten and relearned": [False, True, False, True],
    }
    labels = torch.tensor([0, 1, 0, 1, 0, 1])
    events = ForgettingEvents(labels)
    for epoch in range(4):
        for index in torch.tensor([5, 0, 3, 1, 4, 2]).split(4):  # in minibatches, in an order of their own
            right = torch.tensor([list(sequences.values())[position][epoch] for position in index.tolist()])
            predicted = torch.where(right, labels[index], 1 - labels[index])
            events.record(index, torch.nn.functional.one_hot(predicted, 2).float())
    score = events.score(torch.Generator().manual_seed(0))
    expected = [reference.forgetting_events(sequence) for sequence in sequences.values()]
    assert expected == [0, math.inf, 0, 1, 2, 1]
    finite = [position for position, value in enumerate(expected) if math.isfinite(value)]
    assert score[finite].floor().tolist() == [expected[position] for position in finite]
    assert score[1] > score[finite].max()  # above the others, whatever fraction was added to break ties


def test_ties_are_broken_at_random() -> None:
    events = ForgettingEvents(torch.zeros(50, dtype=torch.int64))
    first, other = (events.score(torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert torch.equal(first.floor(), other.floor())
    assert not torch.equal(first.argsort(), other.argsort())


def test_features_are_what_the_head_of_the_network_sees(tiny: Dataset, generator: torch.Generator) -> None:
    net = build_net("convnet-w4-d1-batch", channels=1, size=8, classes=3, generator=generator)
    assert isinstance(net, Classifier)
    features = embed(net, tiny.train, tiny.spec, CPU)
    assert net.training  # left as it was
    net.eval()
    with torch.no_grad():
        logits = net(normalise(tiny.train.images, tiny.spec))
        torch.testing.assert_close(net.classifier(features), logits)


def test_without_a_network_features_are_pixels(tiny: Dataset) -> None:
    features = embed(None, tiny.train, tiny.spec, CPU)
    assert torch.equal(features, normalise(tiny.train.images, tiny.spec).flatten(1))
    torch.testing.assert_close(scaled(features).norm(dim=1), torch.ones(len(tiny.train)))
