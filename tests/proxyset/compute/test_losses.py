"""What training minimises, against the plain formulas."""

import math

import pytest
import torch
from torch import Tensor

from proxyset.compute.losses import LOSSES, cross_entropy, squared_error
from proxyset.data.images import one_hot


def batch() -> tuple[Tensor, Tensor, Tensor]:
    """Images, logits of three classes, and probabilities."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 3, generator=generator)
    return torch.zeros(4, 1, 8, 8), logits, torch.randn(4, 3, generator=generator).softmax(1)


def test_cross_entropy_of_probabilities_is_the_plain_formula() -> None:
    images, logits, answers = batch()
    total = 0.0
    for row, wanted in zip(logits.tolist(), answers.tolist(), strict=True):
        log_sum = math.log(sum(math.exp(logit) for logit in row))
        total -= sum(y * (logit - log_sum) for y, logit in zip(wanted, row, strict=True))
    assert cross_entropy(images, logits, answers).item() == pytest.approx(total / 4, rel=1e-6)


def test_squared_error_is_the_plain_formula() -> None:
    images, logits, answers = batch()
    rows = zip(logits.tolist(), answers.tolist(), strict=True)
    total = sum((logit - y) ** 2 for row, wanted in rows for logit, y in zip(row, wanted, strict=True))
    assert squared_error(images, logits, answers).item() == pytest.approx(total / 4, rel=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_a_label_is_the_probability_1_of_its_class(name: str) -> None:
    images, logits, _ = batch()
    labels = torch.tensor([2, 0, 1, 1])
    by_label = LOSSES[name](images, logits, labels)
    torch.testing.assert_close(by_label, LOSSES[name](images, logits, one_hot(labels, 3)))


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_means_in_single_precision(name: str) -> None:
    images, logits, answers = batch()
    halves = [LOSSES[name](images[part], logits[part], answers[part]) for part in (slice(0, 2), slice(2, 4))]
    torch.testing.assert_close(sum(halves) / 2, LOSSES[name](images, logits, answers))
    assert LOSSES[name](images, logits.bfloat16(), answers).dtype == torch.float32
