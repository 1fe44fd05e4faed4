"""The evaluation protocols."""

import math
from typing import Any

import pytest

from proxyset.errors import InputError
from proxyset.train.protocols import Evaluation, describe_protocol, same_protocol


def test_defaults_are_the_papers() -> None:
    protocol = Evaluation()
    assert (protocol.nets, protocol.lr, protocol.momentum) == (20, 0.01, 0.9)
    assert (protocol.weight_decay, protocol.batch_size, protocol.cutmix) == (5e-4, 256, 0)
    assert protocol.resolved().epochs == 1000
    assert Evaluation(augment="none").resolved().epochs == 300
    assert Evaluation(epochs=7).resolved().epochs == 7
    assert Evaluation(protocol="paper") == protocol
    assert protocol.resolved(100, 2) == protocol.resolved()  # whatever the set


@pytest.mark.parametrize(
    "setting",
    [{"nets": 0}, {"epochs": 0}, {"lr": 0}, {"momentum": 1}, {"batch_size": 0}, {"cutmix": 1.1}, {"protocol": "none"}],
)
def test_settings_out_of_range_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"`{next(iter(setting))}`"):
        Evaluation(**setting)


def test_the_strong_protocol_has_its_values_and_what_is_given_goes_before_them() -> None:
    recipe = Evaluation(protocol="strong").resolved()
    assert (recipe.optimiser, recipe.lr, recipe.weight_decay) == ("adamw", 0.001, 0.01)
    assert (recipe.schedule, recipe.epochs, recipe.cutmix) == ("cosine", 2000, 0.5)
    assert recipe.augment == Evaluation().augment
    given = Evaluation(protocol="strong", lr=0.01, epochs=3)  # also a value that is another protocol's
    assert (given.resolved().lr, given.resolved().epochs, given.resolved().optimiser) == (0.01, 3, "adamw")
    assert Evaluation(**given.model_dump()) == given


@pytest.mark.parametrize("formation", [1, 2, 3])
@pytest.mark.parametrize("stored", [10, 100, 256, 300, 500, 1000, 5000])
def test_equal_updates_are_those_of_as_many_images_without_a_formation(stored: int, formation: int) -> None:
    paper, epochs = Evaluation().resolved(), 1000
    recipe = Evaluation(protocol="equal-updates").resolved(stored, formation)
    images = stored * formation**2
    updates = recipe.epochs * math.ceil(images / recipe.batch_size)
    assert updates == pytest.approx(epochs * math.ceil(stored / paper.batch_size), rel=0.002)
    assert recipe.epochs * images == pytest.approx(epochs * stored, rel=0.002)
    assert recipe.batch_size <= paper.batch_size
    if formation == 1:
        assert recipe == paper


def test_equal_updates_of_few_epochs_are_at_least_one() -> None:
    assert Evaluation(protocol="equal-updates", epochs=2).resolved(10, 3).epochs == 1
    assert Evaluation(protocol="equal-updates", epochs=40).resolved(10, 2).epochs == 10


# As scores keep them.


def kept(**changes: Any) -> dict[str, Any]:
    protocol = Evaluation(**changes)
    return protocol.model_dump() | {"epochs": protocol.resolved().epochs}


def test_protocols_are_described_by_their_name_and_what_differs() -> None:
    assert describe_protocol(kept()) == "paper"
    assert describe_protocol(kept(nets=3)) == "paper"  # how many there were is said beside it
    assert describe_protocol(kept(augment="none")) == "paper but for augment none"
    assert describe_protocol(kept(protocol="strong")) == "strong"
    assert describe_protocol(kept(protocol="strong", lr=0.01, epochs=3)) == "strong but for lr 0.01, epochs 3"
    assert describe_protocol(kept(protocol="equal-updates")) == "equal-updates"


def test_scores_of_before_there_were_names_are_the_papers_where_their_values_are() -> None:
    older = {name: value for name, value in kept().items() if name not in ("protocol", "cutmix")}
    assert describe_protocol(older) == "paper"
    assert describe_protocol(older | {"lr": 0.1}) == "paper but for lr 0.1"
    assert same_protocol(older, kept())
    assert not same_protocol(older, kept(protocol="strong"))
    assert not same_protocol(older | {"lr": 0.1}, kept())


@pytest.mark.parametrize("name", ["mine", 3, ["paper"], None])
def test_names_of_other_versions_are_shown_as_they_are(name: object) -> None:
    assert describe_protocol({"protocol": name, "epochs": 2}) == repr(name)
    assert describe_protocol({"lr": name}).startswith("paper but for lr ")
