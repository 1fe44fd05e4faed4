"""Every method through a formation: f² training images in each stored one."""

import copy
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from proxyset.artefact.build import build
from proxyset.checkpoint import Checkpoint
from proxyset.compute.session import Session
from proxyset.data import augment
from proxyset.data.formation import fold, unfold
from proxyset.data.images import ImageSet
from proxyset.data.spec import Dataset, normalise
from proxyset.errors import InputError
from proxyset.methods.base import Problem
from proxyset.methods.coreset import Coreset, Herding, Random
from proxyset.methods.distances import DISTANCES
from proxyset.methods.dsa import DC, DSA
from proxyset.methods.initial import initial_images
from proxyset.methods.registry import METHODS, get_method
from proxyset.progress import Progress
from tests.proxyset.methods import made
from tests.proxyset.methods.made import make_context, make_problem, make_run
from tests.proxyset.methods.test_methods import shrink

FORMED = [name for name in METHODS if "formation" in get_method(name).model_fields]
CORESETS = [name for name in FORMED if issubclass(get_method(name), Coreset)]
every_method = pytest.mark.parametrize("name", FORMED)


def formed(name: str, formation: int = 2) -> Any:
    return shrink(name).model_copy(update={"formation": formation})


def stop_at(step: int) -> Progress:
    calls = itertools.count(1)

    def progress(done: float, total: int, loss: float | None = None) -> None:
        if next(calls) == step:
            raise KeyboardInterrupt

    return progress


def test_every_method_of_the_package_has_a_formation() -> None:
    assert list(METHODS) == FORMED


@every_method
@pytest.mark.parametrize(("channels", "size", "formation"), [(1, 8, 2), (3, 9, 2), (1, 12, 3)])
def test_as_many_stored_images_as_asked_with_tiles_to_train_on(
    name: str, channels: int, size: int, formation: int, make_dataset: Callable[..., Dataset]
) -> None:
    data = make_dataset(classes=4, counts=20, channels=channels, size=size)
    found = made.condense(formed(name, formation), data, ipc=2)
    assert (found.formation, found.trained_on) == (formation, 8 * formation**2)
    assert found.images.shape == (8, channels, size, size)
    assert found.images.isfinite().all()
    assert found.labels.tolist() == [label for label in range(4) for _ in range(2)]
    assert found.targets is None or found.targets.shape == (8, formation**2, 4)


@every_method
def test_the_same_seed_gives_the_same_bits_also_after_a_stop(name: str, tiny: Dataset, tmp_path: Path) -> None:
    method, whole = formed(name), made.condense(formed(name), tiny)
    assert made.condense(method, tiny).sha256() == whole.sha256()
    assert made.condense(method, tiny, seed=1).sha256() != whole.sha256()
    checkpoint = Checkpoint(tmp_path / "checkpoint", 1, {})
    try:
        made.condense(method, tiny, progress=stop_at(2), checkpoint=checkpoint)
    except KeyboardInterrupt:
        checkpoint.write()
    again = made.condense(method, tiny, checkpoint=Checkpoint(tmp_path / "checkpoint", 1, {}))
    assert again.sha256() == whole.sha256()


@every_method
def test_a_built_set_says_its_formation(name: str, tiny: Dataset, tmp_path: Path) -> None:
    proxy = build(tiny, formed(name), 2, session=Session(device="cpu", compile="off"), progress=False)
    assert proxy.provenance["settings"]["formation"] == 2
    proxy.save(tmp_path / "set.safetensors")
    assert "of 2×2 tiles" in repr(proxy)
    plain = shrink(name).resolved(make_problem(tiny))
    assert "formation" not in plain  # sets of before there was one are still the same


@every_method
def test_tiles_that_are_too_small_or_too_many_are_refused(name: str, tiny: Dataset) -> None:
    with pytest.raises(InputError, match="`formation=3` leaves tiles of 2 of 8 pixels"):
        formed(name, 3).check(make_problem(tiny, 1))
    method = formed(name)
    method.check(make_problem(tiny, 2))  # 8 of the 9 images of the smallest class
    if method.needs_real_images():
        with pytest.raises(InputError, match=r"`ipc=3` with 4 real images in each is more than .*'class1' has 9"):
            method.check(make_problem(tiny, 3))


# Coresets.


@pytest.mark.parametrize("name", CORESETS)
@pytest.mark.parametrize(("size", "formation", "ipc"), [(8, 2, 3), (9, 2, 2), (12, 3, 1)])
def test_stored_images_are_distinct_real_ones_shrunk(
    name: str, size: int, formation: int, ipc: int, make_dataset: Callable[..., Dataset]
) -> None:
    """Against a plain loop over the method's own ranking."""
    data, method = make_dataset(size=size, counts=(14, 13, 12)), formed(name, formation)
    problem = Problem(data.train, data.spec, ipc)
    ranked = method.rank(problem, make_context())
    expected = []
    for index in ranked:
        picks = index[: ipc * formation**2]
        assert len(set(picks.tolist())) == ipc * formation**2
        for place in range(ipc):
            image = torch.empty(1, size, size)
            rows = [len(part) for part in torch.arange(size).tensor_split(formation)]
            for tile in range(formation**2):
                row, column = divmod(tile, formation)
                real = normalise(data.train.images[picks[place * formation**2 + tile]][None], data.spec)
                shrunk = F.interpolate(real, (rows[row], rows[column]), mode="bilinear", antialias=True)[0]
                top, left = sum(rows[:row]), sum(rows[:column])
                image[:, top : top + rows[row], left : left + rows[column]] = shrunk
            expected.append(image)
    found = made.condense(method, data, ipc)
    torch.testing.assert_close(found.images, torch.stack(expected))
    assert torch.equal(found.labels, torch.arange(3).repeat_interleave(ipc))


