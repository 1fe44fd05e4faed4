"""Every method in METHODS keeps the same promises. A new method joins by its line there.

Nothing here names a method, except where `SETTINGS` shrinks one beyond what `shrink` does by itself.
"""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from proxyset.checkpoint import Checkpoint
from proxyset.compute.plan import Engine
from proxyset.compute.session import Session
from proxyset.data.images import ImageSet
from proxyset.data.spec import Dataset, normalise
from proxyset.errors import InputError
from proxyset.methods.base import Method
from proxyset.methods.registry import METHODS, get_method
from proxyset.progress import Progress, silent
from proxyset.testing import PROMISES
from tests.proxyset.methods import made
from tests.proxyset.methods.made import make_problem

# What makes a method small, by the names that settings have in this project; each method takes those it knows.
SMALL: dict[str, Any] = {
    "net": "convnet-w4-d1",
    "iterations": 3,
    "inner_steps": 2,
    "net_epochs": 2,
    "epochs": 3,
    "batch_real": 8,
    "batch_net": 8,
}
# Settings of single methods, where these are not small enough or a method has others.
SETTINGS: dict[str, dict[str, Any]] = {
    "krr": {"pool": 2, "pool_steps": 2},
    "ld": {"unroll": 2, "reset": 2},
    "mtt": {"experts": 1, "expert_epochs": 2, "latest_start": 1, "span": 1, "unroll": 2},
    "gtn": {"noise": 4, "width": 8},
}


def shrink(name: str) -> Method:
    kind = get_method(name)
    return kind(**{key: value for key, value in SMALL.items() if key in kind.model_fields} | SETTINGS.get(name, {}))


def condense(
    name: str,
    data: Dataset,
    ipc: int = 2,
    seed: int = 0,
    progress: Progress = silent,
    checkpoint: Checkpoint | None = None,
) -> ImageSet:
    return made.condense(shrink(name), data, ipc, seed, progress, checkpoint)


def same(first: ImageSet, second: ImageSet) -> bool:
    return torch.equal(first.images, second.images) and torch.equal(first.labels, second.labels)


every_method = pytest.mark.parametrize("name", METHODS)


@every_method
@pytest.mark.parametrize("promise", PROMISES)
def test_every_method_keeps_every_promise(name: str, promise: str, tmp_path: Path) -> None:
    PROMISES[promise](shrink(name), tmp_path)


@every_method
@pytest.mark.parametrize(("channels", "size", "ipc"), [(1, 8, 1), (3, 8, 3), (1, 9, 7), (3, 12, 2)])
def test_as_many_images_of_every_class_as_asked(
    name: str, channels: int, size: int, ipc: int, make_dataset: Callable[..., Dataset]
) -> None:
    """Also an ipc that no paper lists, and as many as the smallest class has."""
    data = make_dataset(classes=4, counts=(7, 12, 9, 8), channels=channels, size=size)
    found = condense(name, data, ipc)
    assert found.images.shape == (4 * ipc, channels, size, size)
    assert found.images.dtype == torch.float32
    assert found.images.device.type == "cpu"
    assert found.images.isfinite().all()
    assert not found.images.requires_grad
    assert found.labels.tolist() == [label for label in range(4) for _ in range(ipc)]  # ordered by class


@every_method
def test_same_seed_same_bits_another_seed_other_bits(name: str, make_dataset: Callable[..., Dataset]) -> None:
    data = make_dataset(counts=60)
    first = condense(name, data, ipc=3)
    assert same(first, condense(name, data, ipc=3))
    assert not torch.equal(first.images, condense(name, data, ipc=3, seed=1).images)


@every_method
def test_every_random_choice_comes_from_the_generator(name: str, tiny: Dataset) -> None:
    """Whatever state the global generators are in (conftest.py sees to it that they are not moved either)."""
    first = condense(name, tiny)
    with torch.random.fork_rng():
        torch.manual_seed(12345)
        assert same(first, condense(name, tiny))


@every_method
def test_the_real_images_stay_untouched(name: str, tiny: Dataset) -> None:
    before = tiny.train.sha256()
    found = condense(name, tiny)
    found.images.add_(1.0)  # and are not shared with the result
    assert tiny.train.sha256() == before


@every_method
def test_methods_that_pick_real_images_return_real_ones_each_once(name: str, tiny: Dataset) -> None:
    if not get_method(name).picks_real:
        pytest.skip("makes its images")
    found = condense(name, tiny, ipc=5)
    for label in range(3):
        real = normalise(tiny.train.images[tiny.train.labels == label], tiny.spec).flatten(1)
        picked = found.images[found.labels == label].flatten(1)
        rows = [(real == image).all(1).nonzero().flatten().tolist() for image in picked]
        assert all(len(row) == 1 for row in rows)
        assert len({row[0] for row in rows}) == 5


@every_method
def test_within_a_class_the_best_come_first(name: str, tiny: Dataset) -> None:
    """Then the head of a larger set is the smaller set, as a memory that shrinks needs it."""
    if not get_method(name).picks_real:
        pytest.skip("makes its images anew for every ipc")
    if name == "k-means":
        pytest.skip("covers a class by as many picks as are wanted, and ranks none before another")
    larger, smaller = condense(name, tiny, ipc=5), condense(name, tiny, ipc=2)
    for label in range(3):
        assert torch.equal(larger.images[larger.labels == label][:2], smaller.images[smaller.labels == label])


