"""Networks with layers that draw, such as dropout: what is learned through them follows from the seed alone."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from proxyset.data.spec import Dataset
from proxyset.methods.base import Method
from proxyset.methods.dd import DD
from proxyset.methods.dm import DM
from proxyset.methods.dsa import DSA
from proxyset.methods.krr import KRR
from proxyset.methods.ld import LD
from proxyset.methods.unrolled import Student, back, train
from proxyset.nets.classifier import Classifier
from tests.proxyset.methods.made import condense


def dropping(channels: int, size: int, classes: int) -> nn.Module:
    body = nn.Sequential(nn.Flatten(), nn.Linear(channels * size**2, 16), nn.Dropout(0.5), nn.RReLU())
    return Classifier(body, nn.Linear(16, classes))


SMALL: dict[str, Any] = {"net": f"{__name__}:dropping", "iterations": 3, "batch_real": 6}
METHODS = [DM(**SMALL), KRR(**SMALL), DSA(**SMALL, inner_steps=2, net_epochs=2), DD(**SMALL), LD(**SMALL)]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_the_global_generator_has_no_say_and_stays_where_it_was(method: Method, tiny: Dataset) -> None:
    found = set()
    for seed in (0, 1):
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            before = torch.get_rng_state()
            found.add(condense(method, tiny).sha256())
            assert torch.equal(before, torch.get_rng_state())
    assert len(found) == 1


def test_steps_that_are_computed_anew_are_those_that_were_gone_forward() -> None:
    g = torch.Generator().manual_seed(0)
    images, real = torch.randn(4, 1, 4, 4, generator=g), torch.randn(5, 1, 4, 4, generator=g)
    targets, labels = torch.eye(2).repeat(2, 1), torch.tensor([0, 1, 0, 1, 0])
    with torch.random.fork_rng([]):
        student = Student(dropping(1, 4, 2))
    rates = torch.tensor([0.1, 0.2])

    def minibatch(number: int) -> tuple[Tensor, Tensor]:
        return leaf, targets

    leaf = images.clone().requires_grad_()
    path = train(student, student.weights(), minibatch, rates, 2)
    last = path[-1].clone().requires_grad_()
    (cotangent,) = torch.autograd.grad(student.loss(last, real, labels), last)
    found = back(student, path, minibatch, rates, [leaf], cotangent).leaves[0]

    weights = student.weights().requires_grad_()
    for rate in rates:
        loss = student.loss(weights, leaf, targets)
        (gradient,) = torch.autograd.grad(loss, weights, create_graph=True)
        weights = weights - rate * gradient
    (expected,) = torch.autograd.grad(student.loss(weights, real, labels), leaf)
    torch.testing.assert_close(found, expected)
