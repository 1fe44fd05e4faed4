"""The learner: the growing head, when distillation acts, and what each switch changes."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from continual import learner as module
from continual.learner import GrowingHead, Learner, half_and_half
from continual.memory import Budget, Memory
from continual.recipe import Learning
from continual.sources import open_source
from continual.stream import Stream, join_domains, split_classes
from proxyset.data import Dataset, ImageSet
from proxyset.settings import Compute, InputError
from tests.continual.conftest import renamed

CPU, COMPUTE = torch.device("cpu"), Compute(device="cpu")


def make(stream: Stream, settings: Learning, store: Path, name: str = "random") -> Learner:
    held = Budget(ipc=2)
    source = open_source(
        name, stream, settings=("epochs=1",), store=store, net="convnet-w4-d1", seed=0, compute=COMPUTE, at_hand=True
    )
    return Learner(stream, Memory(stream, held, source), settings, seed=0, device=CPU)


# The head.


def test_a_growing_head_keeps_its_old_logits_bit_for_bit(generator: torch.Generator) -> None:
    head = GrowingHead(nn.utils.skip_init(nn.Linear, 37, 3))
    nn.init.normal_(head.parts[0].weight, generator=generator)
    nn.init.zeros_(head.parts[0].bias)
    features = torch.randn(19, 37, generator=generator)
    for classes in (2, 1, 7, 50):
        before = head(features)
        head.grow(classes, generator)
        after = head(features)
        assert after.shape[1] == before.shape[1] + classes
        assert torch.equal(after[:, : before.shape[1]], before)
    assert head.sizes() == [3, 2, 1, 7, 50]


def test_new_parts_start_as_torch_starts_them(generator: torch.Generator) -> None:
    head = GrowingHead(nn.utils.skip_init(nn.Linear, 400, 3))
    head.grow(50, generator)
    bound = 400**-0.5
    for parameter in head.parts[1].parameters():
        assert parameter.requires_grad
        assert parameter.abs().max() <= bound
    assert head.parts[1].weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)


def test_the_whole_network_keeps_its_old_logits_when_it_grows(growing: Stream, quick: Learning, tmp_path: Path) -> None:
    learner = make(growing, quick, tmp_path)
    learner.learn(0)
    images = growing.tasks[0].data.test.images.float()
    learner.net.eval()
    before = learner.net(images)
    learner._grow(1)
    after = learner.net(images)
    assert after.shape[1] == 4
    assert torch.equal(after[:, :2], before)


# Distillation.


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


@pytest.mark.parametrize("memory", ["none", "random"])
def test_distillation_acts_from_the_second_task_on_for_every_old_class(
    monkeypatch: pytest.MonkeyPatch, growing: Stream, quick: Learning, tmp_path: Path, memory: str
) -> None:
    calls = spy(monkeypatch)
    learner = make(growing, quick.model_copy(update={"kd": True, "balance": False}), tmp_path, memory)
    learner.learn(0)
    assert not calls
    for stage in (1, 2):
        calls.clear()
        learner.learn(stage)
        assert calls[0][1] == [2] * stage  # one softmax per earlier step
        seen = torch.stack([gradient for _, _, gradient in calls[1:]]).sum(0)
        assert (seen[: 2 * stage] > 0).all()
        assert (seen[2 * stage :] == 0).all()
        held = 0 if memory == "none" else 2 * 2 * stage
        new = len(growing.tasks[stage].data.train)
        assert sum(count for count, _, _ in calls) == quick.epochs * (new + held)  # on all samples


def test_fine_tuning_distils_the_new_classes_too(
    monkeypatch: pytest.MonkeyPatch, growing: Stream, quick: Learning, tmp_path: Path
) -> None:
    calls = spy(monkeypatch)
    learner = make(growing, quick.model_copy(update={"kd": True}), tmp_path)
    learner.learn(0)
    learner.learn(1)
    assert [groups for _, groups, _ in calls if len(groups) == 2]  # the teacher was taken again after stage 1
    assert calls[-1][1] == [2, 2]


def test_a_shared_head_is_distilled_whole(
    monkeypatch: pytest.MonkeyPatch, domains: Stream, quick: Learning, tmp_path: Path
) -> None:
    calls = spy(monkeypatch)
    learner = make(domains, quick.model_copy(update={"kd": True}), tmp_path)
    learner.learn(0)
    learner.learn(1)
    assert {tuple(groups) for _, groups, _ in calls} == {(3,)}


def test_one_softmax_over_all_old_classes_on_request(
    monkeypatch: pytest.MonkeyPatch, growing: Stream, quick: Learning, tmp_path: Path
) -> None:
    calls = spy(monkeypatch)
    learner = make(growing, quick.model_copy(update={"kd": True, "kd_softmax": "joint", "balance": False}), tmp_path)
    for stage in range(3):
        learner.learn(stage)
    assert {tuple(groups) for _, groups, _ in calls} == {(2,), (4,)}


def test_the_teacher_does_not_learn(growing: Stream, quick: Learning, tmp_path: Path) -> None:
    learner = make(growing, quick.model_copy(update={"kd": True}), tmp_path)
    learner.learn(0)
    teacher = learner._snapshot()
    before = copy.deepcopy(teacher.state_dict())
    loss = learner._loss(teacher)
    images = torch.zeros(2, 1, 8, 8)
    loss(images, learner.net(images), torch.tensor([0, 1])).backward()
    assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert any(parameter.grad is not None for parameter in learner.net.parameters())


# What is trained on.


def phases(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ImageSet]]:
    seen = []
    original = Learner._fit

    def watched(self: Learner, stage: int, phase: str, data: ImageSet, *rest: object) -> None:
        seen.append((f"{stage} {phase}", data))
        original(self, stage, phase, data, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Learner, "_fit", watched)
    return seen


def test_eeil_trains_on_new_data_and_memory_then_on_equal_counts(
    monkeypatch: pytest.MonkeyPatch, growing: Stream, quick: Learning, tmp_path: Path
) -> None:
    seen = phases(monkeypatch)
    learner = make(growing, quick, tmp_path)
    for stage in range(3):
        learner.learn(stage)
    counts = {name: data.labels.bincount().tolist() for name, data in seen}
    assert counts == {
        "0 new": [10, 10],
        "1 new": [2, 2, 10, 10],
        "1 balanced": [2] * 4,
        "2 new": [2] * 4 + [10, 10],
        "2 balanced": [2] * 6,
    }


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"current_data": "memory"}, {"0 new": [2] * 2, "1 new": [2] * 4, "1 balanced": [2] * 4}),
        ({"balance": False}, {"0 new": [10] * 2, "1 new": [2, 2, 10, 10]}),
        ({"scheme": "gdumb"}, {"0 afresh": [2] * 2, "1 afresh": [2] * 4}),
    ],
)
def test_switches(
    monkeypatch: pytest.MonkeyPatch,
    growing: Stream,
    quick: Learning,
    tmp_path: Path,
    change: dict[str, object],
    expected: dict[str, list[int]],
) -> None:
    seen = phases(monkeypatch)
    learner = make(growing, quick.model_copy(update=change), tmp_path)
    for stage in range(2):
        learner.learn(stage)
    assert {name: data.labels.bincount().tolist() for name, data in seen} == expected


def test_joint_training_sees_everything_with_a_fresh_network(
    monkeypatch: pytest.MonkeyPatch, growing: Stream, quick: Learning, tmp_path: Path
) -> None:
    seen = phases(monkeypatch)
    learner = make(growing, quick, tmp_path, "joint")
    learner.learn(0)
    learner.learn(1)
    assert [data.labels.bincount().tolist() for _, data in seen] == [[10] * 2, [10] * 4]
    other = make(growing, quick, tmp_path, "joint")
    other.memory.add(0)
    other.learn(1)  # whatever the network was before
    assert all(
        torch.equal(a, b)
        for a, b in zip(learner.net.state_dict().values(), other.net.state_dict().values(), strict=True)
    )


def test_balanced_batches_hold_half_old_and_every_new_image_once(generator: torch.Generator) -> None:
    batches = list(half_and_half(21, 4, 8)(generator))
    for index in batches:
        assert (index < 21).sum() == (index >= 21).sum() == len(index) / 2 <= 4
    everything = torch.cat(batches)
    assert everything[everything < 21].sort().values.tolist() == list(range(21))
    counts = (everything[everything >= 21] - 21).bincount()
    assert counts.max() - counts.min() <= 1


def test_flips_only_where_every_task_allows_it(
    make_dataset: Callable[..., Dataset], quick: Learning, tmp_path: Path
) -> None:
    flips = [renamed(make_dataset(seed=seed, flip=flip), f"set{seed}") for seed, flip in enumerate((True, False))]
    settings = quick.model_copy(update={"augment": "crop_flip"})
    for datasets, expected in ((flips, ("crop",)), ([flips[0], renamed(flips[0], "b")], ("crop", "flip"))):
        assert make(join_domains(datasets), settings, tmp_path)._operations() == expected


def test_eeils_schedule() -> None:
    settings = Learning()
    new, balanced = settings.schedule("new"), settings.schedule("balanced")
    assert (new["epochs"], list(new["milestones"]), new["batch_size"]) == (40, [10, 20, 30], 128)
    assert (new["momentum"], new["weight_decay"]) == (0.9, 1e-4)
    assert (balanced["epochs"], list(balanced["milestones"])) == (30, [10, 20])
    assert settings.schedule("afresh") == {
        "epochs": 1000,
        "milestones": (500,),
        "lr": 0.01,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "batch_size": 256,
    }


@pytest.mark.parametrize(
    ("change", "memory", "message"),
    [
        ({"kd": True, "scheme": "gdumb"}, "random", "leave out --kd"),
        ({"kd": True}, "joint", "leave out --kd"),
        ({"scheme": "gdumb"}, "none", "nothing to learn from"),
        ({"current_data": "memory"}, "none", "nothing to learn from"),
        ({"net": "convnet-d9"}, "random", "needs images of at least"),
        ({"augment": "crpo"}, "random", "did you mean 'crop'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    growing: Stream, quick: Learning, change: dict[str, object], memory: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        quick.model_copy(update=change).check(growing, memory)


def test_a_softmax_over_one_class_is_refused(make_dataset: Callable[..., Dataset], quick: Learning) -> None:
    stream = split_classes(make_dataset(classes=3), 3)
    with pytest.raises(InputError, match="--kd-softmax joint"):
        quick.model_copy(update={"kd": True}).check(stream, "random")
    quick.model_copy(update={"kd": True, "kd_softmax": "joint"}).check(stream, "random")


def test_network_names_by_size() -> None:
    assert Learning().network(8) == "convnet-w32-d2-relu-instance-avg"
    assert Learning().network(32) == "convnet-w128-d3-relu-instance-avg"
    assert Learning(net="lenet").network(32) == "lenet"
