"""Going back through a training: against finite differences, and against a graph of all its steps."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from proxyset.methods.unrolled import Student, back, train
from proxyset.nets.build import build_net

STEPS, EPSILON = 3, 1e-5


@pytest.fixture
def student() -> Student:
    net = build_net("convnet-w4-d1", channels=1, size=8, classes=3, generator=torch.Generator().manual_seed(0))
    return Student(net.double())


def given() -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Images and targets of 6, rates, and real images with labels, in float64."""
    g = torch.Generator().manual_seed(1)
    images, real = torch.randn(6, 1, 8, 8, generator=g).double(), torch.randn(5, 1, 8, 8, generator=g).double()
    targets = torch.rand(6, 3, generator=g).double().softmax(1)
    return images, targets, torch.tensor([0.1, 0.3, 0.2]).double(), real, torch.tensor([0, 1, 2, 0, 1])


def through_a_graph(student: Student, leaves: tuple[Tensor, Tensor], rates: Tensor, cut: int) -> Tensor:
    """The loss on real images after the training, with a graph of the steps from `cut` on."""
    real, labels = given()[3:]
    weights = student.weights()
    for number, rate in enumerate(rates):
        images, targets = (leaf[number % 2 :: 2] for leaf in leaves)
        if number < cut:
            images, targets, rate = images.detach(), targets.detach(), rate.detach()
        weights = weights.requires_grad_() if not weights.requires_grad else weights
        loss = student.loss(weights, images, targets)
        (gradient,) = torch.autograd.grad(loss, weights, create_graph=number >= cut)
        weights = weights - rate * gradient
        if number < cut:
            weights = weights.detach()
    return student.loss(weights, real, labels)


@pytest.mark.parametrize("last", [1, 2, 3])
def test_gradients_are_those_of_a_graph_of_the_last_steps(student: Student, last: int) -> None:
    images, targets, rates, real, labels = given()
    leaves = images.clone().requires_grad_(), targets.clone().requires_grad_()

    def minibatch(number: int) -> tuple[Tensor, Tensor]:
        return leaves[0][number % 2 :: 2], leaves[1][number % 2 :: 2]

    trajectory = train(student, student.weights(), minibatch, rates, last)
    assert len(trajectory) == last + 1
    end = trajectory[-1].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(student.loss(end, real, labels), end)
    found = back(student, trajectory, minibatch, rates, leaves, gradient)

    tracked = rates.clone().requires_grad_()
    expected = through_a_graph(student, leaves, tracked, STEPS - last)
    wanted = torch.autograd.grad(expected, (*leaves, tracked))
    for one, other in zip((*found.leaves, found.rates), wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-12)


def test_gradients_are_finite_differences(student: Student) -> None:
    images, targets, rates, real, labels = given()

    def loss_of(images: Tensor, targets: Tensor, rates: Tensor) -> Tensor:
        trajectory = train(student, student.weights(), lambda _: (images, targets), rates, 0)
        return student.loss(trajectory[-1], real, labels)

    leaves = images.clone().requires_grad_(), targets.clone().requires_grad_()
    trajectory = train(student, student.weights(), lambda _: leaves, rates, STEPS)
    end = trajectory[-1].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(student.loss(end, real, labels), end)
    found = back(student, trajectory, lambda _: leaves, rates, leaves, gradient)
    values = [images, targets, rates]
    for place, of_value in enumerate((*found.leaves, found.rates)):
        direction = torch.randn(values[place].shape, generator=torch.Generator().manual_seed(place)).double()
        moved = [
            loss_of(*(v + sign * EPSILON * direction if n == place else v for n, v in enumerate(values)))
            for sign in (1, -1)
        ]
        torch.testing.assert_close(
            (of_value * direction).sum(), (moved[0] - moved[1]) / (2 * EPSILON), rtol=1e-5, atol=1e-9
        )


def test_a_loss_on_real_images_and_its_gradient_are_those_of_the_network_with_these_weights(student: Student) -> None:
    from proxyset.compute.gradients import eager_gradients

    *_, real, labels = given()
    single = Student(student.net.float())
    weights = single.weights() * 1.1
    loss, gradient = single.tested(
        weights, real.float(), labels, eager_gradients(single.net, torch.device("cpu"), 1, 8)
    )
    leaf = weights.clone().requires_grad_()
    expected = F.cross_entropy(single(leaf, real.float()), labels)
    torch.testing.assert_close(loss, expected.detach())
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, leaf)[0])
    assert torch.equal(single.weights(), weights)
