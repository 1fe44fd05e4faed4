"""What is made where no method is named: what fits the images and the time, and what the user left open."""

from typing import Any

import pytest
import torch

from proxyset.data.images import ImageSet
from proxyset.data.spec import DatasetSpec
from proxyset.methods.base import Problem
from proxyset.methods.dm import DM
from proxyset.methods.recommended import TRAINED, recommended


def problem(size: int = 16, each: int = 40, ipc: int = 2) -> Problem:
    spec = DatasetSpec("made", 1, size, ("a", "b"), (0.5,), (0.25,))
    images = torch.zeros(2 * each, 1, size, size, dtype=torch.uint8)
    return Problem(ImageSet(images, torch.arange(2).repeat_interleave(each)), spec, ipc)


def chosen(given: DM, wanted: Problem, seconds: float = 600) -> dict[str, Any]:
    """What differs from the defaults."""
    method, why = recommended(given, wanted, seconds)
    method.check(wanted)
    usual = DM().model_dump()
    different = {name: value for name, value in method.model_dump().items() if value != usual[name]}
    assert all(name in why for name in different.keys() - given.model_fields_set)
    return different


def test_all_of_it() -> None:
    trained = {name: value for name, value in TRAINED.items() if value != DM.model_fields[name].default}
    assert chosen(DM(), problem()) == {"batch_real": 64, "lr_img": 5.0, "formation": 2} | trained


@pytest.mark.parametrize("wanted", [problem(size=8), problem(each=7)], ids=["small images", "few of a class"])
def test_no_tiles_where_they_show_too_little_or_there_are_too_few(wanted: Problem) -> None:
    assert "formation" not in chosen(DM(), wanted)


def test_no_networks_are_trained_where_an_image_cannot_be_held_out_or_the_time_is_short() -> None:
    assert "networks" not in chosen(DM(), problem(each=1, ipc=1))
    assert "networks" not in chosen(DM(), problem(each=4000), seconds=10)
    assert "networks" in chosen(DM(), problem(each=4000), seconds=600)


def test_what_is_given_stays() -> None:
    given = DM(networks="random", formation=1, lr_img=2.0, weight_classes=0.0)
    assert chosen(given, problem()).keys() == {"batch_real", "lr_img", "teacher_epochs"}


def test_a_narrow_network_where_it_is_left_open_and_the_time_is_short() -> None:
    assert DM().for_time(600).net == "convnet-w32"
    assert DM().for_time(10 * 3600).net == DM().net
    assert DM(net="convnet-w64").for_time(600).net == "convnet-w64"
