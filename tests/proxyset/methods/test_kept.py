"""What is made once: known by its content, made again where it is damaged, the same after a stop."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from proxyset.claims import Claim
from proxyset.compute.plan import Engine
from proxyset.data.images import ImageSet
from proxyset.methods import kept as kept_module
from proxyset.methods.base import Context, Problem
from proxyset.methods.dsa import DC
from proxyset.methods.snapshots import course_of, take
from proxyset.methods.teacher import make
from tests.proxyset.methods.taught import NET, SOFT, Parts, context, same

pytestmark = pytest.mark.usefixtures("short_students")


def test_it_is_shared_by_seeds_methods_and_counts_of_a_session(problem: Problem, trained: list[str]) -> None:
    work = context()
    make(SOFT, problem, work)
    assert trained.count("teacher") == 1
    tried = len(trained)
    dc = DC(net=NET, iterations=1, targets="teacher", teacher_epochs=4)
    for method in (SOFT, dc):
        make(method, problem, Context(torch.Generator().manual_seed(9), work.session, Engine()))
    assert len(trained) == tried  # neither another teacher nor another choice
    make(SOFT, replace(problem, ipc=3), work)
    assert trained.count("teacher") == 1
    assert len(trained) > tried  # the epoch is chosen for every count


def test_a_kept_teacher_serves_other_processes(problem: Problem, tmp_path: Path, trained: list[str]) -> None:
    first = make(SOFT, problem, context(tmp_path))
    assert trained
    assert sorted(file.name.split("-")[0] for file in tmp_path.iterdir()) == ["students", "teacher"]
    trained.clear()
    assert make(SOFT, problem, context(tmp_path)).sha256() == first.sha256()
    assert not trained
    assert make(SOFT, problem, context()).sha256() == first.sha256()  # kept or not: the same bits


def test_where_nothing_can_be_kept_it_serves_this_process(
    problem: Problem, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "teachers").write_text("a file")
    taught = make(SOFT, problem, context(tmp_path / "teachers"))
    assert "not kept" in caplog.text
    assert taught.sha256() == make(SOFT, problem, context()).sha256()


@pytest.mark.parametrize(
    "change",
    [{"teacher_epochs": 3}, {"teacher_net": "mlp"}],
    ids=str,
)
def test_another_teacher_is_trained_for_other_settings(
    problem: Problem, tmp_path: Path, trained: list[str], change: dict[str, Any]
) -> None:
    make(SOFT, problem, context(tmp_path))
    trained.clear()
    make(SOFT.model_copy(update=change), problem, context(tmp_path))
    assert "teacher" in trained


def test_another_teacher_is_trained_for_other_images_or_another_form(problem: Problem) -> None:
    course = course_of(problem, NET, 4)
    real, spec = problem.real, problem.spec
    other = [
        replace(problem, real=real[:-1]),
        replace(problem, real=ImageSet(real.images, real.labels.roll(1))),
        replace(problem, spec=replace(spec, mean=(0.4,))),
        replace(problem, spec=replace(spec, flip=False)),
    ]
    digests = {course.wanted(one).digest for one in (problem, *other)}
    assert len(digests) == 5
    renamed = replace(problem, spec=replace(spec, name="other", class_names=("a", "b", "c")))
    assert course.wanted(renamed).digest == course.wanted(problem).digest


@pytest.mark.parametrize("kind", ["teacher", "students"])
@pytest.mark.parametrize("damage", ["flipped", "short", "other"])
def test_a_damaged_file_is_said_and_made_again(
    kind: str, damage: str, problem: Problem, tmp_path: Path, trained: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    first = make(SOFT, problem, context(tmp_path))
    (file,) = tmp_path.glob(f"{kind}-*")
    whole = file.read_bytes()
    if damage == "flipped":
        file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    elif damage == "short":
        file.write_bytes(whole[:-1])
    else:  # a whole file of other work
        make(SOFT.model_copy(update={"teacher_epochs": 3}), problem, context(tmp_path / "other"))
        next((tmp_path / "other").glob(f"{kind}-*")).replace(file)
    trained.clear()
    caplog.clear()
    assert make(SOFT, problem, context(tmp_path)).sha256() == first.sha256()
    assert trained
    assert any("made again" in line and str(file) in line for line in caplog.messages)
    assert read_again(file) == read_again_bytes(whole)


def read_again(file: Path) -> dict[str, Any]:
    return read_again_bytes(file.read_bytes())


def read_again_bytes(data: bytes) -> dict[str, Any]:
    """The tensors of a kept file, but for the seconds it took."""
    import safetensors.torch

    return {k: v.tolist() for k, v in safetensors.torch.load(data).items() if k != "seconds"}


def test_one_that_another_process_makes_is_waited_for(
    problem: Problem, tmp_path: Path, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other ends, or is killed, while this one waits."""
    path = course_of(problem, NET, 4).wanted(problem).path(tmp_path)
    other, waits = Claim(path), list[float]()

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            other.release()

    monkeypatch.setattr(kept_module.time, "sleep", sleep)
    take(course_of(problem, NET, 4), problem, context(tmp_path))
    assert len(waits) == 3
    assert trained == ["teacher"]


@pytest.mark.parametrize(
    "stop", [(NET, 0.1), (NET, 1), (NET, 2.5), (NET, 4), ("students", 0.5), ("students", 2), ("students", 4)], ids=str
)
def test_stopped_anywhere_and_resumed_gives_the_same_bits(
    stop: tuple[str, float], tmp_path: Path, problem: Problem
) -> None:
    whole = make(SOFT, problem, context())
    states = take(course_of(problem, NET, 4), problem, context()).states
    with pytest.raises(KeyboardInterrupt):
        make(SOFT, problem, context(tmp_path, Parts(stop)))
    seen = Parts()
    again = context(tmp_path, seen)
    assert make(SOFT, problem, again).sha256() == whole.sha256()
    assert same(take(course_of(problem, NET, 4), problem, again).states, states)
    part, place = stop
    begun = next((done for title, done, _ in seen.seen if title.startswith(part)), place)
    # no epoch is lost but the one in which it stopped, no students but those of one epoch
    assert begun >= int(place) if part == NET else begun > place - 1
    assert not list(tmp_path.glob("*.checkpoint"))


def test_a_damaged_state_is_said_and_started_over(
    problem: Problem, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(KeyboardInterrupt):
        make(SOFT, problem, context(tmp_path, Parts((NET, 2))))
    (state,) = tmp_path.glob("*.checkpoint")
    state.write_bytes(state.read_bytes()[:-1])
    assert make(SOFT, problem, context(tmp_path)).sha256() == make(SOFT, problem, context()).sha256()
    assert any("started over" in line for line in caplog.messages)
