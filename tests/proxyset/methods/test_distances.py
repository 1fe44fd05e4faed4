"""The gradient distances against plain loops, their limits, and their derivatives."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from proxyset.methods.distances import DISTANCES, EPSILON
from tests import reference

SHAPES = ((4, 3, 3, 3), (4,), (4, 5, 5), (6, 10), (6,))  # convolution, bias, layer norm, linear, bias


def gradients(generator: torch.Generator, dtype: torch.dtype = torch.float64, scale: float = 1.0) -> list[Tensor]:
    return [scale * torch.randn(shape, generator=generator, dtype=dtype) for shape in SHAPES]


@pytest.mark.parametrize("name", DISTANCES)
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e3])  # 1e-4: where the 1e-6 in the denominator matters
def test_distance_agrees_with_the_plain_formula(name: str, scale: float, generator: torch.Generator) -> None:
    real, synthetic = gradients(generator, scale=scale), gradients(generator, scale=scale)
    expected = reference.DISTANCES[name](real, synthetic)
    torch.testing.assert_close(DISTANCES[name](real, synthetic), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", DISTANCES)
def test_distance_in_single_precision(name: str, generator: torch.Generator) -> None:
    real, synthetic = gradients(generator, torch.float32), gradients(generator, torch.float32)
    expected = reference.DISTANCES[name]([r.double() for r in real], [s.double() for s in synthetic])
    torch.testing.assert_close(DISTANCES[name](real, synthetic).double(), expected, rtol=1e-5, atol=1e-5)


def test_layerwise_counts_units_and_no_vectors(generator: torch.Generator) -> None:
    real = gradients(generator)
    units = sum(shape[0] for shape in SHAPES if len(shape) > 1)
    opposed = [-r for r in real]
    assert DISTANCES["layerwise"](real, real).item() == pytest.approx(0, abs=1e-5)
    assert DISTANCES["layerwise"](real, opposed).item() == pytest.approx(2 * units, abs=1e-5)
    only_vectors_differ = [r if r.ndim > 1 else -r for r in real]
    assert DISTANCES["layerwise"](real, only_vectors_differ).item() == pytest.approx(0, abs=1e-5)
    assert DISTANCES["cosine"](real, only_vectors_differ).item() > 1e-3  # the others see every parameter


def test_a_unit_without_gradient_costs_one_and_has_a_finite_derivative() -> None:
    real = [torch.zeros(2, 3, dtype=torch.float64)]  # dead ReLU units do this
    synthetic = [torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)]
    distance = DISTANCES["layerwise"](real, synthetic)
    assert distance.item() == 2.0
    (derivative,) = torch.autograd.grad(distance, synthetic)
    assert derivative.isfinite().all()


@pytest.mark.parametrize("name", DISTANCES)
def test_distance_passes_gradcheck_and_gradgradcheck(name: str, generator: torch.Generator) -> None:
    real, synthetic = gradients(generator), gradients(generator)
    leaves = tuple(s.requires_grad_() for s in synthetic)

    def distance(*parts: Tensor) -> Tensor:
        return DISTANCES[name](real, parts)

    assert torch.autograd.gradcheck(distance, leaves)
    few = tuple(leaf[:2, ..., :2].detach().requires_grad_() if leaf.ndim > 1 else leaf for leaf in leaves)
    matching = [r[:2, ..., :2] if r.ndim > 1 else r for r in real]
    # The output's gradient is given because gradgradcheck would draw it from the global generator.
    weight = torch.tensor(1.7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda *parts: DISTANCES[name](matching, parts), few, weight)


@pytest.mark.parametrize("name", DISTANCES)
def test_gradients_of_different_networks_are_refused(name: str, generator: torch.Generator) -> None:
    real = gradients(generator)
    with pytest.raises((ValueError, RuntimeError)):
        DISTANCES[name](real, real[:-2])


@settings(deadline=None, max_examples=25, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(0.1, 10))
def test_cosines_ignore_the_length_of_a_gradient_and_stay_in_range(seed: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    real, synthetic = gradients(generator), gradients(generator)
    units = sum(shape[0] for shape in SHAPES if len(shape) > 1)
    for name, most in (("layerwise", 2 * units), ("cosine", 2)):
        distance = DISTANCES[name](real, synthetic)
        assert 0 <= distance <= most
        longer = DISTANCES[name]([scale * r for r in real], synthetic)
        torch.testing.assert_close(distance, longer, rtol=0, atol=20 * most * EPSILON)
