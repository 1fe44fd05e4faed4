"""DM against its formula, written plainly; its choices of networks, images and schedule."""

import copy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from proxyset.compute.plan import Engine
from proxyset.compute.session import Session
from proxyset.data import augment
from proxyset.data.formation import unfold
from proxyset.data.spec import Dataset, normalise
from proxyset.errors import InputError, RunError
from proxyset.methods import distribution_matching
from proxyset.methods.base import Context, Problem
from proxyset.methods.distribution_matching import DistributionMatching
from proxyset.methods.dm import DM
from proxyset.methods.preparation import preparation_seconds
from proxyset.methods.views import check_view
from proxyset.nets.build import outline
from proxyset.nets.classifier import Classifier
from tests import reference_features as reference
from tests.proxyset.methods.made import condense, make_context, make_problem
from tests.proxyset.spy import spied

SMALL: dict[str, Any] = {"net": "convnet-w4-d2", "iterations": 4, "batch_real": 8}


def start(data: Dataset, ipc: int = 2, seed: int = 0, **settings: Any) -> DistributionMatching:
    return DM(**SMALL | settings).start(make_problem(data, ipc), make_context(seed))


@pytest.mark.parametrize("formation", [1, 2])
@pytest.mark.parametrize("strategy", ["none", "crop", "color", "scale"])
def test_two_steps_agree_with_the_formula(
    strategy: str, formation: int, make_dataset: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch is the whole class, so that only the network and the augmentation are random."""
    data = make_dataset(classes=2, counts=8)
    drawn: list[Any] = []
    monkeypatch.setattr(augment, "draw", remembering(augment.draw, drawn))
    run = start(data, augment=strategy, formation=formation, lr_img=0.3)
    networks: list[Any] = []
    monkeypatch.setattr(run, "network", remembering(run.network, networks))
    real = [normalise(data.train.images[data.train.labels == label], data.spec).double() for label in range(2)]
    images, velocity = run.images.double(), torch.zeros_like(run.images).double()
    for number in range(2):
        drawn.clear()
        loss = run.step(number)
        leaf = images.clone().requires_grad_()
        augmented = [
            [augment.apply(shared, part) for shared, part in zip(drawn, parts, strict=True)]
            for parts in (real, [unfold(part, formation) for part in leaf.split(2)])
        ]
        expected = reference.dm_distance(copy.deepcopy(networks[-1]).double(), *augmented)
        (gradient,) = torch.autograd.grad(expected, leaf)
        velocity = 0.5 * velocity + gradient
        images = images - 0.3 * velocity
        assert loss == pytest.approx(expected.item() / 2, rel=1e-4)
        torch.testing.assert_close(run.images.double(), images, rtol=1e-3, atol=1e-4)
    assert networks[0] is not networks[1]


def remembering(function: Callable[..., Any], results: list[Any]) -> Callable[..., Any]:
    def wrapped(*arguments: Any) -> Any:
        results.append(function(*arguments))
        return results[-1]

    return wrapped


@pytest.mark.parametrize("settings", [{}, {"weight_classes": 50.0}, {"features": "layers"}])
def test_classes_together_or_one_after_another_are_the_same(settings: dict[str, Any], tiny: Dataset) -> None:
    together, apart = start(tiny, **settings), start(tiny, **settings)
    assert together.groups() == [[0, 1, 2]]
    apart.groups = lambda: [[0], [1], [2]]  # type: ignore[method-assign]
    for number in range(2):
        assert together.step(number) == pytest.approx(apart.step(number), rel=1e-4)
    torch.testing.assert_close(together.images, apart.images, rtol=1e-4, atol=1e-5)


def test_batch_norm_sees_all_classes_together_even_where_memory_is_short(tiny: Dataset) -> None:
    for net, groups in (("convnet-w4-d1-relu-batch-avg", 1), ("convnet-w4-d1", 3)):
        method = DM(**SMALL | {"net": net})
        context = make_context()
        context.engine = Engine(memory_limit=448 * 2**20 + 3 * 40_000)
        assert len(method.start(make_problem(tiny), context).groups()) == groups


@pytest.mark.parametrize(
    "settings",
    [
        {"features": "layers"},
        {"distance": "characteristic", "frequencies": 16},
        {"weight_classes": 0.5},
        {"features": "layers", "weight_classes": 0.5, "distance": "characteristic", "frequencies": 16},
        {"real_batches": "k-means", "refresh": 2},
    ],
    ids=lambda settings: "-".join(map(str, settings)),
)
def test_every_choice_brings_its_loss_down(settings: dict[str, Any], make_dataset: Callable[..., Dataset]) -> None:
    """With one network and no augmentation, so that the loss is one function of the images."""
    lr = 1.0 if settings.get("distance") == "characteristic" else 0.02
    run = start(make_dataset(size=16, counts=20), augment="none", lr_img=lr, batch_real=20, **settings)
    net = run.network()
    run.network = lambda: net  # type: ignore[method-assign]
    if settings.get("distance") == "characteristic":
        fixed = run.frequencies(run.features.of(net, run.images).shape[1])
        run.frequencies = lambda length: fixed  # type: ignore[method-assign]
    losses = [run.step(number) for number in range(20)]
    assert losses[-1] < 0.9 * losses[0]


def test_the_cross_entropy_is_weighted_by_the_networks_accuracy(tiny: Dataset) -> None:
    run = start(tiny, weight_classes=0.5, augment="none", batch_real=50)
    net = run.network()
    side = run.real_side(net, [0, 1, 2])
    value, rows, gradient = run.match(net, side, torch.stack(side.right).mean())
    real = [normalise(tiny.train.images[index], tiny.spec) for index in run.classes]
    right = torch.stack([(net(part).argmax(1) == label).float().mean() for label, part in enumerate(real)]).mean()
    leaf = run.images.clone().requires_grad_()
    labels = torch.arange(3).repeat_interleave(2)
    entropy = torch.nn.functional.cross_entropy(net(leaf), labels, reduction="none").view(3, 2).mean(1).sum()
    expected = reference.dm_distance(net, real, leaf.split(2)) + 0.5 * right * entropy
    assert rows.tolist() == list(range(6))
    assert value.item() == pytest.approx(expected.item(), rel=1e-4)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, leaf)[0], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("networks", "share"), [("trained", 1.0), ("between", None)])
def test_networks_are_snapshots_or_lie_between_them_and_fresh_ones(
    networks: str, share: float | None, tiny: Dataset
) -> None:
    run = start(tiny, networks=networks, trainings=2, teacher_epochs=2)
    assert len(run.trained) == 4  # every epoch of both trainings
    shares = set()
    for _ in range(6):
        net, distances = run.network(), []
        for state in run.trained:
            flat = torch.cat([(state[name] - tensor).flatten() for name, tensor in net.state_dict().items()])
            distances.append(float(flat.norm()))
        shares.add(round(min(distances), 4))
    assert (shares == {0.0}) == (share == 1.0)


def test_trained_residual_networks_are_the_variant_that_condensing_takes(make_dataset: Callable[..., Dataset]) -> None:
    """Its head sees the whole last map, so that the weights of the usual network would not fit."""
    data = make_dataset(classes=2, counts=4, size=16)
    run = start(data, ipc=1, net="resnet18", networks="between", trainings=1, teacher_epochs=1, batch_real=2)
    shapes = {name: tensor.shape for name, tensor in run.network().state_dict().items()}
    assert {name: tensor.shape for name, tensor in run.trained[0].items()} == shapes


def test_trained_networks_need_an_image_to_hold_out_and_their_time_is_estimated(
    make_dataset: Callable[..., Dataset],
) -> None:
    few = make_dataset(counts=(5, 1, 5))
    with pytest.raises(InputError, match="held out"):
        DM(**SMALL | {"networks": "trained"}).check(make_problem(few, 1))
    data, session = make_dataset(), Session(device="cpu", compile="off")
    short, long = (
        preparation_seconds(
            DM(**SMALL | {"networks": "trained", "teacher_epochs": epochs}), make_problem(data), session
        )
        for epochs in (1, 2000)
    )
    assert long > 20 * short > 0


def test_trainings_that_are_kept_take_no_time(tiny: Dataset, tmp_path: Path) -> None:
    method = DM(**SMALL | {"networks": "trained", "teacher_epochs": 1, "trainings": 2})
    problem, session = make_problem(tiny), Session(device="cpu", compile="off")
    assert preparation_seconds(method, problem, session, tmp_path) > 0
    method.start(problem, Context(torch.Generator(), session, Engine(), keep=tmp_path))
    assert preparation_seconds(method, problem, Session(device="cpu"), tmp_path) == 0
    assert preparation_seconds(DM(**SMALL), problem, session) == 0


def test_a_search_for_centres_is_part_of_the_estimate(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of a second, in every second step."""
    monkeypatch.setattr(DistributionMatching, "find_centres", lambda run, net: time.sleep(0.1))
    method = DM(**SMALL | {"iterations": 20, "real_batches": "k-means", "refresh": 2})
    assert method.estimate(make_problem(tiny), Session(device="cpu", compile="off"), Engine()).seconds > 1


def test_the_learning_rate_ends_at_zero_with_the_last_iteration(tiny: Dataset) -> None:
    run = start(tiny, schedule_img="cosine", iterations=10, lr_img=2.0)
    rates = [run.lr(number) for number in range(11)]
    assert rates[0] == 2.0
    assert rates[5] == pytest.approx(1.0)
    assert rates[10] == pytest.approx(0.0)
    assert rates == sorted(rates, reverse=True)
    assert {start(tiny, lr_img=2.0).lr(number) for number in range(5)} == {2.0}


def test_the_rate_of_the_images_is_the_authors(tiny: Dataset) -> None:
    assert DM().image_lr(50) == 1.0
    assert DM().image_lr(100) == 10.0
    assert DM(lr_img=3.0).image_lr(100) == 3.0


def test_real_batches_near_centres_are_kept_until_the_next_search(tiny: Dataset) -> None:
    run = start(tiny, real_batches="k-means", refresh=2, batch_real=4)
    chosen = []
    for number in range(3):
        run.step(number)
        chosen.append([index.tolist() for index in run.centres])
    assert chosen[0] == chosen[1] != chosen[2]
    for label, index in enumerate(run.centres):
        assert len(set(index.tolist())) == 4
        assert (tiny.train.labels[index] == label).all()


def test_a_rate_that_is_too_high_ends_in_one_line(tiny: Dataset) -> None:
    with pytest.raises(RunError, match="lr_img"):
        condense(DM(**SMALL | {"lr_img": 1e38, "iterations": 20}), tiny)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"net": "convnet-w4-d9"}, "convnet"),
        ({"augment": "croop"}, "crop"),
        ({"formation": 4}, "formation"),
    ],
)
def test_what_cannot_work_is_refused(settings: dict[str, Any], words: str, tiny: Dataset) -> None:
    with pytest.raises(InputError, match=words):
        DM(**SMALL | settings).check(make_problem(tiny, 1))


