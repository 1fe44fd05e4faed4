"""How hard images are, against loops and by hand; and what is picked by it."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from proxyset.data.spec import Dataset, normalise
from proxyset.methods.base import Problem
from proxyset.methods.centres import nearest_to_centres
from proxyset.methods.coreset import KMeans
from proxyset.methods.difficulty import answer_entropy, error_length, gradient_length, histogram_weights
from proxyset.methods.scored import EL2N, Entropy, GraNd
from proxyset.nets.build import build_net
from tests.proxyset.methods.made import condense, make_context, make_problem

SMALL: dict[str, Any] = {"net": "convnet-w4-d1", "trainings": 2, "epochs": 1}
NETS = ["convnet-w4-d1", "convnet-w4-d1-relu-batch-avg", "mlp"]


@pytest.mark.parametrize("name", NETS)
def test_lengths_and_entropy_against_a_loop_over_the_images(name: str, tiny: Dataset) -> None:
    net = build_net(name, channels=1, size=8, classes=3, generator=torch.Generator().manual_seed(0)).eval()
    data, spec = tiny.train[torch.arange(20)], tiny.spec
    entropy, error, gradient = (measure(net, data, spec) for measure in (answer_entropy, error_length, gradient_length))
    for number in range(20):
        image, label = normalise(data.images[number : number + 1], spec), data.labels[number : number + 1]
        logits = net(image)
        share = logits.softmax(1)[0].detach()
        assert entropy[number].item() == pytest.approx(-sum(p * math.log(p) for p in share.tolist()), rel=1e-4)
        right = F.one_hot(label[0], 3).float()
        assert error[number].item() == pytest.approx((share - right).norm().item(), rel=1e-4)
        gradients = torch.autograd.grad(F.cross_entropy(logits, label), list(net.parameters()))
        whole = torch.cat([each.flatten() for each in gradients]).norm()
        assert gradient[number].item() == pytest.approx(whole.item(), rel=1e-3)


def test_weights_of_a_histogram_by_hand() -> None:
    """Three images around 10⁻¹, one around 10⁻³; an entropy of 0 is one of very little."""
    entropy = torch.tensor([0.11, 0.12, 0.13, 0.0011])
    each = {"tails": [1 / 3, 3], "equal": [1 / 3, 1], "inverse": [1 / 9, 1]}
    for bins, (many, one) in each.items():
        torch.testing.assert_close(
            histogram_weights(entropy, 0.5, bins), torch.tensor([many] * 3 + [one], dtype=torch.float64)
        )
    assert histogram_weights(torch.tensor([0.0, 0.5]), 0.5, "equal").isfinite().all()


def test_rare_entropies_are_drawn_first(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    entropy = torch.full((len(tiny.train),), 0.5)
    rare = torch.stack([index[0] for index in make_problem(tiny).classes])
    entropy[rare] = 1e-4
    monkeypatch.setattr("proxyset.methods.difficulty.answer_entropy", lambda *arguments: entropy)
    method = Entropy(net="mlp", epochs=1, bins="inverse")
    first = sum(
        int(index[0] in rare) for seed in range(10) for index in method.rank(make_problem(tiny), make_context(seed))
    )
    assert first > 15  # of 30; by chance 2 or 3


@pytest.mark.parametrize("method", [EL2N, GraNd])
def test_the_hardest_come_first_or_the_easiest(method: Any, tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    score = torch.arange(len(tiny.train)).float().flip(0) % 7
    monkeypatch.setattr(method, "measure", lambda self, net, problem: score)
    for keep in ("hardest", "easiest"):
        for index in method(**SMALL, keep=keep).rank(make_problem(tiny), make_context()):
            assert score[index].tolist() == sorted(score[index].tolist(), reverse=keep == "hardest")


def test_the_mean_is_over_networks_that_saw_every_image(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    problem, method = make_problem(tiny), EL2N(**SMALL)
    courses = method.trainings_from(problem)
    assert [course.number for course in courses] == [0, 1]
    assert all(course.whole for course in courses)
    seen: list[float] = []
    monkeypatch.setattr("proxyset.methods.snapshots.split", lambda problem: pytest.fail("nothing is held out"))

    def measure(self: EL2N, net: nn.Module, problem: Problem) -> Tensor:
        seen.append(net.classifier.weight.sum().item())  # type: ignore[operator, union-attr]
        return torch.ones(len(problem.real))

    monkeypatch.setattr(EL2N, "measure", measure)
    method.rank(problem, make_context())
    assert len(set(seen)) == 2


def test_k_means_picks_are_the_nearest_to_its_centres(tiny: Dataset) -> None:
    found = condense(KMeans(features="pixels", l2_normalise=False), tiny, 3, seed=4)
    generator = make_context(4).generator
    for label in range(3):
        real = normalise(tiny.train.images[tiny.train.labels == label], tiny.spec)
        picks = nearest_to_centres(real.flatten(1), 3, generator)
        torch.testing.assert_close(found.images[found.labels == label], real[picks])
