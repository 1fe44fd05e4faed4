"""Fixtures of the tests of teachers."""

import pytest

from proxyset.methods import snapshots, students
from proxyset.methods.base import Problem
from proxyset.testing import tiny_dataset
from proxyset.train.fit import fit
from tests.proxyset.spy import spied


@pytest.fixture
def short_students(monkeypatch: pytest.MonkeyPatch) -> None:
    """Students of a few updates."""
    monkeypatch.setattr(students, "UPDATES", 4)


@pytest.fixture
def problem() -> Problem:
    """Two images per class of the tiny dataset."""
    data = tiny_dataset()
    return Problem(data.train, data.spec, 2)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is trained from now on: "teacher" or "student"."""
    trainings: list[str] = []
    for module, name in ((snapshots, "teacher"), (students, "student")):
        monkeypatch.setattr(module, "fit", spied(fit, trainings, lambda *a, name=name, **more: name))
    return trainings
