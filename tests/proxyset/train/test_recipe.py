"""How a network is trained, as one value."""

from typing import Any

import pytest

from proxyset.errors import InputError
from proxyset.train.recipe import ALL, Recipe, Training


def test_defaults_are_the_papers_evaluation() -> None:
    how = Training()
    assert (how.optimiser, how.lr, how.momentum, how.weight_decay) == ("sgd", 0.01, 0.9, 5e-4)
    assert (how.schedule, how.batch_size, how.augment, how.loss) == ("step", 256, ALL, "cross-entropy")


def test_a_training_becomes_a_recipe_for_a_number_of_epochs() -> None:
    how = Training(lr=0.5, optimiser="adam").recipe(7, augment="none")
    assert how == Recipe(epochs=7, lr=0.5, optimiser="adam", augment="none")


@pytest.mark.parametrize(
    ("epochs", "milestones", "drops"),
    [(1, None, ()), (2, None, (1,)), (7, None, (3,)), (10, (), ()), (10, (2, 4), (2, 4))],
)
def test_the_learning_rate_drops_at_half_of_the_epochs_or_as_told(
    epochs: int, milestones: tuple[int, ...] | None, drops: tuple[int, ...]
) -> None:
    assert Recipe(epochs=epochs, milestones=milestones).drops() == drops


@pytest.mark.parametrize(
    "setting",
    [
        {"epochs": 0},
        {"lr": 0},
        {"momentum": 1},
        {"weight_decay": -1},
        {"batch_size": 0},
        {"optimiser": "lion"},
        {"schedule": "linear"},
        {"loss": "hinge"},
    ],
)
def test_settings_out_of_range_are_refused_by_name(setting: dict[str, Any]) -> None:
    (name,) = setting
    with pytest.raises(InputError, match=f"`{name}`"):
        Recipe(**{"epochs": 1} | setting)


def test_it_cannot_be_changed_and_has_a_number_of_epochs() -> None:
    with pytest.raises(ValueError):
        Recipe(epochs=1).lr = 1.0  # type: ignore[misc]
    with pytest.raises(InputError, match="`epochs`"):
        Recipe()  # type: ignore[call-arg]
