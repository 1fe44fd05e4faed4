"""One inner step of DC and DSA against a plain eager oracle; augmentation, BatchNorm, a loss that turns NaN."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from proxyset.data import augment
from proxyset.data.spec import Dataset, normalise
from proxyset.errors import RunError
from proxyset.methods.dsa import DC, DSA
from proxyset.methods.gradient_matching import Drawn, GradientMatching
from proxyset.methods.initial import draw
from proxyset.nets.classifier import has_batch_norm
from proxyset.train.recipe import ALL
from tests import reference
from tests.proxyset.methods.made import SMALL, condense, make_run, unfinished
from tests.proxyset.spy import spied

# One inner step.


@pytest.mark.parametrize("strategy", ["none", "color", "crop", "cutout", "flip", "scale", "rotate"])
@pytest.mark.parametrize("distance", ["layerwise", "cosine", "mse"])
def test_inner_step_agrees_with_the_plain_oracle(
    strategy: str, distance: str, make_dataset: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two steps in a row, so that the momentum counts; in the oracle everything is in double precision."""
    data = make_dataset(classes=2, counts=3)
    method = DSA(net="convnet-w3-d1", augment=strategy, distance=distance)
    drawn: list[augment.Transform | None] = []
    draw = augment.draw

    def remember(*arguments: Any) -> augment.Transform | None:
        drawn.append(draw(*arguments))
        return drawn[-1]

    monkeypatch.setattr(augment, "draw", remember)
    run = make_run(method, data, ipc=2)
    net = copy.deepcopy(run.net).double()
    # With three real images per class and a batch of 256, the real batch is the whole class, in order.
    real = [normalise(data.train.images[data.train.labels == label], data.spec).double() for label in range(2)]
    images, velocity = run.images.double(), run.velocity.double()
    for _ in range(2):
        drawn.clear()
        loss = run.update_images()
        assert len(drawn) == 2  # one per class, shared by the real and the synthetic batch
        images, velocity, total = reference.inner_step(
            net,
            real,
            images,
            velocity,
            operations=[(each.operation, each.r[0].tolist()) if each else None for each in drawn],
            distance=reference.DISTANCES[distance],
            lr=0.1,
            momentum=0.5,
        )
        assert loss == pytest.approx(total / 2, rel=1e-4)
        torch.testing.assert_close(run.velocity.double(), velocity, rtol=2e-3, atol=1e-5)
        torch.testing.assert_close(run.images.double(), images, rtol=2e-4, atol=1e-6)


