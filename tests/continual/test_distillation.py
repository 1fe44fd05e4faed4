"""When distillation acts, on which images and which classes."""

import copy
from pathlib import Path

import pytest
import torch

from continual import trainer as module
from continual.schemes.eeil import Eeil
from continual.settings import Learning
from continual.stream import Stream
from proxyset.data.images import one_hot
from proxyset.train.recipe import Recipe
from tests.continual.conftest import Soft, make_scheme

RECIPE = Recipe(epochs=1)


def spy(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, list[int], torch.Tensor]]:
    """The calls of the distillation: batch size, groups, and the gradient's size for each of the student's classes."""
    calls = []
    original = module.distillation

    def watched(student: torch.Tensor, teacher: torch.Tensor, groups: list[int], temperature: float) -> torch.Tensor:
        leaf = student.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(original(leaf, teacher, groups, temperature), leaf)
        calls.append((len(student), list(groups), gradient.abs().sum(0)))
        return original(student, teacher, groups, temperature)

    monkeypatch.setattr(module, "distillation", watched)
    return calls


@pytest.mark.parametrize("memory", ["none", "random", "soft"])
def test_distillation_acts_from_the_second_task_on_for_every_old_class(
    monkeypatch: pytest.MonkeyPatch, growing: Stream, quick: Learning, tmp_path: Path, memory: str
) -> None:
    calls = spy(monkeypatch)
    learning = quick.model_copy(update={"kd": True, "balance": False})
    scheme = make_scheme(growing, learning, tmp_path, Soft() if memory == "soft" else memory)
    scheme.learn(0)
    assert not calls
    for stage in (1, 2):
        calls.clear()
        scheme.learn(stage)
        assert calls[0][1] == [2] * stage  # one softmax per earlier step
        reached = torch.stack([gradient for _, _, gradient in calls[1:]]).sum(0)
        assert (reached[: 2 * stage] > 0).all()
        assert (reached[2 * stage :] == 0).all()
        kept = 0 if memory == "none" else 2 * 2 * stage
        new = len(growing.tasks[stage].data.train)
        assert sum(count for count, _, _ in calls) == quick.epochs * (new + kept)  # on all samples


def test_fine_tuning_distils_the_new_classes_too(
    monkeypatch: pytest.MonkeyPatch, growing: Stream, quick: Learning, tmp_path: Path
) -> None:
    calls = spy(monkeypatch)
    scheme = make_scheme(growing, quick.model_copy(update={"kd": True}), tmp_path)
    scheme.learn(0)
    scheme.learn(1)
    assert [groups for _, groups, _ in calls if len(groups) == 2]  # the teacher was taken again after stage 1
    assert calls[-1][1] == [2, 2]


def test_a_shared_head_is_distilled_whole(
    monkeypatch: pytest.MonkeyPatch, domains: Stream, quick: Learning, tmp_path: Path
) -> None:
    calls = spy(monkeypatch)
    scheme = make_scheme(domains, quick.model_copy(update={"kd": True}), tmp_path)
    scheme.learn(0)
    scheme.learn(1)
    assert {tuple(groups) for _, groups, _ in calls} == {(3,)}


def test_one_softmax_over_all_old_classes_on_request(
    monkeypatch: pytest.MonkeyPatch, growing: Stream, quick: Learning, tmp_path: Path
) -> None:
    calls = spy(monkeypatch)
    learning = quick.model_copy(update={"kd": True, "kd_softmax": "joint", "balance": False})
    scheme = make_scheme(growing, learning, tmp_path)
    for stage in range(3):
        scheme.learn(stage)
    assert {tuple(groups) for _, groups, _ in calls} == {(2,), (4,)}


def test_the_teacher_does_not_learn(growing: Stream, quick: Learning, tmp_path: Path) -> None:
    scheme = make_scheme(growing, quick.model_copy(update={"kd": True}), tmp_path)
    assert isinstance(scheme, Eeil)
    scheme.learn(0)
    teacher = scheme._snapshot()
    before = copy.deepcopy(teacher.state_dict())
    engine = scheme.trainer.engine(scheme.net, RECIPE, 2)
    loss = scheme.trainer.distilling_loss(teacher, RECIPE, engine)
    images = torch.zeros(2, 1, 8, 8)
    loss(images, scheme.net(images), torch.tensor([0, 1])).backward()
    assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert any(parameter.grad is not None for parameter in scheme.net.parameters())


@pytest.mark.parametrize("name", ["cross-entropy", "squared-error"])
def test_one_hot_targets_cost_what_labels_cost(growing: Stream, quick: Learning, tmp_path: Path, name: str) -> None:
    scheme = make_scheme(growing, quick.model_copy(update={"kd": True}), tmp_path)
    recipe = RECIPE.model_copy(update={"loss": name})
    teacher = copy.deepcopy(scheme.net)
    scheme.trainer.grow(scheme.net, 1)
    loss = scheme.trainer.distilling_loss(teacher, recipe, scheme.trainer.engine(scheme.net, recipe, 3))
    images, labels = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 3])
    logits = scheme.net(images)
    torch.testing.assert_close(loss(images, logits, labels), loss(images, logits, one_hot(labels, 4)))
    blurred = one_hot(labels, 4) * 0.6 + 0.1
    assert loss(images, logits, blurred) != loss(images, logits, labels)


def test_trainings_with_distillation_are_not_compiled(growing: Stream, quick: Learning, tmp_path: Path) -> None:
    """Only the plain cross-entropy can be compiled."""
    scheme = make_scheme(growing, quick, tmp_path, compile="on")
    assert scheme.trainer.engine(scheme.net, RECIPE, 10).compiled
    assert not scheme.trainer.engine(scheme.net, RECIPE, 10, distils=True).compiled
