"""LAMB against its published formula, written as loops."""

import math

import pytest
import torch

from proxyset.methods.moments import Moments, lamb


def plain_lamb(x: list[float], gradients: list[list[float]], lr: float) -> list[float]:
    """Algorithm 2 of You et al. 2020 without weight decay, number by number; φ is the identity."""
    m, v = [0.0] * len(x), [0.0] * len(x)
    for t, g in enumerate(gradients, start=1):
        m = [0.9 * a + 0.1 * b for a, b in zip(m, g, strict=True)]
        v = [0.999 * a + 0.001 * b**2 for a, b in zip(v, g, strict=True)]
        corrected = zip((a / (1 - 0.9**t) for a in m), (b / (1 - 0.999**t) for b in v), strict=True)
        r = [a / (math.sqrt(b) + 1e-6) for a, b in corrected]
        ratio = math.hypot(*x) / math.hypot(*r)
        x = [a - lr * ratio * b for a, b in zip(x, r, strict=True)]
    return x


def test_steps_follow_the_published_formula(generator: torch.Generator) -> None:
    value = torch.randn(2, 3, generator=generator, dtype=torch.float64)
    gradients = [torch.randn(2, 3, generator=generator, dtype=torch.float64) * 10**scale for scale in (-2, 0, 3, -1)]
    expected = plain_lamb(value.flatten().tolist(), [g.flatten().tolist() for g in gradients], lr=0.05)
    moments, before = Moments.zeros(value), value.clone()
    found = value
    for number, gradient in enumerate(gradients):
        found, moments = lamb(found, gradient, moments, number, lr=0.05)
    torch.testing.assert_close(found.flatten(), torch.tensor(expected, dtype=torch.float64), rtol=1e-10, atol=0)
    assert torch.equal(value, before)


def test_every_step_is_as_long_as_the_rate_s_share_of_the_tensor(generator: torch.Generator) -> None:
    value = torch.randn(50, generator=generator)
    for size in (1e-3, 1.0, 1e3):
        moved, _ = lamb(value, size * torch.randn(50, generator=generator), Moments.zeros(value), 0, lr=0.01)
        assert ((moved - value).norm() / value.norm()).item() == pytest.approx(0.01, rel=1e-4)


@pytest.mark.parametrize(("value", "gradient", "moved"), [(0.0, 2.0, -0.1), (3.0, 0.0, 3.0)])
def test_a_tensor_or_a_step_of_zero_takes_the_plain_step(value: float, gradient: float, moved: float) -> None:
    start = torch.full((4,), value)
    found, _ = lamb(start, torch.full((4,), gradient), Moments.zeros(start), 0, lr=0.1)
    torch.testing.assert_close(found, torch.full((4,), moved), rtol=1e-5, atol=0)
