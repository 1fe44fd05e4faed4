"""Ridge regression on features against numpy, its loss, and targets as probabilities."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from proxyset.data.images import one_hot
from proxyset.methods.regression import centred, half_squared_error, margin, predict, probabilities, scale


def plain_prediction(support: Tensor, targets: Tensor, features: Tensor, ridge: float) -> np.ndarray:
    """K_ts (K_ss + λI)⁻¹ Y_s with λ = ridge·tr(K_ss) / n, from the paper's equation, in numpy's float64."""
    s, y, t = (tensor.double().numpy() for tensor in (support, targets, features))
    kernel = s @ s.T
    return t @ s.T @ np.linalg.solve(kernel + ridge * np.trace(kernel) / len(s) * np.eye(len(s)), y)


@pytest.mark.parametrize("ridge", [1e-6, 1e-2, 3.0])
@pytest.mark.parametrize(("count", "length"), [(5, 40), (40, 5)])
def test_prediction_agrees_with_numpy(ridge: float, count: int, length: int, generator: torch.Generator) -> None:
    """Also with fewer features than images, where K_ss alone has no inverse."""
    support, features = torch.randn(count, length, generator=generator), torch.randn(7, length, generator=generator)
    targets = torch.randn(count, 3, generator=generator)
    found = predict(support, targets, features, ridge)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), plain_prediction(support, targets, features, ridge), rtol=1e-6, atol=1e-8)


def test_prediction_interpolates_its_own_targets(generator: torch.Generator) -> None:
    support, targets = torch.randn(6, 50, generator=generator), torch.randn(6, 3, generator=generator)
    torch.testing.assert_close(predict(support, targets, support, 1e-9), targets.double(), rtol=1e-6, atol=1e-6)


def test_gradients_of_the_loss_agree_with_finite_differences(generator: torch.Generator) -> None:
    support, features = (torch.randn(n, 6, generator=generator, dtype=torch.float64) for n in (4, 5))
    targets, truth = (torch.randn(n, 3, generator=generator, dtype=torch.float64) for n in (4, 5))

    def loss(support: Tensor, targets: Tensor) -> Tensor:
        return half_squared_error(predict(support, targets, features, 1e-2), truth) - margin(targets)

    assert torch.autograd.gradcheck(loss, (support.requires_grad_(), targets.requires_grad_()))


def test_features_that_are_no_numbers_give_none() -> None:
    for bad in (math.nan, math.inf):
        assert predict(torch.full((2, 3), bad), torch.ones(2, 2), torch.ones(4, 3), 1e-6).isnan().all()


def test_loss_is_half_the_mean_over_images_of_the_summed_squares() -> None:
    prediction, truth = torch.tensor([[1.0, 0.0], [0.0, 3.0]]), torch.tensor([[0.0, 2.0], [0.0, 0.0]])
    assert half_squared_error(prediction, truth) == ((1 + 4) + 9) / 2 / 2


def test_margin_counts_up_to_one_class_s_share() -> None:
    assert margin(torch.tensor([[0.5, 0.4, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]])).item() == pytest.approx((0.1 + 0.25) / 2)


# Targets.


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_targets_that_have_not_moved_are_their_labels_again(classes: int) -> None:
    truth = one_hot(torch.arange(classes), classes)
    first = centred(truth) / scale(classes)
    assert first.sum(1).abs().max() < 1e-5
    expected = math.sqrt((1 - 1 / classes) * 10 / classes)
    assert first.norm(dim=1).tolist() == pytest.approx([expected] * classes, rel=1e-5)
    torch.testing.assert_close(probabilities(first, scale(classes)), truth, rtol=0, atol=1e-5)


def test_probabilities_give_soft_targets_back(generator: torch.Generator) -> None:
    soft = torch.rand(5, 4, generator=generator).softmax(1)
    torch.testing.assert_close(probabilities(centred(soft) / scale(4), scale(4)), soft, rtol=1e-5, atol=1e-6)


def test_any_targets_become_probabilities_with_the_same_order(generator: torch.Generator) -> None:
    targets = torch.cat([3 * torch.randn(50, 7, generator=generator), torch.full((1, 7), -100.0)])
    found = probabilities(targets, scale(7))
    assert found.min() >= 0
    torch.testing.assert_close(found.sum(1), torch.ones(51))
    some = targets.max(1).values > 0
    assert torch.equal(found[some].argmax(1), targets[some].argmax(1))
