"""Trainings on the whole real set: what they see, and what they give."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from proxyset.data.images import ImageSet
from proxyset.data.spec import Dataset, normalise
from proxyset.errors import RunError
from proxyset.methods import snapshots as snapshots_module
from proxyset.methods import students as students_module
from proxyset.methods.base import Problem
from proxyset.methods.snapshots import course_of, split, take
from proxyset.methods.teacher import make
from proxyset.train.fit import fit
from tests.proxyset.methods.taught import NET, SOFT, context, same
from tests.proxyset.spy import spied

pytestmark = pytest.mark.usefixtures("short_students")


def test_snapshots_are_those_of_shorter_trainings(problem: Problem) -> None:
    long, short = (
        take(course_of(problem, NET, 4), problem, context()),
        take(course_of(problem, NET, 2), problem, context()),
    )
    assert same(long.states[:2], short.states)
    assert long.validation[:2] == short.validation
    assert len(long.states) == len(long.validation) == 4


def test_held_out_images_are_never_trained_on(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[ImageSet] = []
    for module in (snapshots_module, students_module):
        monkeypatch.setattr(module, "fit", spied(fit, given, lambda net, data, *rest, **more: data))
    make(SOFT, problem, context())
    train, held_out = split(problem)
    assert (len(train), len(held_out)) == (32, 4)  # of 12, 9 and 15
    assert sorted(held_out.labels.unique().tolist()) == [0, 1, 2]
    seen = torch.cat([normalise(data.images, problem.spec).flatten(1) for data in given])
    for image in normalise(held_out.images, problem.spec).flatten(1):
        assert not (seen == image).all(1).any()
    whole = torch.cat([train.images, held_out.images]).flatten(1)
    assert torch.equal(whole.unique(dim=0), problem.real.images.flatten(1).unique(dim=0))


@pytest.mark.parametrize(("each", "held"), [(20, 10), (3, 5), (300, 150)])
def test_a_tenth_is_held_out_but_at_most_a_thousand(
    each: int, held: int, make_dataset: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_dataset(classes=5, counts=each)
    problem = Problem(data.train, data.spec, 1)
    assert len(split(problem)[1]) == held
    monkeypatch.setattr(snapshots_module, "MOST_HELD_OUT", 50)
    assert len(split(problem)[1]) == min(held, 50)


def test_trainings_of_other_numbers_are_others(problem: Problem) -> None:
    first, second = (take(course_of(problem, NET, 1, number=number), problem, context()) for number in (0, 1))
    assert not same(first.states, second.states)


def test_a_training_that_diverges_is_said(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(net: Any, *rest: Any, **options: Any) -> None:
        torch.nn.init.constant_(next(net.parameters()), float("nan"))
        options["hooks"].on_epoch(1)

    monkeypatch.setattr(snapshots_module, "fit", broken)
    with pytest.raises(RunError, match="NaN or infinite"):
        make(SOFT, problem, context())
