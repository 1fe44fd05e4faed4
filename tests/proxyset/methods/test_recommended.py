"""What is made where no method is named: what fits the images and the time, and what the user left open."""

from typing import Any

import pytest
import torch

from proxyset.data.images import ImageSet
from proxyset.data.spec import DatasetSpec
from proxyset.methods.base import Method, Problem
from proxyset.methods.dm import DM
from proxyset.methods.krr import KRR
from proxyset.methods.recommended import name_for, recommended
from proxyset.nets.depth import depth_advice


def problem(size: int = 16, each: int = 40, ipc: int = 2, channels: int = 3) -> Problem:
    spec = DatasetSpec("made", channels, size, ("a", "b"), (0.5,) * channels, (0.25,) * channels)
    images = torch.zeros(2 * each, channels, size, size, dtype=torch.uint8)
    return Problem(ImageSet(images, torch.arange(2).repeat_interleave(each)), spec, ipc)


def chosen(given: Method, wanted: Problem, seconds: float = 600) -> dict[str, Any]:
    """What differs from the defaults of the method that is taken."""
    method, why = recommended(given, wanted, seconds)
    method.check(wanted)
    assert f"no method named: {method.name}" in why
    usual = type(method)().model_dump()
    different = {name: value for name, value in method.model_dump().items() if value != usual[name]}
    assert all(name in why for name in different.keys() - given.model_fields_set)
    return different


def test_few_images_per_class_take_krr_and_many_take_dm() -> None:
    assert [name_for(ipc) for ipc in (1, 9, 10, 50)] == ["krr", "krr", "dm", "dm"]


def test_all_of_it_with_few_images() -> None:
    assert chosen(KRR(), problem()) == {"net": "convnet-w32", "batch_real": 512, "formation": 2}
    assert chosen(KRR(), problem(each=7)) == {"net": "convnet-w32", "batch_real": 512}


def test_small_images_take_dm_unless_a_setting_of_krr_alone_is_given() -> None:
    small = problem(size=8, each=4000)
    assert recommended(KRR(net="convnet-w4-d1", iterations=7), small, 1)[0] == DM(
        net="convnet-w4-d1", iterations=7, batch_real=64, lr_img=5.0, schedule_img="cosine"
    )
    assert isinstance(recommended(KRR(pool=3), small, 600)[0], KRR)
    assert isinstance(recommended(KRR(targets="learned"), small, 600)[0], KRR)
    assert isinstance(recommended(KRR(), problem(size=16), 600)[0], KRR)


def test_a_set_that_learning_starts_from_keeps_its_tiles() -> None:
    assert "formation" not in chosen(KRR(init="mine.safetensors"), problem())


FRESH = {"net": "convnet-w32", "batch_real": 64, "lr_img": 5.0, "schedule_img": "cosine", "formation": 2}


def test_all_of_it_with_many_images() -> None:
    trained = {"networks": "between", "weight_classes": 3.0, "teacher_epochs": 4, "trainings": 16}
    assert chosen(DM(), problem()) == FRESH | trained


def test_grey_images_take_fresh_networks() -> None:
    assert chosen(DM(), problem(channels=1)) == FRESH


@pytest.mark.parametrize("wanted", [problem(size=8), problem(each=7)], ids=["small images", "few of a class"])
def test_no_tiles_where_they_show_too_little_or_there_are_too_few(wanted: Problem) -> None:
    assert "formation" not in chosen(DM(), wanted)


def test_more_time_trains_more_networks_for_longer() -> None:
    """8,000 images of 16×16 pixels are counted as 0.8192 s an epoch."""
    found = [chosen(DM(), problem(each=4000), seconds=each * 0.8192 / 0.4 + 0.1) for each in (1, 2, 5, 8, 13, 1000)]
    usual = DM()
    numbers = [(f.get("teacher_epochs", usual.teacher_epochs), f.get("trainings", usual.trainings)) for f in found[1:]]
    assert "networks" not in found[0]
    assert numbers == [(1, 2), (2, 2), (4, 2), (4, 3), (4, 16)]


def test_trainings_are_of_the_network_that_their_time_is_counted_for() -> None:
    """However long there is: beyond two hours `for_time` leaves the papers' wide network."""
    method, _ = recommended(DM(), problem(), 3 * 3600)
    assert isinstance(method, DM)
    assert method.for_time(3 * 3600, 32).net == "convnet-w32"


def test_no_networks_are_trained_where_an_image_cannot_be_held_out() -> None:
    assert "networks" not in chosen(DM(), problem(each=1, ipc=1))


def test_what_is_given_stays() -> None:
    given = DM(networks="random", formation=1, lr_img=2.0, weight_classes=0.0)
    assert chosen(given, problem()).keys() == {
        *("net", "batch_real", "lr_img", "schedule_img", "teacher_epochs", "trainings")
    }


def test_a_narrow_network_where_it_is_left_open_and_the_time_is_short() -> None:
    assert DM().for_time(600, 32).net == "convnet-w32"
    assert DM().for_time(10 * 3600, 32).net == DM().net
    assert DM(net="convnet-w64").for_time(600, 32).net == "convnet-w64"


@pytest.mark.parametrize("size", [48, 64, 128, 224])
def test_large_images_take_a_network_that_is_deep_enough(size: int) -> None:
    for net in (DM().for_time(600, size).net, chosen(DM(), problem(size=size))["net"]):
        assert depth_advice(net, size) is None
