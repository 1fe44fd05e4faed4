"""The epoch at which a teacher stops: chosen by what students learn."""

from dataclasses import replace

import pytest
import torch

from proxyset.data.images import ImageSet
from proxyset.methods import students as students_module
from proxyset.methods.base import Problem
from proxyset.methods.snapshots import Course
from proxyset.methods.students import Trial, epochs_to_try
from proxyset.methods.teacher import find_teacher
from proxyset.train.fit import fit
from tests.proxyset.methods.taught import NET, SOFT, context
from tests.proxyset.spy import spied

pytestmark = pytest.mark.usefixtures("short_students")


def test_the_epochs_to_try() -> None:
    assert epochs_to_try(1) == [1]
    assert epochs_to_try(2) == [1, 2]
    assert epochs_to_try(20) == [1, 2, 3, 5, 8, 13, 20]


@pytest.mark.parametrize(
    ("accuracies", "epoch"), [([0.1, 0.4, 0.4, 0.3], 2), ([0.2] * 4, 1), ([0.1, 0.2, 0.3, 0.9], 4)]
)
def test_the_best_epoch_is_taken_and_of_equals_the_earliest(
    problem: Problem, monkeypatch: pytest.MonkeyPatch, accuracies: list[float], epoch: int
) -> None:
    scores = iter(accuracies)
    monkeypatch.setattr(students_module._School, "score", lambda *arguments: next(scores))
    method = SOFT.model_copy(update={"teacher_epochs": 5})
    assert find_teacher(method, problem, context()).epoch == [1, 2, 3, 5][accuracies.index(max(accuracies))]
    assert epoch == accuracies.index(max(accuracies)) + 1


def test_students_learn_as_many_images_as_are_wanted_in_the_formation(
    problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[ImageSet] = []
    monkeypatch.setattr(students_module, "fit", spied(fit, given, lambda net, data, *rest, **more: data))
    find_teacher(SOFT.model_copy(update={"formation": 2}), replace(problem, ipc=3), context())
    assert len(given) == 4  # epochs 1, 2, 3, 4, one student of each
    for data in given:
        assert (len(data), data.formation) == (9, 2)
        assert data.targets is not None
        assert data.targets.shape == (9, 4, 3)
        assert torch.equal(data.images, given[0].images)
    assert not torch.equal(given[0].answers, given[-1].answers)


def test_few_images_are_tried_by_more_students() -> None:
    counts = {ipc: Trial(Course(NET, 1), ipc, 1).students for ipc in (1, 3, 5, 10, 50)}
    assert counts == {1: 3, 3: 3, 5: 2, 10: 1, 50: 1}