def test_the_soft_targets_of_real_images_follow_them_into_their_tiles(tiny: Dataset) -> None:
    targets = torch.rand(len(tiny.train), 3, generator=torch.Generator().manual_seed(0)).softmax(1)
    real = ImageSet(tiny.train.images, tiny.train.labels, targets)
    problem = Problem(real, tiny.spec, 2)
    method = Herding(features="pixels", formation=2)
    picks = torch.cat([index[:8] for index in method.rank(problem, make_context())])
    found = method.condense(problem, make_context())
    assert found.targets is not None
    assert torch.equal(found.targets, targets[picks].view(6, 4, 3))
    assert torch.equal(found.unfold().answers, targets[picks])


def test_the_head_of_a_larger_set_is_the_smaller_set(tiny: Dataset) -> None:
    larger, smaller = (made.condense(Random(formation=2), tiny, ipc) for ipc in (2, 1))
    assert torch.equal(larger.images[::2], smaller.images)


# Gradient matching.


def test_first_images_are_real_ones_shrunk_or_noise_or_a_set(tiny: Dataset) -> None:
    problem = make_problem(tiny, 2)
    real = initial_images(problem, "real", 2, torch.Generator().manual_seed(0))
    full = normalise(tiny.train.images, tiny.spec)
    for label, stored in enumerate(real.split(2)):
        shrunk = fold(full[tiny.train.labels == label].repeat_interleave(4, 0), 2)  # each in all four places
        for tile, candidates in zip(_tiles(stored), _tiles(shrunk), strict=True):
            assert all((candidates == one).flatten(1).all(1).any() for one in tile)
    noise = initial_images(problem, "noise", 2, torch.Generator().manual_seed(0))
    assert torch.equal(noise, initial_images(problem, "noise", 1, torch.Generator().manual_seed(0)))
    start = ImageSet(noise, problem.labels, formation=2)
    given = initial_images(Problem(tiny.train, tiny.spec, 2, start), "real", 2, torch.Generator())
    assert torch.equal(given, noise)
    assert given is not start.images


def _tiles(images: Tensor) -> list[Tensor]:
    return [tile for row in images.tensor_split(2, 2) for tile in row.tensor_split(2, 3)]


@pytest.mark.parametrize("kind", [DC, DSA])
def test_the_gradient_of_stored_images_is_that_through_unfolding(
    kind: type[DC], tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written as one function of the stored images: unfold, augment, loss, gradient of the weights, distance."""
    drawn: list[augment.Transform | None] = []
    original = augment.draw

    def remember(*arguments: Any) -> augment.Transform | None:
        drawn.append(original(*arguments))
        return drawn[-1]

    monkeypatch.setattr(augment, "draw", remember)
    run = make_run(kind(net="convnet-w4-d1", formation=2), tiny, 2)
    chosen = run.draw_class(1)
    distance, gradient = run.match_class(chosen)

    weights = [parameter for parameter in run.net.parameters() if parameter.ndim > 1]
    stored = run.images[chosen.picked].clone().requires_grad_()
    real = normalise(tiny.train.images[tiny.train.labels == 1], tiny.spec)  # the whole class: fewer than a batch
    sides = []
    for images, graph in ((real, False), (unfold(stored, 2), True)):
        logits = run.net(augment.apply(drawn[0], images))
        loss = F.cross_entropy(logits, torch.ones(len(images), dtype=torch.int64))
        sides.append(list(torch.autograd.grad(loss, weights, create_graph=graph)))
    expected = DISTANCES["layerwise"](*sides)
    assert distance.item() == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, stored)[0], rtol=1e-3, atol=1e-6)


def test_networks_train_on_every_tile(tiny: Dataset) -> None:
    run = make_run(DC(net="convnet-w4-d1", formation=2, lr_net=0.1), tiny, 2)
    plain = copy.deepcopy(run.net)
    run.update_network(1)
    loss = F.cross_entropy(plain(unfold(run.images, 2)), torch.arange(3).repeat_interleave(8))  # one minibatch
    for found, before, gradient in zip(
        run.net.parameters(), plain.parameters(), torch.autograd.grad(loss, list(plain.parameters())), strict=True
    ):
        torch.testing.assert_close(found, before - 0.1 * gradient, rtol=1e-4, atol=1e-6)
