"""A step of kernel ridge regression against one plain graph over everything; schedule, targets, resume, learning."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import proxyset
from proxyset.data import augment
from proxyset.data.formation import unfold
from proxyset.data.images import ImageSet
from proxyset.data.spec import Dataset, normalise
from proxyset.errors import RunError
from proxyset.methods.base import Problem
from proxyset.methods.kernel_ridge import KernelRidge
from proxyset.methods.krr import KRR
from proxyset.methods.regression import centred, predict, scale
from tests.proxyset.methods.made import condense, make_context, unfinished
from tests.proxyset.methods.test_moments import plain_lamb
from tests.proxyset.spy import spied

SMALL: dict[str, Any] = {"net": "convnet-w4-d1", "iterations": 4, "batch_real": 12}


def make_run(method: KRR, data: Dataset, ipc: int = 2, start: ImageSet | None = None) -> KernelRidge:
    return KernelRidge(method, Problem(data.train, data.spec, ipc, start), make_context())


# One step.


@pytest.mark.parametrize("formation", [1, 2])
@pytest.mark.parametrize(
    ("net", "strategy"), [("convnet-w4-d1", "none"), ("convnet-w4-d1-batch", "crop"), ("mlp", "scale")]
)
def test_loss_and_gradients_agree_with_one_graph_over_everything(
    formation: int, net: str, strategy: str, tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In double precision, with an explicit inverse."""
    method = KRR(**SMALL | {"net": net}, formation=formation, augment=strategy, ridge=1e-3)
    run = make_run(method, tiny)
    drawn: list[augment.Transform | None] = []
    draw = augment.draw

    def remember(*given: Any) -> augment.Transform | None:
        drawn.append(draw(*given))
        return drawn[-1]

    monkeypatch.setattr(augment, "draw", remember)
    run.set.targets = run.set.targets + 0.1 * torch.randn(run.set.targets.shape, generator=run.generator)
    index = torch.tensor([3, 0, 20, 31, 7])
    net_of_step = run.pool.members[0].net
    loss, image_gradient, target_gradient = run.match(net_of_step, index)
    (transform,) = drawn  # one for both

    embed: Callable[[Tensor], Tensor] = copy.deepcopy(net_of_step).double().eval().embed  # type: ignore[assignment]
    images, targets = run.set.images.double().requires_grad_(), run.set.targets.double().requires_grad_()
    s = embed(augment.apply(transform, unfold(images, formation)))
    t = embed(augment.apply(transform, normalise(tiny.train.images[index], tiny.spec).double()))
    kernel = s @ s.T
    inverse = (kernel + 1e-3 * kernel.trace() / len(s) * torch.eye(len(s))).inverse()
    truth = F.one_hot(tiny.train.labels[index], 3) - 1 / 3
    expected = 0.5 * ((t @ s.T @ inverse @ targets - truth) ** 2).sum() / len(index)
    top = targets.sort(1, descending=True).values
    apart = (top[:, 0] - top[:, 1]).clamp(max=1 / 3).mean()
    (expected - apart).backward()
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(image_gradient.double(), images.grad, rtol=2e-3, atol=1e-5)
    torch.testing.assert_close(target_gradient.double(), targets.grad, rtol=2e-3, atol=1e-5)