def interrupt_after(step: int) -> Progress:
    calls = itertools.count(1)

    def progress(done: float, total: int, loss: float | None = None) -> None:
        if next(calls) == step:
            raise KeyboardInterrupt

    return progress


@every_method
@pytest.mark.parametrize(
    ("every", "saves"), [(100, True), (1, False), (2, False)], ids=["ctrl-c", "kill", "kill between checkpoints"]
)
def test_interrupted_anywhere_and_resumed_equals_uninterrupted(
    name: str, every: int, saves: bool, tiny: Dataset, tmp_path: Path
) -> None:
    """Ctrl-C writes the last step; a kill loses what came after the last checkpoint. Both end in the same bits."""
    calls: list[tuple[float, int]] = []
    whole = condense(name, tiny, progress=lambda done, total, loss=None: calls.append((done, total)))
    if not calls:
        pytest.skip("done in one step")
    each = shrink(name).steps_per_iteration(make_problem(tiny))
    assert [done for done, _ in calls] == [pytest.approx(step / each) for step in range(1, len(calls) + 1)]
    assert {total for _, total in calls} == {len(calls) / each}  # whole iterations
    for step in range(1, len(calls) + 1):
        path = tmp_path / f"{step}.checkpoint"
        checkpoint = Checkpoint(path, every, {"method": name})
        with pytest.raises(KeyboardInterrupt):
            condense(name, tiny, progress=interrupt_after(step), checkpoint=checkpoint)
        if saves:
            checkpoint.write()
        assert path.exists() == (saves or step >= every)
        later = Checkpoint(path, every, {"method": name})
        resumed = condense(name, tiny, seed=0, checkpoint=later)
        assert same(whole, resumed), f"interrupted after step {step}"


@every_method
def test_interrupted_twice_and_resumed_equals_uninterrupted(name: str, tiny: Dataset, tmp_path: Path) -> None:
    whole = condense(name, tiny)
    for _ in range(2):
        checkpoint = Checkpoint(tmp_path / "checkpoint", 1, {})
        try:
            condense(name, tiny, progress=interrupt_after(1), checkpoint=checkpoint)
        except KeyboardInterrupt:
            checkpoint.write()
    assert same(whole, condense(name, tiny, checkpoint=Checkpoint(tmp_path / "checkpoint", 1, {})))


@every_method
def test_a_checkpoint_of_other_work_is_refused(name: str, tiny: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    checkpoint = Checkpoint(path, 1, {"seed": 0})
    condense(name, tiny, checkpoint=checkpoint)
    if not path.exists():
        pytest.skip("done in one step")
    with pytest.raises(InputError, match=r"of other work \(different: seed"):
        condense(name, tiny, checkpoint=Checkpoint(path, 1, {"seed": 1}))


@every_method
@pytest.mark.parametrize("ipc", [0, -3])
def test_fewer_than_one_image_per_class_is_refused(name: str, ipc: int, tiny: Dataset) -> None:
    for work in (lambda: shrink(name).check(make_problem(tiny, ipc)), lambda: condense(name, tiny, ipc)):
        with pytest.raises(InputError, match=f"`ipc` must be at least 1, got {ipc}"):
            work()


@every_method
def test_more_images_than_the_smallest_class_has_are_refused_where_real_ones_are_needed(
    name: str, tiny: Dataset
) -> None:
    method = shrink(name)
    if not method.needs_real_images():
        method.check(make_problem(tiny, 10))
        return
    method.check(make_problem(tiny, 9))
    with pytest.raises(InputError, match="`ipc=10` is more than the smallest class of tiny has: 'class1' has 9 images"):
        condense(name, tiny, 10)


@every_method
def test_unknown_or_ill_typed_settings_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="unknown setting 'no_such_thing'"):
        get_method(name)(**{"no_such_thing": 1})
    for field in get_method(name).model_fields:
        with pytest.raises(InputError, match=f"`{field}`"):
            get_method(name)(**{field: object()})


@every_method
def test_settings_are_the_documentation(name: str, tiny: Dataset) -> None:
    """Every hyper-parameter has a default and a description; the class says what the method is, and its source."""
    method = get_method(name)
    assert method.name == name
    assert method.__doc__
    for field, info in method.model_fields.items():
        assert info.description, field
        assert not info.is_required(), field
    resolved = method().resolved(make_problem(tiny, 3))
    left_out_while_off = {"formation", "targets", "teacher_net", "teacher_epochs"}
    assert set(method.model_fields) - left_out_while_off <= set(resolved)
    assert None not in resolved.values()  # the provenance says what was used, not "by default"


@every_method
def test_estimate_is_a_duration_and_leaves_no_trace(name: str, tiny: Dataset) -> None:
    before = tiny.train.sha256()
    estimate = shrink(name).estimate(make_problem(tiny), Session(device="cpu"), Engine())
    assert 0 <= estimate.seconds < 60
    assert estimate.memory >= 0
    assert tiny.train.sha256() == before


@every_method
def test_a_checkpoint_counts_its_steps_as_the_method_says(name: str, tiny: Dataset, tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "checkpoint", 1, {})
    condense(name, tiny, checkpoint=checkpoint)
    method, problem = shrink(name), make_problem(tiny)
    assert checkpoint.step == method.total_steps(problem)
    assert checkpoint.step % method.steps_per_iteration(problem) == 0
