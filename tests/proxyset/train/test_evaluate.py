"""Scores: the schedule against the plain one, fresh networks, seeds, soft targets; predictions and accuracy."""

from typing import Any

import pytest
import torch
from torch import nn

from proxyset.data.images import ImageSet, one_hot
from proxyset.data.spec import Dataset
from proxyset.errors import InputError
from proxyset.train.evaluate import Score, accuracy, evaluate, predict
from proxyset.train.protocols import Evaluation
from tests import reference
from tests.proxyset.train.made import make_net


def run(data: Dataset, train: Any = None, **options: Any) -> Score:
    protocol = Evaluation(**{"nets": 2, "epochs": 3, "lr": 0.05} | options.pop("protocol", {}))
    return evaluate(train or data.train, data.test, data.spec, protocol, **{"net": "mlp"} | options)


@pytest.mark.parametrize("epochs", [2, 4, 7, 10])
def test_learning_rates_of_all_epochs_agree_with_the_plain_schedule(
    epochs: int, tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []
    step = torch.optim.SGD.step

    def spy(optimiser: torch.optim.SGD, *arguments: Any) -> Any:
        (group,) = optimiser.param_groups
        assert (group["momentum"], group["weight_decay"]) == (0.9, 5e-4)
        rates.append(group["lr"])
        return step(optimiser, *arguments)

    monkeypatch.setattr(torch.optim.SGD, "step", spy)
    evaluate(tiny.train, tiny.test, tiny.spec, Evaluation(nets=1, epochs=epochs), net="mlp")
    assert rates == pytest.approx(reference.evaluation_learning_rates(epochs))


def test_every_network_is_fresh_and_the_seed_decides(tiny: Dataset) -> None:
    protocol = {"nets": 4, "epochs": 1}
    first = run(tiny, protocol=protocol)
    assert len(first.accuracies) == 4
    assert len(set(first.accuracies)) > 1
    assert run(tiny, protocol=protocol).accuracies == first.accuracies
    assert run(tiny, protocol=protocol, seed=1).accuracies != first.accuracies
    # The first networks do not depend on how many follow.
    assert run(tiny, protocol={"nets": 2, "epochs": 1}).accuracies == first.accuracies[:2]


def test_a_learnable_set_scores_high_and_false_labels_score_low(tiny: Dataset) -> None:
    protocol = {"epochs": 40, "augment": "none"}
    assert run(tiny, protocol=protocol).mean == 1.0
    wrong = ImageSet(tiny.train.images, (tiny.train.labels + 1) % 3)
    assert run(tiny, wrong, protocol=protocol).mean == 0.0


def test_a_function_gives_every_network_its_own_set(tiny: Dataset) -> None:
    asked: list[int] = []

    def draw(number: int) -> ImageSet:
        asked.append(number)
        return tiny.train

    run(tiny, draw, protocol={"nets": 3, "epochs": 1})
    assert asked == [0, 1, 2]


def test_one_hot_targets_score_as_the_labels_do(tiny: Dataset) -> None:
    """Within float noise, which may move one of the twelve test images."""
    soft = ImageSet(tiny.train.images, tiny.train.labels, one_hot(tiny.train.labels, 3))
    protocol = {"epochs": 8, "nets": 3}
    hard_score, soft_score = run(tiny, protocol=protocol), run(tiny, soft, protocol=protocol)
    assert soft_score.accuracies == pytest.approx(hard_score.accuracies, abs=0.09)


def test_targets_that_say_another_class_teach_the_other_class(tiny: Dataset) -> None:
    other = one_hot((tiny.train.labels + 1) % 3, 3)
    false = ImageSet(tiny.train.images, tiny.train.labels, 0.9 * other + 0.1 / 3)
    assert run(tiny, false, protocol={"epochs": 40, "augment": "none"}).mean == 0.0


def test_score_is_mean_and_population_deviation() -> None:
    score = Score("mlp", (0.5, 0.7, 0.9), 1.0)
    assert score.mean == pytest.approx(0.7)
    assert score.std == pytest.approx((0.08 / 3) ** 0.5)
    assert score.to_dict() == {
        "net": "mlp",
        "accuracies": (0.5, 0.7, 0.9),
        "seconds": 1.0,
        "mean": score.mean,
        "std": score.std,
        "n": 3,
    }


def test_a_score_reads_as_a_person_says_it() -> None:
    assert str(Score("mlp", (0.5, 0.7, 0.9), 1.0)) == "70.0 ± 16.3 % (3 × mlp)"


def test_progress_counts_the_epochs_of_all_networks(tiny: Dataset) -> None:
    seen: list[tuple[float, int]] = []
    run(tiny, progress=lambda done, total, loss=None: seen.append((done, total)))
    assert seen == [(step, 6) for step in range(1, 7)]


def test_no_test_images_is_said(tiny: Dataset) -> None:
    nothing = tiny.test[torch.arange(0)]
    with pytest.raises(InputError, match="tiny has no test images"):
        evaluate(tiny.train, nothing, tiny.spec)


def test_predictions_use_evaluation_mode_and_leave_the_mode_alone(tiny: Dataset) -> None:
    net = make_net("convnet-w4-d1-batch")
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    statistics = [norm.state_dict()["running_mean"].clone() for norm in norms]
    one_by_one, at_once = (predict(net, tiny.test, tiny.spec, batch_size=size) for size in (1, 256))
    assert torch.equal(one_by_one, at_once)
    assert net.training
    for before, norm in zip(statistics, norms, strict=True):
        assert torch.equal(before, norm.state_dict()["running_mean"])
    share = (at_once == tiny.test.labels).double().mean().item()
    assert accuracy(net, tiny.test, tiny.spec) == pytest.approx(share)
