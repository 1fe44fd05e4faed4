"""What is to be condensed, and what a method works with."""

import pytest
import torch

from proxyset.compute.plan import Engine, Estimate
from proxyset.compute.session import Session
from proxyset.data.spec import Dataset
from proxyset.errors import InputError
from proxyset.methods.base import Method
from proxyset.methods.dsa import DC
from tests.proxyset.methods.made import make_context, make_problem


class Nothing(Method):
    """Does nothing but what every method does."""

    name = "nothing"


def test_a_problem_knows_its_classes(tiny: Dataset) -> None:
    problem = make_problem(tiny, 3)
    assert problem.counts == [12, 9, 15]
    for label, index in enumerate(problem.classes):
        assert (tiny.train.labels[index] == label).all()
    assert sorted(torch.cat(problem.classes).tolist()) == list(range(36))
    assert problem.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_a_method_that_says_nothing_is_checked_and_costs_nothing(tiny: Dataset) -> None:
    method, session = Nothing(), Session(device="cpu")
    problem = make_problem(tiny)
    method.check(problem)
    assert method.work(problem, session) is None
    assert method.estimate(problem, session, Engine()) == Estimate()
    assert (method.total_steps(problem), method.steps_per_iteration(problem)) == (0, 1)
    with pytest.raises(InputError, match="`ipc` must be at least 1, got 0"):
        method.check(make_problem(tiny, 0))
    method.check(make_problem(tiny, 11))  # it does not say that it picks real images
    with pytest.raises(InputError, match="`ipc=13` makes 39 images, more than the 36 of tiny"):
        method.check(make_problem(tiny, 13))
    with pytest.raises(NotImplementedError):
        method.condense(problem, make_context())


def test_the_settings_of_a_method_cannot_be_changed() -> None:
    with pytest.raises(ValueError):
        DC().iterations = 3  # type: ignore[misc]


def test_a_context_knows_whether_something_of_its_work_failed_to_compile(tiny: Dataset) -> None:
    context = make_context()
    assert not context.compile_failed()
    gradients = context.gradients("mlp", tiny.spec)
    assert context.gradients("mlp", tiny.spec) is gradients
    assert not context.compile_failed()
