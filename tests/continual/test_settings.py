"""The values that EEIL and GDumb are run with, and what a user changes of them."""

from pathlib import Path

import pytest

from continual.schemes.afresh import Afresh
from continual.settings import Learning
from continual.stream import Stream
from proxyset.errors import InputError
from proxyset.train.recipe import Recipe
from tests.continual.conftest import make_scheme


def test_eeils_recipes() -> None:
    new, balanced = Learning().stage_recipe(), Learning().balanced_recipe()
    assert (new.epochs, new.lr, new.drops(), new.batch_size) == (40, 0.1, (10, 20, 30), 128)
    assert (new.optimiser, new.schedule, new.momentum, new.weight_decay) == ("sgd", "step", 0.9, 1e-4)
    assert (balanced.epochs, balanced.lr, balanced.drops()) == (30, 0.1, (10, 20))


def test_every_setting_of_the_core_reaches_both_stages() -> None:
    values = {
        "optimiser": "adamw",
        "schedule": "cosine",
        "momentum": 0.5,
        "weight_decay": 0.01,
        "batch_size": 7,
        "augment": "crop",
        "loss": "squared-error",
    }
    learning = Learning(**values)
    for recipe in (learning.stage_recipe(), learning.balanced_recipe()):
        assert recipe.model_dump(include=set(values)) == values


def test_gdumb_trains_by_the_cores_evaluation_protocol(growing: Stream, quick: Learning, tmp_path: Path) -> None:
    scheme = make_scheme(growing, quick.model_copy(update={"scheme": "gdumb", "gdumb_epochs": 1000}), tmp_path)
    assert isinstance(scheme, Afresh)
    recipe = scheme.recipe(0)
    assert recipe == Recipe(epochs=1000, augment=quick.augment)
    assert (recipe.lr, recipe.drops(), recipe.weight_decay, recipe.batch_size) == (0.01, (500,), 5e-4, 256)


@pytest.mark.parametrize(("protocol", "epochs", "batch_size"), [("paper", 8, 4), ("equal-updates", 2, 4)])
def test_gdumb_gives_a_formation_no_more_updates_where_asked(
    growing: Stream, quick: Learning, tmp_path: Path, protocol: str, epochs: int, batch_size: int
) -> None:
    values = {"scheme": "gdumb", "gdumb_epochs": 8, "gdumb_protocol": protocol, "gdumb_batch_size": 4}
    scheme = make_scheme(growing, quick.model_copy(update=values), tmp_path, "random formation=2")
    ((recipe, images),) = scheme.trainings(1)
    assert (recipe.epochs, recipe.batch_size, images) == (epochs, batch_size, 32)


def test_network_names_by_size() -> None:
    assert Learning().network(8) == "convnet-w32-d2-relu-instance-avg"
    assert Learning().network(32) == "convnet-w128-d3-relu-instance-avg"
    assert Learning(net="lenet").network(32) == "lenet"


@pytest.mark.parametrize(("name", "value"), [("scheme", "gdumm"), ("temperature", 0), ("batch_size", 1), ("lr", 0)])
def test_values_out_of_range_are_refused(name: str, value: object) -> None:
    with pytest.raises(InputError, match=name):
        Learning(**{name: value})
