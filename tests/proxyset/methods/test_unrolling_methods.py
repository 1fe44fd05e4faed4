"""dd, ld, gtn and mtt: their objectives by hand, and that what they learn teaches more than what they began with."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import proxyset
from proxyset.data import augment
from proxyset.data.images import one_hot
from proxyset.data.spec import Dataset, normalise
from proxyset.errors import InputError
from proxyset.methods.dataset_distillation import DatasetDistillation
from proxyset.methods.dd import DD
from proxyset.methods.dsa import DC, DSA
from proxyset.methods.generative_teaching import GenerativeTeaching, Generator
from proxyset.methods.gtn import GTN
from proxyset.methods.label_distillation import LabelDistillation
from proxyset.methods.ld import LD
from proxyset.methods.mtt import MTT
from proxyset.methods.snapshots import take
from proxyset.methods.synthesis import LearnedMethod
from proxyset.methods.trajectory_matching import TrajectoryMatching, trajectory
from proxyset.methods.unrolled import Flat
from tests.proxyset.methods.made import condense, make_context, make_problem

NET = "convnet-w4-d1"
SMALL: dict[str, Any] = {"net": NET, "iterations": 3, "batch_real": 8}


def test_defaults_are_the_published_values() -> None:
    assert (DD().unroll, DD().epochs, DD().lr_net, DD().lr_img, DD().init) == (10, 3, 0.02, 0.01, "noise")
    assert (LD().lr_net, LD().lr_targets, LD().init) == (0.01, 0.001, "real")
    assert (MTT().unroll, MTT().span, MTT().latest_start, MTT().lr_net, MTT().lr_img) == (50, 2, 2, 0.01, 1000)


def test_a_training_passes_the_whole_set_in_minibatches_of_every_class(tiny: Dataset) -> None:
    method = DD(**SMALL, unroll=3, epochs=2)
    run = DatasetDistillation(method, make_problem(tiny, 7), make_context())
    minibatch = run.minibatch(run.learned[:-1])
    images, targets = zip(*(minibatch(number) for number in range(6)), strict=True)
    assert [len(batch) for batch in images] == [9, 6, 6, 9, 6, 6]
    for batch in targets:
        assert batch.sum(0).unique().numel() == 1  # as many of every class
    seen = torch.cat(images[:3]).flatten(1)
    assert torch.equal(seen.sort(0).values, run.learned[0].flatten(1).sort(0).values)
    assert torch.equal(images[4], images[1])
    assert len(run.rates()) == 6
    torch.testing.assert_close(run.rates(), torch.full((6,), 0.02))


def trained_by_hand(run: DatasetDistillation) -> tuple[Tensor, list[Tensor]]:
    """The loss of `through_a_training` from a plain graph, for one minibatch, and its gradients."""
    net = Flat(run.network())
    weights, targets = net.weights().requires_grad_(), one_hot(run.problem.labels, 3)
    leaves = [tensor.clone().requires_grad_() for tensor in run.learned]
    for rate in F.softplus(leaves[-1]):
        loss = F.cross_entropy(net(weights, run.images(leaves[:-1], torch.arange(3))), targets)
        weights = weights - rate * torch.autograd.grad(loss, weights, create_graph=True)[0]
    data = run.problem.real
    loss = F.cross_entropy(net(weights, normalise(data.images, run.spec)), data.labels)
    return loss.detach(), list(torch.autograd.grad(loss, leaves))


@pytest.mark.parametrize(
    ("method", "run_of"),
    [
        (DD(**SMALL | {"batch_real": 1000}, epochs=4), DatasetDistillation),
        (GTN(**SMALL | {"batch_real": 1000}, epochs=4, noise=4, width=8), GenerativeTeaching),
    ],
    ids=["dd", "gtn"],
)
def test_a_step_goes_back_through_the_whole_training(method: Any, run_of: Any, tiny: Dataset) -> None:
    run = run_of(method, make_problem(tiny, 1), make_context())
    state = run.generator.get_state()
    loss, gradients = run.through_a_training()
    run.generator.set_state(state)
    expected, wanted = trained_by_hand(run)
    torch.testing.assert_close(loss, expected)
    assert len(gradients) == len(wanted) == len(run.learned)
    for one, other in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-3, atol=1e-6)
        assert one.abs().sum() > 0


def test_going_back_through_the_last_steps_leaves_the_rates_of_the_first_alone(tiny: Dataset) -> None:
    run = DatasetDistillation(DD(**SMALL, epochs=4, backprop_last=1), make_problem(tiny, 1), make_context())
    _, (_, of_rates) = run.through_a_training()
    assert of_rates[:3].eq(0).all()
    assert of_rates[3] != 0


def test_an_image_of_a_generator_does_not_depend_on_those_made_with_it(tiny: Dataset) -> None:
    run = GenerativeTeaching(GTN(**SMALL, noise=4, width=8), make_problem(tiny, 2), make_context())
    leaves = run.learned[:-1]
    together = run.images(leaves, torch.arange(6))
    alone = torch.cat([run.images(leaves, torch.tensor([row])) for row in range(6)])
    torch.testing.assert_close(together, alone)


def test_a_generator_makes_all_from_black_to_white(tiny: Dataset) -> None:
    net = Generator(tiny.spec, 4, 8, torch.Generator().manual_seed(0))
    net.outer.weight.data *= 1000
    black, white = (
        normalise(torch.full((1, 1, 1, 1), value, dtype=torch.uint8), tiny.spec).item() for value in (0, 255)
    )
    images = net(torch.randn(32, 4 + tiny.spec.classes, generator=torch.Generator().manual_seed(0)))
    assert images.min().item() == pytest.approx(black)
    assert images.max().item() == pytest.approx(white)


def test_label_distillation_by_a_ridge_regression(tiny: Dataset) -> None:
    """Against an explicit inverse, in float64."""
    run = LabelDistillation(LD(**SMALL, solver="ridge", ridge=1e-2), make_problem(tiny, 2), make_context())
    index = torch.arange(9)
    loss, gradient, _ = run.by_ridge(index)
    net: Any = run.student.load(run.weights)
    with torch.no_grad():
        support, real = (net.embed(images).double() for images in (run.images, run.batch(index)[0]))
    targets = run.targets.double().requires_grad_()
    kernel = support @ support.T
    inverse = (kernel + 1e-2 * kernel.diagonal().mean() * torch.eye(6)).inverse()
    truth = F.one_hot(tiny.train.labels[index], 3) - 1 / 3
    expected = 0.5 * ((real @ support.T @ inverse @ (targets - 1 / 3) - truth) ** 2).sum() / 9
    torch.testing.assert_close(loss.double(), expected.detach(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(gradient.double(), torch.autograd.grad(expected, targets)[0], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("solver", ["gradient", "ridge"])
def test_label_distillation_learns_targets_and_nothing_else(solver: Any, tiny: Dataset) -> None:
    method = LD(**SMALL, solver=solver, unroll=2, lr_targets=0.01)
    found = condense(method, tiny)
    real = normalise(tiny.train.images, tiny.spec).flatten(1)
    assert all((real == image).all(1).any() for image in found.images.flatten(1))
    assert found.targets is not None
    assert not torch.equal(found.targets, one_hot(found.labels, 3))
    torch.testing.assert_close(found.targets.sum(1), torch.ones(6))


def test_the_distance_of_trajectories_by_hand(tiny: Dataset) -> None:
    method = MTT(net=NET, experts=1, expert_epochs=3, latest_start=1, span=2, unroll=3, augment="none")
    problem, context = make_problem(tiny), make_context()
    course = method.courses(problem)[0]
    taken = take(course, problem, context)
    expert = trajectory(course, taken, tiny.spec)
    assert expert.shape[0] == 4
    run = TrajectoryMatching(method, problem, context, [expert])
    loss, of_images, of_rate = run.match(expert[0], expert[2])

    net = course.build(tiny.spec, torch.device("cpu"))  # as it is before the training
    images = run.images.clone().requires_grad_()
    rate = torch.tensor(0.01, requires_grad=True)
    flat = Flat(net)
    weights = flat.weights().requires_grad_()
    for _ in range(3):
        step = torch.autograd.grad(F.cross_entropy(flat(weights, images), run.targets), weights, create_graph=True)[0]
        weights = weights - rate * step
    net.load_state_dict(taken.states[1])
    goal, start = flat.weights(), expert[0]
    expected = (weights - goal).square().sum() / (start - goal).square().sum()
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-4, atol=1e-6)
    for found, wanted in zip((of_images, of_rate), torch.autograd.grad(expected, (images, rate)), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-2, atol=1e-5)


def test_every_image_of_a_student_has_its_own_augmentation_as_those_of_experts_have(
    tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = MTT(net=NET, experts=1, expert_epochs=3, unroll=3, batch_synthetic=4)
    problem, context = make_problem(tiny), make_context()
    run = method.start(problem, context)
    seen: list[int] = []
    applied = augment.apply

    def apply(transform: augment.Transform | None, images: Tensor) -> Tensor:
        assert transform is not None
        seen.append(len(transform.r))
        return applied(transform, images)

    monkeypatch.setattr(augment, "apply", apply)
    run.step(0)
    assert set(seen) == {4}


def test_an_expert_must_train_for_as_long_as_its_student_is_to_make_up_for(tiny: Dataset) -> None:
    with pytest.raises(InputError, match="at least 7"):
        MTT(net=NET, expert_epochs=6, latest_start=3, span=5).check(make_problem(tiny))


@pytest.mark.parametrize("method", [LD(), LD(solver="ridge"), DD(), GTN(), MTT(), DC(), DSA()], ids=str)
def test_one_class_is_refused(method: LearnedMethod, make_dataset: Any) -> None:
    with pytest.raises(InputError, match="one class"):
        method.check(make_problem(make_dataset(classes=1), 1))


QUICK: dict[str, Any] = {"net": "convnet-w16", "batch_real": 256}
TAUGHT: dict[str, tuple[Any, float]] = {
    "dd": (DD(**QUICK, iterations=40, lr_img=0.05), 0.1),
    "gtn": (GTN(**QUICK, iterations=60), 0.1),
    "ld": (LD(**QUICK, iterations=60, lr_targets=0.02, reset=10, init="noise"), 0.05),
    "mtt": (MTT(net="convnet-w16", iterations=40, experts=1, expert_epochs=12, latest_start=6, span=6, unroll=6), 0.05),
}


@pytest.mark.parametrize("name", TAUGHT)
def test_students_of_what_is_learned_do_better_than_those_of_what_it_began_with(name: str) -> None:
    method, more = TAUGHT[name]
    data = proxyset.load("digits")
    protocol = proxyset.Evaluation(nets=4, epochs=80, augment="none")
    score = {}
    for iterations in (1, method.iterations):
        found = proxyset.build(data, method.model_copy(update={"iterations": iterations}), ipc=1, progress=False)
        score[iterations] = proxyset.evaluate(
            found.data, data.test, data.spec, protocol, net="convnet-w16", progress=False
        ).mean
    assert score[method.iterations] > score[1] + more, score