def test_network_is_trained_by_plain_sgd_on_the_synthetic_set(make_dataset: Callable[..., Dataset]) -> None:
    data = make_dataset(classes=2)
    run = make_run(DC(net="convnet-w3-d1"), data, ipc=2)
    net = copy.deepcopy(run.net)
    assert net is not None
    run.update_network(epochs=3)
    for _ in range(3):  # four images in one batch: the order is of no account
        loss = torch.nn.functional.cross_entropy(net(run.images), torch.tensor([0, 0, 1, 1]))
        gradients = torch.autograd.grad(loss, list(net.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(net.parameters(), gradients, strict=True):
                parameter.sub_(0.01 * gradient)
    assert run.net is not None
    for found, expected in zip(run.net.parameters(), net.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_real_batches_are_drawn_without_replacement(make_dataset: Callable[..., Dataset]) -> None:
    data = make_dataset(classes=2, counts=20)
    run = make_run(DSA(**SMALL), data, ipc=1)
    seen = set()
    for _ in range(40):
        picked = draw(run.classes[1], 8, run.generator)
        assert len(picked.unique()) == 8
        assert (data.train.labels[picked] == 1).all()
        seen |= set(picked.tolist())
    assert len(seen) == 20


# Table 4: how real and synthetic batches, and the network's training, are augmented.


@pytest.mark.parametrize("real", ["none", "independent", "siamese"])
@pytest.mark.parametrize("synthetic", ["none", "independent", "siamese"])
def test_augmentation_modes_draw_as_stated(
    real: str, synthetic: str, tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []
    applied: list[tuple[augment.Transform | None, int]] = []
    draw, apply = augment.draw, augment.apply
    monkeypatch.setattr(augment, "draw", spied(draw, counts, lambda names, g, count=1: count))
    monkeypatch.setattr(augment, "apply", spied(apply, applied, lambda t, images: (t, len(images))))
    method = DSA(**SMALL, augment_real=real, augment_synthetic=synthetic)
    run = make_run(method, tiny, ipc=2)
    run.match_class(run.draw_class(0))
    expected = [1] if "siamese" in (real, synthetic) else []
    expected += [8] if real == "independent" else []
    expected += [2] if synthetic == "independent" else []
    assert counts == expected
    assert [size for _, size in applied] == [8] * (real != "none") + [2] * (synthetic != "none")
    if real == synthetic == "siamese":
        assert applied[0][0] is applied[1][0]


@pytest.mark.parametrize(("on", "method"), [(True, DSA), (False, DSA), (False, DC)])
def test_network_training_is_augmented_per_image_or_not_at_all(
    on: bool, method: type[DC], tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(method(**SMALL, augment_net=on) if method is DSA else method(**SMALL), tiny, ipc=2)
    transforms: list[augment.Transform | None] = []
    apply = augment.apply
    monkeypatch.setattr(augment, "apply", spied(apply, transforms, lambda t, images: t))
    run.update_network(1)
    assert [len(t.r) if t else None for t in transforms] == [6 if on else None]


@pytest.mark.parametrize("strategy", ["crop", "flip_scale", "cutout_rotate", "none", ALL])
def test_any_strategy_condenses(strategy: str, tiny: Dataset) -> None:
    assert condense(DSA(**SMALL, augment=strategy), tiny).images.isfinite().all()


# The course of the work.


def recorded(name: str, work: Callable[..., Any], calls: list[str]) -> Callable[..., Any]:
    def spy(run: GradientMatching, *arguments: Any) -> Any:
        calls.append(name)
        return work(run, *arguments)

    return spy


def test_steps_networks_and_trainings_follow_algorithm_1(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """K fresh networks, K·T image updates, and T − 1 network trainings each: none after the last inner step."""
    calls: list[str] = []
    for name in ("new_network", "update_images", "update_network"):
        monkeypatch.setattr(GradientMatching, name, recorded(name, getattr(GradientMatching, name), calls))
    progress: list[tuple[float, int]] = []
    method = DSA(**SMALL | {"inner_steps": 3})
    condense(method, tiny, progress=lambda done, total, loss=None: progress.append((done, total)))
    once = ["new_network", *["update_images", "update_network"] * 2, "update_images"]
    assert calls == once * 2
    assert progress == [(pytest.approx(step / 3), 2) for step in range(1, 7)]  # outer iterations are counted


def test_initial_images_are_real_ones_or_noise(tiny: Dataset) -> None:
    real = make_run(DSA(**SMALL), tiny, ipc=4)
    for label in range(3):
        real_images = normalise(tiny.train.images[tiny.train.labels == label], tiny.spec)
        rows = [
            (real_images == image).flatten(1).all(1).nonzero().flatten().tolist()
            for image in real.images[real.places[label]]
        ]
        assert all(len(row) == 1 for row in rows)
        assert len({row[0] for row in rows}) == 4  # distinct
    noise = make_run(DC(**SMALL), tiny, ipc=100).images
    assert noise.mean().abs() < 0.05
    assert noise.std().item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("init", ["real", "noise"])
@pytest.mark.parametrize("method", [DC, DSA])
def test_condensing_changes_the_images_and_lowers_the_distance(
    init: str, method: type[DC], make_dataset: Callable[..., Dataset]
) -> None:
    data = make_dataset(counts=20)
    losses: list[float] = []

    def note(done: float, total: int, loss: float | None = None) -> None:
        assert loss is not None
        losses.append(loss)

    small = SMALL | {"iterations": 60, "inner_steps": 1, "batch_real": 256, "lr_img": 1.0}
    images = condense(method(**small, init=init), data, ipc=1, progress=note).images
    assert sum(losses[-15:]) < 0.9 * sum(losses[:15])
    start = make_run(method(**small, init=init), data, ipc=1).images
    assert (images - start).abs().max() > 0.01


# Networks.


@pytest.mark.parametrize(
    ("net", "size"),
    [
        ("mlp", 8),
        ("lenet", 16),
        ("alexnet", 8),
        ("vgg11", 32),
        ("vgg11-batch", 32),
        ("resnet18", 16),
        ("resnet18-batch", 16),
        ("resnet18-pooled", 16),
        *((f"convnet-w4-d2-{norm}", 8) for norm in ("nonorm", "batch", "layer", "instance", "group")),
        ("convnet-w4-d1-sigmoid-max", 8),
        ("convnet-w4-d1-leakyrelu-nopool", 8),
    ],
)
def test_condenses_with_every_network(net: str, size: int, make_dataset: Callable[..., Dataset]) -> None:
    data = make_dataset(classes=2, counts=4, channels=3, size=size)
    method = DSA(net=net, iterations=1, inner_steps=2, net_epochs=1, batch_real=2)
    images = condense(method, data, ipc=1).images
    assert images.isfinite().all()
    assert not torch.equal(images, make_run(method, data, 1).images)


def test_batch_norm_statistics_come_from_16_real_images_per_class_and_are_then_frozen(
    make_dataset: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_dataset(classes=2, counts=30)
    run = make_run(DSA(**SMALL | {"net": "convnet-w4-d1-batch"}), data, ipc=1)
    assert run.net is not None
    assert has_batch_norm(run.net)
    sizes: list[tuple[int, bool]] = []
    norm = next(module for module in run.net.modules() if isinstance(module, torch.nn.BatchNorm2d))
    norm.register_forward_pre_hook(lambda module, inputs: sizes.append((len(inputs[0]), module.training)))
    before = norm.state_dict()["running_mean"].clone()
    run.update_images()
    assert sizes[0] == (32, True)
    assert {training for _, training in sizes[1:]} == {False}
    assert not torch.equal(norm.state_dict()["running_mean"], before)
    frozen = norm.state_dict()["running_mean"].clone()
    run.match_class(run.draw_class(0))
    assert torch.equal(norm.state_dict()["running_mean"], frozen)


# Trouble.


@pytest.mark.parametrize("distance", ["mse", "layerwise"])
@pytest.mark.parametrize("net", ["convnet-w4-d1-nonorm", "convnet-w4-d1", "mlp"])
@pytest.mark.parametrize("lr", [1e25, 3e38])
def test_a_loss_or_a_step_that_is_not_finite_stops_with_the_last_good_state_kept(
    lr: float, net: str, distance: str, tiny: Dataset, tmp_path: Path
) -> None:
    """Far too large a step makes the loss overflow, or the images at a loss that is still finite."""
    path = tmp_path / "run.checkpoint"
    method = DC(**SMALL | {"iterations": 50, "net": net, "distance": distance}, lr_img=lr)
    with pytest.raises(RunError, match=r"the loss became (nan|inf).*lower `lr_img`") as raised:
        condense(method, tiny, checkpoint=unfinished(path))
    assert "\n" not in str(raised.value)
    assert ("the last good state is kept" in str(raised.value)) == path.exists()
    if path.exists():  # not where the very first step failed
        saved = unfinished(path).restore()
        assert saved is not None
        assert saved["images"].isfinite().all()
        assert saved["velocity"].isfinite().all()


def test_a_nan_in_the_middle_keeps_the_images_of_the_step_before(
    tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = DSA(**SMALL | {"iterations": 4})
    stopped_after = 5
    good: list[torch.Tensor] = []
    match, update = GradientMatching.match_class, GradientMatching.update_images

    def spoilt(run: GradientMatching, drawn: Drawn) -> Any:
        distance, gradient = match(run, drawn)
        spoil = len(good) == stopped_after and drawn.label == 1
        return distance * float("nan") if spoil else distance, gradient

    def remember(run: GradientMatching) -> float:
        loss = update(run)
        if loss == loss:
            good.append(run.images.clone())
        return loss

    monkeypatch.setattr(GradientMatching, "match_class", spoilt)
    monkeypatch.setattr(GradientMatching, "update_images", remember)
    path = tmp_path / "run.checkpoint"
    with pytest.raises(RunError, match="iteration 2, inner step 1"):
        condense(method, tiny, checkpoint=unfinished(path))
    checkpoint = unfinished(path)
    saved = checkpoint.restore()
    assert saved is not None
    assert checkpoint.step == stopped_after
    assert torch.equal(saved["images"], good[-1])