def test_images_and_targets_take_steps_of_lamb(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(KRR(**SMALL, lr_img=0.05), tiny)
    start = run.set.images.clone(), run.set.targets.clone()
    gradients: list[tuple[Tensor, ...]] = []
    match = KernelRidge.match

    def remember(*given: Any) -> tuple[Tensor, Tensor, Tensor]:
        result = match(*given)
        gradients.append(result[1:])
        return result

    monkeypatch.setattr(KernelRidge, "match", remember)
    run.step(0)
    for found, before, gradient in zip((run.set.images, run.set.targets), start, gradients[0], strict=True):
        expected = plain_lamb(before.flatten().tolist(), [gradient.flatten().tolist()], lr=0.05)
        torch.testing.assert_close(found.flatten(), torch.tensor(expected), rtol=1e-4, atol=1e-6)


def test_learning_rate_follows_a_cosine_that_ends_at_zero_with_the_iterations(tiny: Dataset) -> None:
    run = make_run(KRR(**SMALL | {"iterations": 10}, lr_img=0.5), tiny)
    rates = [run.lr(number) for number in range(11)]
    assert rates[0] == 0.5
    assert rates[5] == pytest.approx(0.25)
    assert rates[10] == pytest.approx(0, abs=1e-12)
    assert rates == sorted(rates, reverse=True)


def test_real_batches_are_drawn_from_all_classes_without_replacement(
    tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []
    monkeypatch.setattr(KernelRidge, "match", spied(KernelRidge.match, seen, lambda run, net, index: index))
    run = make_run(KRR(**SMALL), tiny)
    for number in range(20):
        run.step(number)
    assert all(len(index.unique()) == 12 for index in seen)
    assert len(torch.cat(seen).unique()) == 36


def test_the_network_of_the_step_is_trained_on_the_new_images_and_targets(
    tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(KRR(**SMALL, lr_img=0.05, pool=3, formation=2, batch_net=10), tiny)
    matched: list[Any] = []
    trained: list[Any] = []
    monkeypatch.setattr(KernelRidge, "match", spied(KernelRidge.match, matched, lambda run, net, index: net))
    note = lambda place, gradients, images, targets: (run.pool.members[place].net, images, targets)  # noqa: E731
    monkeypatch.setattr(run.pool, "train", spied(run.pool.train, trained, note))
    for number in range(3):
        run.step(number)
        net, images, targets = trained[-1]
        assert net is matched[-1]
        assert images.shape == (10, 1, 8, 8)  # of the 24 tiles
        tiles = unfold(run.set.images, 2)
        rows = [(tiles == image).flatten(1).all(1).nonzero().item() for image in images]
        assert len(set(rows)) == 10
        assert torch.equal(targets, run.set.targets[rows])


@pytest.mark.parametrize("net", ["mlp", "convnet-w4-d1-batch", "convnet-w4-d1-nonorm", "lenet"])
def test_learns_with_every_kind_of_network(net: str, make_dataset: Callable[..., Dataset]) -> None:
    data = make_dataset(classes=2, counts=4, channels=3, size=16)
    method = KRR(**SMALL | {"net": net, "iterations": 2}, pool=1)
    found = condense(method, data, ipc=1).images
    assert found.isfinite().all()
    assert not torch.equal(found, make_run(method, data, 1).set.images)


# Targets.


def test_learned_targets_become_probabilities(tiny: Dataset) -> None:
    found = condense(KRR(**SMALL, lr_img=0.03), tiny)
    assert found.targets is not None
    assert found.targets.shape == (6, 3)
    assert not torch.equal(found.targets, F.one_hot(found.labels, 3).float())
    tiles = condense(KRR(**SMALL, formation=2), tiny).targets
    assert tiles is not None
    assert tiles.shape == (6, 4, 3)  # one row per tile


@pytest.mark.parametrize("targets", ["hard", "teacher"])
def test_other_targets_are_the_labels_and_stay(targets: str, tiny: Dataset) -> None:
    method = KRR(**SMALL, targets=targets, formation=2)
    run = make_run(method, tiny)
    before = run.set.targets.clone()
    expected = centred(F.one_hot(torch.arange(3).repeat_interleave(8), 3).float()) / scale(3)
    torch.testing.assert_close(before, expected)
    for number in range(4):
        run.step(number)
    assert torch.equal(run.set.targets, before)
    assert run.result().targets is None


def test_learning_starts_from_the_targets_of_another_set(tiny: Dataset) -> None:
    first = condense(KRR(**SMALL, lr_img=0.03), tiny)
    assert first.targets is not None
    again = make_run(KRR(**SMALL), tiny, start=first).result()
    assert torch.equal(again.images, first.images)
    torch.testing.assert_close(again.targets, first.targets, rtol=1e-4, atol=1e-5)
    hard = make_run(KRR(**SMALL, targets="hard"), tiny, start=first)
    assert torch.equal(hard.set.targets, make_run(KRR(**SMALL), tiny).set.targets)


# The course of the work.


def test_goes_on_from_its_state_in_every_part(tiny: Dataset) -> None:
    """Networks that were replaced, BatchNorm's statistics and a formation are part of it."""
    method = KRR(**SMALL | {"iterations": 8, "net": "convnet-w4-d1-batch"}, pool=2, pool_steps=3, formation=2)
    whole, other = make_run(method, tiny), make_run(method, tiny)
    for number in range(5):
        whole.step(number)
    other.set_state({name: tensor.clone() for name, tensor in whole.state().items()})
    for number in range(5, 8):
        assert whole.step(number) == other.step(number)
    states = whole.state(), other.state()
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


@pytest.mark.parametrize("lr", [1e20, 3e38])
def test_a_step_that_is_not_finite_stops_and_keeps_the_last_good_state(
    lr: float, tiny: Dataset, tmp_path: Path
) -> None:
    path = tmp_path / "run.checkpoint"
    with pytest.raises(RunError, match=r"the loss became (nan|inf).*lower `lr_img`"):
        condense(KRR(**SMALL | {"iterations": 50}, lr_img=lr), tiny, checkpoint=unfinished(path))
    if path.exists():  # not where the very first step failed
        saved = unfinished(path).restore()
        assert saved is not None
        assert all(saved[name].isfinite().all() for name in ("images", "targets", "images.second"))


def test_a_few_steps_on_digits_teach_unseen_networks_more_than_the_images_they_start_from() -> None:
    """By the regression's accuracy on test images, with the features of networks that took no part."""
    data = proxyset.load("digits")
    method = KRR(net="convnet-w32-d1", iterations=40, batch_real=256)
    run = make_run(method, data, ipc=1)
    before = accuracy(run, data)
    losses = [run.step(number) for number in range(40)]
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])
    assert accuracy(run, data) > before + 0.15  # 0.88 after 0.61


@torch.no_grad()
def accuracy(run: KernelRidge, data: Dataset) -> float:
    """Share of the test images that regressions on three fresh networks' features classify correctly."""
    test = normalise(data.test.images, data.spec)
    found = []
    for _ in range(3):
        embed: Callable[[Tensor], Tensor] = run.new_network().eval().embed  # type: ignore[assignment]
        classes = predict(embed(run.set.images), run.set.targets, embed(test), 1e-6).argmax(1)
        found.append((classes == data.test.labels).float().mean().item())
    return sum(found) / len(found)
