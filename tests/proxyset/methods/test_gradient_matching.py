"""DC and DSA: one inner step against a plain eager oracle, the schedule, every network, a loss that turns NaN."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from proxyset import augment
from proxyset.checkpoint import Checkpoint
from proxyset.data import Dataset, normalise
from proxyset.engine import Engine
from proxyset.methods import DC, DSA
from proxyset.methods.gradient import _Run
from proxyset.nets import has_batch_norm
from proxyset.settings import InputError, RunError
from tests import reference

SMALL: dict[str, Any] = {"net": "convnet-w4-d1", "iterations": 2, "inner_steps": 2, "net_epochs": 1, "batch_real": 8}


def make_run(method: DC, data: Dataset, ipc: int, seed: int = 0) -> _Run:
    run = _Run(method, data.train, data.spec, ipc, torch.Generator().manual_seed(seed), Engine())
    run.new_network()
    return run


def condense(method: DC, data: Dataset, ipc: int = 2, seed: int = 0, **options: Any) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return method.condense(data.train, data.spec, ipc, generator=generator, engine=Engine(), **options).images


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
            operations=[transform and (transform.operation, transform.r[0].tolist()) for transform in drawn],
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
                parameter -= 0.01 * gradient
    assert run.net is not None
    for found, expected in zip(run.net.parameters(), net.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_real_batches_are_drawn_without_replacement(make_dataset: Callable[..., Dataset]) -> None:
    data = make_dataset(classes=2, counts=20)
    run = make_run(DSA(**SMALL), data, ipc=1)
    seen = set()
    for _ in range(40):
        picked = run._sample(run.classes[1], 8)
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
    monkeypatch.setattr(augment, "draw", lambda names, g, count=1: (counts.append(count), draw(names, g, count))[1])
    monkeypatch.setattr(augment, "apply", lambda t, images: (applied.append((t, len(images))), apply(t, images))[1])
    method = DSA(**SMALL, augment_real=real, augment_synthetic=synthetic)
    run = make_run(method, tiny, ipc=2)
    run.match_class(0)
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
    monkeypatch.setattr(augment, "apply", lambda t, images: (transforms.append(t), apply(t, images))[1])
    run.update_network(1)
    assert [len(t.r) if t else None for t in transforms] == [6 if on else None]


@pytest.mark.parametrize("strategy", ["crop", "flip_scale", "cutout_rotate", "none", augment.ALL])
def test_any_strategy_condenses(strategy: str, tiny: Dataset) -> None:
    assert condense(DSA(**SMALL, augment=strategy), tiny).isfinite().all()


def test_flip_is_left_out_where_it_changes_the_label(make_dataset: Callable[..., Dataset]) -> None:
    data = make_dataset(flip=False)
    assert "flip" not in make_run(DSA(**SMALL), data, 1).operations
    assert DSA().resolved(data.spec, 1)["augment"] == "color_crop_cutout_scale_rotate"
    with pytest.raises(InputError, match="flip"):
        DSA(augment="flip").check(data.train, data.spec, 1)


# Initialisation and schedule.


def test_defaults_are_the_published_values() -> None:
    dsa, dc = DSA(), DC()
    assert (dsa.init, dc.init) == ("real", "noise")
    assert (dsa.augment, dc.augment) == (augment.ALL, "none")
    assert (dsa.augment_real, dsa.augment_synthetic, dsa.augment_net) == ("siamese", "siamese", True)
    for method in (dsa, dc):
        assert (method.iterations, method.batch_real, method.batch_net) == (1000, 256, 256)
        assert (method.image_lr(), method.momentum_img, method.lr_net) == (0.1, 0.5, 0.01)
        assert (method.distance, method.net) == ("layerwise", "convnet")
    assert DSA(net="mlp").image_lr() == DSA(net="MLP").image_lr() == 0.01
    assert DSA(net="mlp", lr_img=0.3).image_lr() == 0.3


@pytest.mark.parametrize(
    ("ipc", "expected"),
    [(1, (1, 1)), (10, (10, 50)), (20, (20, 25)), (30, (30, 20)), (40, (40, 15)), (50, (50, 10)), (100, (100, 2))],
)
def test_schedule_is_the_authors_for_their_ipc(ipc: int, expected: tuple[int, int]) -> None:
    assert DSA().schedule(ipc) == expected


def test_schedule_follows_its_rule_for_any_other_ipc() -> None:
    for ipc in set(range(2, 300)) - {10, 20, 30, 40, 50, 100}:
        steps, epochs = DSA().schedule(ipc)
        assert steps == min(ipc, 100)
        assert 400 <= steps * epochs <= 550  # about 500, as in the authors' choices
    assert DSA(inner_steps=4, net_epochs=0).schedule(10) == (4, 0)


def recorded(name: str, work: Callable[..., Any], calls: list[str]) -> Callable[..., Any]:
    def spy(run: _Run, *arguments: Any) -> Any:
        calls.append(name)
        return work(run, *arguments)

    return spy


def test_steps_networks_and_trainings_follow_algorithm_1(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """K fresh networks, K·T image updates, and T − 1 network trainings each: none after the last inner step."""
    calls: list[str] = []
    for name in ("new_network", "update_images", "update_network"):
        monkeypatch.setattr(_Run, name, recorded(name, getattr(_Run, name), calls))
    progress: list[tuple[int, int]] = []
    method = DSA(**SMALL | {"inner_steps": 3})
    condense(method, tiny, progress=lambda done, total, loss=None: progress.append((done, total)))
    once = ["new_network", *["update_images", "update_network"] * 2, "update_images"]
    assert calls == once * 2
    assert progress == [(step, 6) for step in range(1, 7)]


def test_initial_images_are_real_ones_or_noise(tiny: Dataset) -> None:
    real = make_run(DSA(**SMALL), tiny, ipc=4)
    for label in range(3):
        own = normalise(tiny.train.images[tiny.train.labels == label], tiny.spec)
        rows = [(own == image).flatten(1).all(1).nonzero().flatten().tolist() for image in real.images[real.own[label]]]
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
    small = SMALL | {"iterations": 60, "inner_steps": 1, "batch_real": 256, "lr_img": 1.0}
    images = condense(
        method(**small, init=init), data, ipc=1, progress=lambda done, total, loss=None: losses.append(loss)
    )
    assert sum(losses[-15:]) < 0.9 * sum(losses[:15])
    start = make_run(method(**small, init=init), data, ipc=1).images
    assert (images - start).abs().max() > 0.01


def test_noise_needs_no_more_real_images_than_there_are(make_dataset: Callable[..., Dataset]) -> None:
    data = make_dataset(counts=(3, 5, 4))
    assert len(condense(DC(**SMALL), data, ipc=6)) == 18
    with pytest.raises(InputError, match="'class0' with 3 images"):
        condense(DC(**SMALL, init="real"), data, ipc=4)


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
        *((f"convnet-w4-d2-{norm}", 8) for norm in ("nonorm", "batch", "layer", "instance", "group")),
        ("convnet-w4-d1-sigmoid-max", 8),
        ("convnet-w4-d1-leakyrelu-nopool", 8),
    ],
)
def test_condenses_with_every_network(net: str, size: int, make_dataset: Callable[..., Dataset]) -> None:
    data = make_dataset(classes=2, counts=4, channels=3, size=size)
    method = DSA(net=net, iterations=1, inner_steps=2, net_epochs=1, batch_real=2)
    images = condense(method, data, ipc=1)
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
    before = norm.running_mean.clone()
    run.update_images()
    assert sizes[0] == (32, True)
    assert {training for _, training in sizes[1:]} == {False}
    assert not torch.equal(norm.running_mean, before)
    frozen = norm.running_mean.clone()
    run.match_class(0)
    assert torch.equal(norm.running_mean, frozen)


# Trouble.


@pytest.mark.parametrize("distance", ["mse", "layerwise"])
@pytest.mark.parametrize("net", ["convnet-w4-d1-nonorm", "convnet-w4-d1", "mlp"])
@pytest.mark.parametrize("lr", [1e25, 3e38])
def test_a_loss_or_a_step_that_is_not_finite_stops_with_the_last_good_state_kept(
    lr: float, net: str, distance: str, tiny: Dataset, tmp_path: Path
) -> None:
    """Far too large a step makes the loss overflow, or the images at a loss that is still finite."""
    path = tmp_path / "run.checkpoint"
    checkpoint = Checkpoint(path, 1000, {})
    method = DC(**SMALL | {"iterations": 50, "net": net, "distance": distance}, lr_img=lr)
    with pytest.raises(RunError, match=r"the loss became (nan|inf).*lower --lr-img") as raised:
        condense(method, tiny, checkpoint=checkpoint)
    assert "\n" not in str(raised.value)
    assert ("the last good state is kept" in str(raised.value)) == path.exists()
    if path.exists():  # not where the very first step failed
        saved = Checkpoint(path, 1000, {}).restore()
        assert saved is not None
        assert saved["images"].isfinite().all()
        assert saved["velocity"].isfinite().all()


def test_a_nan_in_the_middle_keeps_the_images_of_the_step_before(
    tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = DSA(**SMALL | {"iterations": 4})
    stopped_after = 5
    good: list[torch.Tensor] = []
    match, update = _Run.match_class, _Run.update_images

    def spoilt(run: _Run, label: int) -> Any:
        distance, picked, gradient = match(run, label)
        spoil = len(good) == stopped_after and label == 1
        return distance * float("nan") if spoil else distance, picked, gradient

    def remember(run: _Run) -> float:
        loss = update(run)
        if loss == loss:
            good.append(run.images.clone())
        return loss

    monkeypatch.setattr(_Run, "match_class", spoilt)
    monkeypatch.setattr(_Run, "update_images", remember)
    path = tmp_path / "run.checkpoint"
    with pytest.raises(RunError, match="iteration 2, inner step 1"):
        condense(method, tiny, checkpoint=Checkpoint(path, 100, {}))
    checkpoint = Checkpoint(path, 100, {})
    saved = checkpoint.restore()
    assert saved is not None
    assert checkpoint.step == stopped_after
    assert torch.equal(saved["images"], good[-1])


def test_estimate_leaves_no_trace(tiny: Dataset) -> None:
    method = DSA(**SMALL)
    before = tiny.train.sha256()
    estimate = method.estimate(tiny.train, tiny.spec, 2, Engine())
    assert estimate.seconds > 0
    assert estimate.memory > 2**20
    assert tiny.train.sha256() == before
