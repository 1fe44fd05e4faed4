"""Kernel inducing points: a step against an explicit inverse, published values, and that it teaches."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

import proxyset
from proxyset.data.formation import unfold
from proxyset.data.spec import Dataset, normalise
from proxyset.errors import InputError
from proxyset.methods.inducing_points import InducingPoints, kernel_accuracy
from proxyset.methods.kip import KIP
from proxyset.methods.tangent_kernel import tangent_kernel
from tests.proxyset.methods.made import condense, make_context, make_problem

SMALL: dict[str, Any] = {"iterations": 5, "batch_real": 12}


def test_defaults_are_the_published_values() -> None:
    kip = KIP()
    assert (kip.batch_real, kip.lr_img, kip.ridge, kip.hidden, kip.targets) == (5000, 0.04, 1e-6, 1, "hard")


@pytest.mark.parametrize(("formation", "kernel_of"), [(1, "dense"), (2, "dense"), (1, "convolutional")])
def test_loss_and_gradients_agree_with_an_explicit_inverse(formation: int, kernel_of: Any, tiny: Dataset) -> None:
    method = KIP(**SMALL, formation=formation, ridge=1e-3, hidden=2, kernel=kernel_of)
    convolutional = kernel_of == "convolutional"
    run = InducingPoints(method, make_problem(tiny), make_context())
    index = torch.tensor([3, 0, 20, 31, 7])
    loss, image_gradient, target_gradient = run.match(index)
    images, targets = run.set.images.double().requires_grad_(), run.set.targets.double().requires_grad_()
    support, real = unfold(images, formation), normalise(tiny.train.images[index], tiny.spec).double()
    kernel = tangent_kernel(support, support, 2, convolutional)
    inverse = (kernel + 1e-3 * kernel.trace() / len(kernel) * torch.eye(len(kernel))).inverse()
    truth = F.one_hot(tiny.train.labels[index], 3) - 1 / 3
    expected = (
        0.5 * ((tangent_kernel(real, support, 2, convolutional) @ inverse @ targets - truth) ** 2).sum() / len(index)
    )
    expected.backward()
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(image_gradient.double(), images.grad, rtol=2e-3, atol=1e-5)
    torch.testing.assert_close(target_gradient.double(), targets.grad, rtol=2e-3, atol=1e-5)


def test_targets_are_learned_where_asked_for_and_are_the_labels_otherwise(tiny: Dataset) -> None:
    assert condense(KIP(**SMALL), tiny).targets is None
    learned = condense(KIP(**SMALL, targets="learned"), tiny).targets
    assert learned is not None
    assert not torch.equal(learned, learned.round())


def test_one_class_is_refused(tiny: Dataset, make_dataset: Any) -> None:
    with pytest.raises(InputError, match="one class"):
        KIP().check(make_problem(make_dataset(classes=1), 1))


def test_students_of_what_is_learned_do_better_than_those_of_the_images_it_began_with() -> None:
    data = proxyset.load("digits")
    protocol = proxyset.Evaluation(nets=2, epochs=150, augment="none")
    score, regression = {}, {}
    for iterations, lr in ((1, 1e-9), (150, 0.04)):
        method = KIP(iterations=iterations, lr_img=lr, batch_real=600)
        found = proxyset.build(data, method, ipc=1, progress=False).data
        regression[iterations] = kernel_accuracy(method, found, data.test, data.spec)
        score[iterations] = proxyset.evaluate(found, data.test, data.spec, protocol, net="mlp", progress=False).mean
    assert score[150] > score[1] + 0.05, score
    assert regression[150] > max(regression[1] + 0.1, 0.85), regression