def test_a_network_must_show_what_is_looked_at() -> None:
    with torch.device("meta"):  # no draws from the global generator
        plain = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(InputError, match="embed"):
        check_view("last", "mine", plain, False)
    odd = Classifier(plain[0], plain[1])
    check_view("last", "mine", odd, True)
    with pytest.raises(InputError, match="features=layers"):
        check_view("layers", "mine", odd, False)
    for shallow in ("convnet-d1", "mlp"):
        with pytest.raises(InputError, match="several blocks"):
            check_view("layers", shallow, outline(shallow, channels=1, size=8, classes=3), False)
    odd.classifier = nn.Identity()
    with pytest.raises(InputError, match="weight_classes"):
        check_view("last", "mine", odd, True)


def test_on_digits_it_beats_the_images_that_it_starts_from() -> None:
    from proxyset.data.load import load
    from proxyset.train.evaluate import evaluate
    from proxyset.train.protocols import Evaluation

    data, session = load("digits"), Session(device="cpu")
    method = DM(net="convnet-w16-d2", iterations=40, batch_real=64, lr_img=1.0)
    problem = Problem(data.train, data.spec, 1)
    run = method.start(problem, Context(torch.Generator().manual_seed(0), session, Engine()))
    before = run.result()
    for number in range(40):
        run.step(number)
    quick = Evaluation(nets=1, epochs=150)
    first, last = (
        evaluate(part, data.test, data.spec, quick, net="convnet-w16-d2", session=session, progress=False).mean
        for part in (before, run.result())
    )
    assert last > first + 0.05


def test_the_flag_of_the_features_reaches_the_network(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    real_side = spied(distribution_matching.real_side, seen, lambda features, frequencies: features[0].shape[1])
    monkeypatch.setattr(distribution_matching, "real_side", real_side)
    for features in ("last", "layers"):
        start(tiny, features=features).step(0)
    assert seen[0] == 4 * 2 * 2  # what the classifier sees
    assert seen[-1] == 4 * 2 * 2 + 8 * 8  # and the map of the first block
