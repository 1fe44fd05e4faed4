"""Herding against brute force, k-center's guarantee, forgetting events against a hand-made sequence."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from proxyset.data import Dataset, normalise
from proxyset.engine import Engine
from proxyset.methods import Forgetting, Herding, KCenter, Random
from proxyset.methods.coreset import ForgettingEvents, embed, herd, k_center
from proxyset.nets import build_net
from proxyset.settings import InputError
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
    score = events.score()
    expected = [reference.forgetting_events(sequence) for sequence in sequences.values()]
    assert expected == [0, math.inf, 0, 1, 2, 1]
    finite = [position for position, value in enumerate(expected) if math.isfinite(value)]
    assert score[finite].tolist() == [expected[position] for position in finite]
    assert score[1] > score[finite].max() + 0.999  # above the others even with a fraction added to break ties


def test_forgetting_ranks_by_events_of_the_training(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is forgotten most comes first, and never-learned images before all."""
    score = torch.arange(len(tiny.train)).double().flip(0) % 7
    monkeypatch.setattr(ForgettingEvents, "score", lambda self: score)
    method = Forgetting(net="mlp", epochs=1)
    generator = torch.Generator().manual_seed(0)
    ranked = method.rank(tiny.train, tiny.spec, 2, generator, Engine(), lambda *_: None, None)
    for index in ranked:
        assert score[index].tolist() == sorted(score[index].tolist(), reverse=True)


@pytest.mark.parametrize("method", [Herding, KCenter])
@pytest.mark.parametrize("l2_normalise", [True, False])
def test_pixel_features_need_no_network(method: Any, l2_normalise: bool, tiny: Dataset) -> None:
    chosen = method(features="pixels", net="no such network", l2_normalise=l2_normalise)
    generator = torch.Generator().manual_seed(0)
    found = chosen.condense(tiny.train, tiny.spec, 3, generator=generator, engine=Engine())
    for label in range(3):
        own = normalise(tiny.train.images[tiny.train.labels == label], tiny.spec)
        features = own.flatten(1)
        features = features / features.norm(dim=1, keepdim=True) if l2_normalise else features
        picks = chosen.pick(features, 3)
        torch.testing.assert_close(found.images[found.labels == label], own[picks])


def test_features_are_what_the_head_of_the_network_sees(tiny: Dataset, generator: torch.Generator) -> None:
    net = build_net("convnet-w4-d1-batch", channels=1, size=8, classes=3, generator=generator)
    features = embed(net, tiny.train, tiny.spec, CPU)
    assert net.training  # left as it was
    net.eval()
    with torch.no_grad():
        logits = net(normalise(tiny.train.images, tiny.spec))
        torch.testing.assert_close(net.classifier(features), logits)


def test_random_takes_every_image_equally_often(make_dataset: Any) -> None:
    data = make_dataset(classes=2, counts=5)
    seen = torch.zeros(10)
    for seed in range(300):
        ranked = Random().rank(
            data.train, data.spec, 2, torch.Generator().manual_seed(seed), Engine(), lambda *_: None, None
        )
        for index in ranked:
            seen[index[:2]] += 1
    assert seen.min() > 80  # 120 expected
    assert seen.max() < 160


def test_a_network_that_cannot_take_the_images_is_refused_before_work(tiny: Dataset) -> None:
    for method in (Herding(net="resnet18"), Forgetting(net="lenet"), KCenter(net="convnet-d4")):
        with pytest.raises(InputError, match="at least 16 pixels, got 8"):
            method.check(tiny.train, tiny.spec, 1)


@pytest.mark.parametrize("method", [Herding, Forgetting])
def test_estimate_comes_from_timed_steps(method: Any, tiny: Dataset) -> None:
    estimate = method(net="mlp", epochs=7).estimate(tiny.train, tiny.spec, 1, Engine())
    assert 0 < estimate.seconds < 60
    assert Herding(features="pixels").estimate(tiny.train, tiny.spec, 1, Engine()).seconds == 0
