"""The evaluation protocol: its schedule against the plain one, fresh networks, seeds, the score."""

from typing import Any

import pytest
import torch

from proxyset.data import Dataset, ImageSet
from proxyset.evaluation import Evaluation, Score, evaluate
from proxyset.settings import InputError
from tests import reference


def run(data: Dataset, train: Any = None, **options: Any) -> Score:
    protocol = Evaluation(**{"nets": 2, "epochs": 3, "lr": 0.05} | options.pop("protocol", {}))
    return evaluate(train or data.train, data.test, data.spec, protocol, **{"net": "mlp"} | options)


def test_defaults_are_the_papers() -> None:
    protocol = Evaluation()
    assert (protocol.nets, protocol.lr, protocol.momentum) == (20, 0.01, 0.9)
    assert (protocol.weight_decay, protocol.batch_size) == (5e-4, 256)
    assert protocol.resolved_epochs() == 1000
    assert Evaluation(augment="none").resolved_epochs() == 300
    assert Evaluation(epochs=7).resolved_epochs() == 7


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


def test_progress_counts_the_epochs_of_all_networks(tiny: Dataset) -> None:
    seen: list[tuple[int, int]] = []
    run(tiny, progress=lambda done, total, loss=None: seen.append((done, total)))
    assert seen == [(step, 6) for step in range(1, 7)]


def test_no_test_images_is_said(tiny: Dataset) -> None:
    nothing = tiny.test[torch.arange(0)]
    with pytest.raises(InputError, match="tiny has no test images"):
        evaluate(tiny.train, nothing, tiny.spec)


@pytest.mark.parametrize("setting", [{"nets": 0}, {"epochs": 0}, {"lr": 0}, {"momentum": 1}, {"batch_size": 0}])
def test_settings_out_of_range_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(setting)).replace("_", "-")):
        Evaluation(**setting)
