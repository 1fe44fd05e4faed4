"""Soft targets from a teacher: what they are, in sets and in files; what cannot work; what it will take."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from proxyset.artefact.build import ProxySpec, build, build_file
from proxyset.artefact.proxy_set import ProxySet
from proxyset.compute.session import Session
from proxyset.data.images import ImageSet, one_hot
from proxyset.errors import InputError
from proxyset.methods.base import Problem
from proxyset.methods.coreset import Herding, Random
from proxyset.methods.dm import DM
from proxyset.methods.dsa import DC
from proxyset.methods.snapshots import course_of, take
from proxyset.methods.teacher import label, make, teacher_seconds
from proxyset.nets.build import build_net
from proxyset.testing import tiny_dataset
from tests.proxyset.methods.taught import NET, SOFT, Parts, context

pytestmark = pytest.mark.usefixtures("short_students")


@pytest.mark.parametrize("formation", [1, 2])
def test_targets_are_the_softmax_of_the_recorded_epoch_on_what_is_trained_on(problem: Problem, formation: int) -> None:
    work = context()
    data = make(SOFT.model_copy(update={"formation": formation}), problem, work)
    facts, spec = work.facts["teacher"], problem.spec
    net = build_net(NET, **spec.shape, generator=torch.Generator())
    net.load_state_dict(take(course_of(problem, NET, 4), problem, work).states[facts["epoch"] - 1])
    with torch.no_grad():
        logits = net.eval()(data.unfold().images)
    expected = logits.exp() / logits.exp().sum(1, keepdim=True)
    assert data.targets is not None
    assert data.targets.shape == ((6, 3) if formation == 1 else (6, 4, 3))
    assert data.targets.dtype == torch.float32
    torch.testing.assert_close(data.targets.reshape(-1, 3), expected)
    assert torch.allclose(data.targets.sum(-1), torch.ones(()))
    right = expected.argmax(1) == problem.labels.repeat_interleave(formation**2)
    assert facts["agrees"] == pytest.approx(right.float().mean().item())
    assert facts["net"] == "convnet-w4-d1-relu-instance-avg"


def test_the_images_are_those_without_a_teacher(problem: Problem) -> None:
    soft, hard = make(SOFT, problem, context()), make(Random(), problem, context())
    assert torch.equal(soft.images, hard.images)
    assert hard.targets is None


def test_any_set_can_be_labelled(problem: Problem) -> None:
    noise = ImageSet(torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(1)), problem.labels)
    targets = label(SOFT, noise, problem, context()).targets
    assert targets is not None
    assert targets.shape == (6, 3)


def test_the_net_of_the_method_is_the_teachers_where_none_is_named(problem: Problem) -> None:
    work = context()
    make(Herding(net="mlp", features="pixels", targets="teacher", teacher_epochs=1), problem, work)
    assert work.facts["teacher"]["net"] == "mlp"


def test_soft_targets_of_the_real_set_play_no_part(problem: Problem) -> None:
    real = replace(problem.real, targets=one_hot(1 - problem.real.labels.clamp(max=1), 3))
    plain, soft = (make(SOFT, one, context()) for one in (problem, replace(problem, real=real)))
    assert plain.sha256() == soft.sha256()


def test_a_teacher_with_batch_norm_answers_by_its_statistics(problem: Problem) -> None:
    method = SOFT.model_copy(update={"teacher_net": "convnet-w4-d1-batch", "teacher_epochs": 1})
    whole = make(method, problem, context()).targets
    one = make(method, replace(problem, ipc=1), context()).targets
    assert whole is not None
    assert one is not None
    torch.testing.assert_close(whole[::2], one)  # the first of each class: what is beside it does not matter


def test_the_test_split_is_never_looked_at() -> None:
    data = tiny_dataset()
    other = replace(data, test=data.test[:0])
    first, second = (build(one, SOFT, 2, session=Session(device="cpu")) for one in (data, other))
    assert first.data.sha256() == second.data.sha256()
    assert first.provenance["teacher"]["epoch"] == second.provenance["teacher"]["epoch"]


def test_progress_goes_on_within_an_epoch_and_leaves_the_steps_of_the_method_alone(tmp_path: Path) -> None:
    data = tiny_dataset((200, 200, 200))
    seen = Parts()
    method = DC(net=NET, iterations=2, targets="teacher", teacher_epochs=2)
    build(data, method, 1, session=Session(device="cpu"), progress=seen)
    teacher = [done for title, done, _ in seen.seen if title.startswith("convnet")]
    assert any(done != int(done) for done in teacher)
    assert teacher == sorted(teacher)
    assert teacher[-1] == 2
    assert [done for title, done, _ in seen.seen if title == "work"] == [1, 2]
    steps: list[float] = []  # a function without parts sees its own steps alone
    build(data, method, 1, session=Session(device="cpu"), progress=lambda done, total, loss=None: steps.append(done))
    assert steps == [1, 2]


def test_a_file_has_the_targets_and_says_who_gave_them(tmp_path: Path, trained: list[str]) -> None:
    wanted = ProxySpec(tiny_dataset(), SOFT.model_copy(update={"formation": 2}), 2)
    built = build_file(wanted, tmp_path / "a.safetensors", session=Session(device="cpu"), progress=False)
    proxy = ProxySet.load(tmp_path / "a.safetensors")
    assert proxy.data.sha256() == built.data.sha256()
    assert proxy.data.targets is not None
    facts = proxy.provenance["teacher"]
    assert set(facts) == {"net", "epoch", "validation_accuracy", "seconds", "agrees"}
    assert 1 <= facts["epoch"] <= 4
    assert 0 <= facts["validation_accuracy"] <= 1
    assert proxy.provenance["settings"]["teacher_epochs"] == 4
    trained.clear()
    seed = replace(wanted, seed=1)
    build_file(seed, tmp_path / "b.safetensors", session=Session(device="cpu"), progress=False)
    assert not trained
    assert {file.name for file in tmp_path.iterdir()} == {"a.safetensors", "b.safetensors", "teachers"}


def test_without_a_teacher_nothing_is_said_or_kept(tmp_path: Path, trained: list[str]) -> None:
    proxy = build_file(ProxySpec(tiny_dataset(), Random(), 2), tmp_path / "a.safetensors", progress=False)
    assert "teacher" not in proxy.provenance
    assert not trained
    assert [file.name for file in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize(
    ("net", "words"), [("resnet19", "unknown network 'resnet19'"), ("convnet-w4-d5", "`teacher_net`")]
)
def test_a_teacher_that_cannot_be_is_refused_before_time_is_spent(
    net: str, words: str, problem: Problem, trained: list[str]
) -> None:
    method = DC(net=NET, iterations=1, targets="teacher", teacher_net=net)
    for work in (lambda: method.check(problem), lambda: make(method, problem, context())):
        with pytest.raises(InputError, match=words):
            work()
    assert not trained


def test_too_few_images_to_hold_some_out_are_refused() -> None:
    data = tiny_dataset((3, 1, 4))
    with pytest.raises(InputError, match=r"at least 2 images of every class.*'class1' of tiny has 1"):
        SOFT.check(Problem(data.train, data.spec, 1))


def test_whoever_watches_sees_the_targets(problem: Problem) -> None:
    seen: list[ImageSet] = []
    method = DM(net=NET, iterations=2, batch_real=2, targets="teacher", teacher_epochs=1)
    work = replace(context(), watch=lambda step, result: seen.append(result()))
    made = make(method, problem, work)
    assert len(seen) == 3
    assert seen[-1].sha256() == made.sha256()
    assert seen[0].targets is not None


def test_the_time_that_is_left(problem: Problem, tmp_path: Path) -> None:
    def left(keep: Path | None = tmp_path) -> float:
        return teacher_seconds(SOFT, problem, Session(device="cpu"), keep)

    assert teacher_seconds(Random(), problem, Session(device="cpu")) == 0
    assert 0 < left() < 60
    assert not list(tmp_path.iterdir())
    make(SOFT, problem, context(tmp_path))
    assert left() == 0
    assert left(None) > 0
    work = context()
    make(SOFT, problem, work)
    assert teacher_seconds(SOFT, problem, work.session) == 0
