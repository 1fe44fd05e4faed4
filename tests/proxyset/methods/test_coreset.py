"""Methods that pick real images: what they rank by, what they refuse, what their training takes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from proxyset.compute.plan import Engine
from proxyset.compute.session import Session
from proxyset.data.images import ImageSet, one_hot
from proxyset.data.spec import Dataset, normalise
from proxyset.errors import InputError
from proxyset.methods.coreset import Forgetting, Herding, KCenter, Random
from proxyset.methods.ranking import ForgettingEvents, embed, herd, scaled
from proxyset.nets.build import build_net
from tests.proxyset.methods.made import condense, make_context, make_problem

CPU = torch.device("cpu")


def test_forgetting_ranks_by_events_of_the_training(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is forgotten most comes first, and never-learned images before all."""
    score = torch.arange(len(tiny.train)).double().flip(0) % 7
    monkeypatch.setattr(ForgettingEvents, "score", lambda self, generator: score)
    method = Forgetting(net="mlp", epochs=1)
    for index in method.rank(make_problem(tiny), make_context()):
        assert score[index].tolist() == sorted(score[index].tolist(), reverse=True)


@pytest.mark.parametrize("method", [Herding, KCenter])
@pytest.mark.parametrize("l2_normalise", [True, False])
def test_pixel_features_need_no_network(method: Any, l2_normalise: bool, tiny: Dataset) -> None:
    chosen = method(features="pixels", net="no such network", l2_normalise=l2_normalise)
    found = condense(chosen, tiny, 3)
    for label in range(3):
        real = normalise(tiny.train.images[tiny.train.labels == label], tiny.spec)
        features = real.flatten(1)
        features = features / features.norm(dim=1, keepdim=True) if l2_normalise else features
        picks = chosen.pick(features, 3, torch.Generator())
        torch.testing.assert_close(found.images[found.labels == label], real[picks])


def test_features_of_a_given_network_rank_too(tiny: Dataset, generator: torch.Generator) -> None:
    """As continual learning does it, with the network that is being learned."""
    net = build_net("convnet-w4-d1", channels=1, size=8, classes=3, generator=generator)
    ranked = Herding().rank_by(net, make_problem(tiny, 3), CPU, generator)
    for label, index in enumerate(ranked):
        places = (tiny.train.labels == label).nonzero().flatten()
        features = scaled(embed(net, tiny.train[places], tiny.spec, CPU))
        assert torch.equal(index, places[herd(features, 3)])


def test_picked_images_keep_their_soft_targets(tiny: Dataset) -> None:
    targets = 0.9 * one_hot(tiny.train.labels, 3) + 0.1 / 3
    targets[:, 0] += torch.arange(len(targets)) / 1000  # so that each is another
    targets /= targets.sum(1, keepdim=True)
    soft = Dataset(ImageSet(tiny.train.images, tiny.train.labels, targets), tiny.test, tiny.spec)
    for method in (Random(), Herding(net="mlp", epochs=1)):
        found = condense(method, soft, 3)
        assert found.targets is not None
        real = normalise(tiny.train.images, tiny.spec)
        for image, target in zip(found.images, found.targets, strict=True):
            place = int((real == image).flatten(1).all(1).nonzero()[0])
            assert torch.equal(target, targets[place])
    assert condense(Random(), tiny).targets is None


def test_random_takes_every_image_equally_often(make_dataset: Callable[..., Dataset]) -> None:
    data = make_dataset(classes=2, counts=5)
    seen = torch.zeros(10)
    for seed in range(300):
        for index in Random().rank(make_problem(data), make_context(seed)):
            seen[index[:2]] += 1
    assert seen.min() > 80  # 120 expected
    assert seen.max() < 160


def test_a_network_that_cannot_take_the_images_is_refused_before_work(tiny: Dataset) -> None:
    for method in (Herding(net="resnet18"), Forgetting(net="lenet"), KCenter(net="convnet-d4")):
        with pytest.raises(InputError, match="at least 16 pixels, got 8"):
            method.check(make_problem(tiny, 1))


@pytest.mark.parametrize("method", [Herding, Forgetting])
def test_estimate_comes_from_timed_steps(method: Any, tiny: Dataset) -> None:
    session = Session(device="cpu")
    estimate = method(net="mlp", epochs=7).estimate(make_problem(tiny, 1), session, Engine())
    assert 0 < estimate.seconds < 60
    assert Herding(features="pixels").estimate(make_problem(tiny, 1), session, Engine()).seconds == 0


def test_there_is_work_only_where_a_network_is_trained(tiny: Dataset) -> None:
    session, problem = Session(device="cpu"), make_problem(tiny)
    assert Random().work(problem, session) is None
    work = Herding(net="mlp", epochs=4, batch_size=9).work(problem, session)
    assert work is not None
    assert (work.images, work.minibatches) == (4 * 36, 4 * 4)
    assert Herding(epochs=4).total_steps(problem) == 4
    assert Herding(features="pixels").total_steps(problem) == Random().total_steps(problem) == 0
