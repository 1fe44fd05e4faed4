"""The six operations against plain loops with fixed parameters; draws, Siamese sharing and derivatives."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from proxyset.data.augment import OPERATIONS, Operation, Transform, apply, draw, operations, strategy
from proxyset.errors import InputError
from proxyset.train.recipe import ALL
from tests import reference

COUNTS = {"color": 3, "crop": 2, "cutout": 2, "flip": 1, "scale": 2, "rotate": 1}
NAMES = tuple(COUNTS)
ALMOST_ONE = 1 - 2**-24  # the largest that torch.rand gives


def images(count: int = 3, channels: int = 3, size: int = 8, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(1), dtype=dtype)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("draws", [0.0, 0.2, 0.4999, 0.5, 0.77, ALMOST_ONE])
@pytest.mark.parametrize(("channels", "size"), [(3, 8), (1, 11)])
def test_operation_agrees_with_the_plain_formula(name: str, draws: float, channels: int, size: int) -> None:
    r = [(draws + 0.31 * position) % 1 for position in range(COUNTS[name])]
    batch = images(2, channels, size)
    shared = apply(Transform(name, torch.tensor([r], dtype=torch.float64)), batch)
    expected = torch.stack([reference.augment(image, name, r) for image in batch])
    torch.testing.assert_close(shared, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_every_image_by_its_own_parameters(name: str, generator: torch.Generator) -> None:
    batch = images()
    transform = draw((name,), generator, len(batch))
    assert transform is not None
    assert transform.r.shape == (3, COUNTS[name])
    expected = torch.stack(
        [reference.augment(image, name, r.double().tolist()) for image, r in zip(batch, transform.r, strict=True)]
    )
    torch.testing.assert_close(apply(transform, batch), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_siamese_means_one_transform_for_any_batch(name: str, generator: torch.Generator) -> None:
    transform = draw((name,), generator)
    real, synthetic = images(5), images(2)
    together = apply(transform, torch.cat([real, synthetic]))
    torch.testing.assert_close(torch.cat([apply(transform, real), apply(transform, synthetic)]), together)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", [1, 2])
def test_operation_passes_gradcheck_and_gradgradcheck(name: str, count: int, generator: torch.Generator) -> None:
    transform = draw((name,), generator, count)
    assert transform is not None
    transform = Transform(name, transform.r.double())
    batch = images(2, 1, 8).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: apply(transform, x), batch)
    # Output gradients are given because gradgradcheck would draw them from the global generator.
    assert torch.autograd.gradgradcheck(lambda x: apply(transform, x), batch, images(2, 1, 8).requires_grad_())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [8, 28, 32, 33, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_shape_and_type_stay_and_the_input_is_untouched(
    name: str, size: int, channels: int, generator: torch.Generator
) -> None:
    batch = images(4, channels, size, torch.float32)
    before = batch.clone()
    for count in (1, 4):
        changed = apply(draw((name,), generator, count), batch)
        assert changed.shape == batch.shape
        assert changed.dtype == torch.float32
        assert changed.isfinite().all()
    assert torch.equal(batch, before)


def test_none_leaves_images_alone_and_draws_nothing(generator: torch.Generator) -> None:
    state = generator.get_state()
    assert draw((), generator, 4) is None
    batch = images()
    assert apply(None, batch) is batch
    assert torch.equal(generator.get_state(), state)


def test_a_transform_for_another_number_of_images_is_refused(generator: torch.Generator) -> None:
    with pytest.raises(ValueError, match="2 images, got 3"):
        apply(draw(("crop",), generator, 2), images(3))


def test_parameters_cover_their_published_ranges_evenly(generator: torch.Generator) -> None:
    """Each operation is read back from what it does to a probe image, over many draws."""
    size, count = 32, 4000
    transform = draw(("crop",), generator, count)
    probe = torch.zeros(count, 1, size, size)
    probe[:, :, 16, 16] = 1
    place = apply(transform, probe).flatten(1).argmax(1)
    for shift in (place // size - 16, place % size - 16):
        found = shift.unique(return_counts=True)
        assert found[0].tolist() == list(range(-4, 5))  # ±int(0.125·32 + 0.5)
        assert found[1].min() > 0.7 * count / 9

    erased = apply(draw(("cutout",), generator, count), torch.ones(count, 1, size, size)) == 0
    assert erased.flatten(1).sum(1).max() == 16 * 16  # side int(0.5·32 + 0.5)
    assert erased.flatten(1).sum(1).min() == 8 * 8  # centred on a corner

    mirrored = apply(draw(("flip",), generator, count), torch.arange(8.0).expand(count, 1, 8, 8))[:, 0, 0, 0] == 7
    assert 0.47 < mirrored.float().mean() < 0.53


def test_operations_are_drawn_evenly(generator: torch.Generator) -> None:
    names = operations(ALL, flip=True)
    drawn = [transform.operation for transform in (draw(names, generator) for _ in range(1200)) if transform]
    assert set(drawn) == set(NAMES)
    assert min(drawn.count(name) for name in NAMES) > 140  # 200 expected


@pytest.mark.parametrize("names", [(), ("crop",), NAMES, ("crop", "scale")])
def test_operations_and_strategy_are_each_other_s_inverse(names: tuple[str, ...]) -> None:
    assert operations(strategy(names), flip=True) == names


def test_strategies() -> None:
    assert operations("none", flip=True) == ()
    assert set(operations(ALL, flip=True)) == set(NAMES)
    assert operations("crop_flip_scale", flip=False) == ("crop", "scale")
    with pytest.raises(InputError, match=r"unknown augmentation 'rotat'.*did you mean 'rotate'"):
        operations("crop_rotat", flip=True)
    with pytest.raises(InputError, match="flip"):
        operations("flip", flip=False)


@settings(deadline=None, max_examples=30, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), name=st.sampled_from(NAMES))
def test_same_generator_state_draws_the_same_transform(seed: int, name: str) -> None:
    first, second = (draw((name,), torch.Generator().manual_seed(seed), 3) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.operation == second.operation
    assert torch.equal(first.r, second.r)
    assert 0 <= first.r.min() <= first.r.max() < 1


@settings(deadline=None, max_examples=30, derandomize=True)
@given(r=st.floats(0, 1, exclude_max=True), name=st.sampled_from(["scale", "rotate"]))
def test_warps_only_interpolate(r: float, name: str) -> None:
    """Bilinear weights add to at most 1, so no value leaves the range of the image and the zero fill."""
    batch = images(1, 1, 8)
    warped = apply(Transform(name, torch.full((1, COUNTS[name]), r, dtype=torch.float64)), batch)
    assert warped.max() <= max(batch.max().item(), 0) + 1e-9
    assert warped.min() >= min(batch.min().item(), 0) - 1e-9
    assert math.isfinite(warped.sum().item())


# Operations of one's own.


def fade(images: torch.Tensor, r: torch.Tensor) -> torch.Tensor:
    """Darken by up to half."""
    return images * (1 - r.view(-1, 1, 1, 1) / 2)


FADE = Operation(fade, 1)


def test_an_operation_of_one_s_own_is_drawn_and_applied_like_the_others(generator: torch.Generator) -> None:
    reference_name = f"{__name__}:FADE"
    assert operations(reference_name, flip=False) == (reference_name,)
    names = operations(f"crop+{reference_name}", flip=True)
    assert names == ("crop", reference_name)
    drawn = {draw(names, generator).operation for _ in range(40)}  # type: ignore[union-attr]
    assert drawn == set(names)
    assert operations(strategy(names), flip=True) == names
    transform = draw((reference_name,), generator, 3)
    assert transform is not None
    torch.testing.assert_close(apply(transform, images()), fade(images(), transform.r.double()))


def test_a_registered_operation_has_a_short_name_and_says_whether_it_keeps_labels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(OPERATIONS, "_entries", dict(OPERATIONS._entries))
    OPERATIONS.register("upside_down", Operation(lambda x, r: x.flip(2), 1, keeps_label=False))
    assert operations("crop+upside_down", flip=True) == ("crop", "upside_down")
    assert operations("crop+upside_down", flip=False) == ("crop",)
    assert operations("upside_down", flip=True) == ("upside_down",)
    assert "upside_down" in OPERATIONS
