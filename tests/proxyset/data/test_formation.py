"""Formations: a stored image of f×f tiles stands for f² images of full size."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from proxyset.data.formation import check_formation, fold, unfold
from proxyset.data.images import ImageSet, join
from proxyset.errors import InputError


def random_images(count: int, channels: int, size: int, seed: int = 0) -> Tensor:
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(seed))


def edges(size: int, formation: int) -> list[int]:
    """Where tiles begin and end: the first `size % formation` of them are a pixel longer."""
    short, longer = divmod(size, formation)
    sides = [short + (place < longer) for place in range(formation)]
    return [sum(sides[:place]) for place in range(formation + 1)]


@pytest.mark.parametrize(("size", "formation"), [(8, 2), (9, 2), (16, 3), (32, 2), (28, 4), (12, 1)])
@pytest.mark.parametrize("channels", [1, 3])
def test_unfolding_agrees_with_a_plain_loop(size: int, formation: int, channels: int) -> None:
    images, cuts = random_images(3, channels, size), edges(size, formation)
    expected = []
    for image in images:
        for row in range(formation):
            for column in range(formation):
                tile = image[:, cuts[row] : cuts[row + 1], cuts[column] : cuts[column + 1]]
                expected.append(F.interpolate(tile[None], (size, size), mode="bilinear", align_corners=False)[0])
    found = unfold(images, formation)
    assert found.shape == (3 * formation**2, channels, size, size)
    torch.testing.assert_close(found, torch.stack(expected))


@pytest.mark.parametrize(("size", "formation"), [(8, 2), (9, 2), (13, 3)])
def test_gradients_flow_through_unfolding(size: int, formation: int) -> None:
    images = random_images(2, 1, size).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda stored: unfold(stored, formation), images)


@pytest.mark.parametrize(("size", "formation"), [(8, 2), (9, 2), (13, 3), (32, 4)])
def test_constant_images_survive_folding_in_their_order(size: int, formation: int) -> None:
    values = torch.arange(2.0 * formation**2)
    images = values.view(-1, 1, 1, 1).expand(-1, 3, size, size)
    stored = fold(images, formation)
    assert stored.shape == (2, 3, size, size)
    assert stored[0, 0, 0].round().unique().tolist() == list(range(formation))  # row by row
    torch.testing.assert_close(unfold(stored, formation), images.contiguous())


@pytest.mark.parametrize(("size", "formation"), [(8, 2), (9, 2), (28, 3)])
def test_folding_agrees_with_a_plain_loop(size: int, formation: int) -> None:
    images, cuts = random_images(2 * formation**2, 3, size), edges(size, formation)
    stored, number = torch.empty(2, 3, size, size), 0
    for image in stored:
        for row in range(formation):
            for column in range(formation):
                sides = cuts[row + 1] - cuts[row], cuts[column + 1] - cuts[column]
                tile = F.interpolate(images[number : number + 1], sides, mode="bilinear", antialias=True)
                image[:, cuts[row] : cuts[row + 1], cuts[column] : cuts[column + 1]] = tile[0]
                number += 1
    torch.testing.assert_close(fold(images, formation), stored)


def test_no_formation_changes_nothing() -> None:
    images = random_images(2, 1, 8)
    assert unfold(images, 1) is images
    assert fold(images, 1) is images


def test_pixels_stay_pixels() -> None:
    pixels = torch.randint(256, (2, 3, 9, 9), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    found = unfold(pixels, 2)
    assert found.dtype == torch.uint8
    assert torch.equal(found, unfold(pixels.float(), 2).round().byte())


def test_tiles_that_are_too_small_are_refused() -> None:
    check_formation(2, 8)
    check_formation(1, 3)
    with pytest.raises(InputError, match=r"`formation=3` leaves tiles of 2 of 8 pixels.*can be at most 2"):
        check_formation(3, 8)


# In a set.


def test_a_set_unfolds_with_its_labels_and_targets() -> None:
    targets = torch.rand(2, 4, 3, generator=torch.Generator().manual_seed(0)).softmax(-1)
    data = ImageSet(random_images(2, 1, 8), torch.tensor([0, 2]), targets, formation=2)
    full = data.unfold()
    assert (len(data), data.trained_on, len(full), full.formation) == (2, 8, 8, 1)
    assert full.labels.tolist() == [0] * 4 + [2] * 4
    assert full.targets is not None
    assert torch.equal(full.targets[5], targets[1, 1])
    assert torch.equal(full.images, unfold(data.images, 2))
    assert full.unfold() is full


def test_parts_of_a_set_keep_its_formation() -> None:
    data = ImageSet(random_images(3, 1, 8), torch.tensor([0, 1, 2]), formation=2)
    assert data[torch.tensor([2])].formation == data[:1].formation == data.to("cpu").formation == 2
    assert data.sha256() != ImageSet(data.images, data.labels).sha256()
    assert len(join([data, ImageSet(data.images, data.labels)], 3)) == 15  # tiles beside whole images


def test_targets_must_be_of_every_tile() -> None:
    images, labels = random_images(2, 1, 8), torch.tensor([0, 1])
    with pytest.raises(InputError, match="2×4×classes"):
        ImageSet(images, labels, torch.full((2, 2), 0.5), formation=2)
    with pytest.raises(InputError, match="sum 1"):
        ImageSet(images, labels, torch.full((2, 4, 2), 0.3), formation=2)
