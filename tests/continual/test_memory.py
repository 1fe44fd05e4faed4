"""The memory: its budget, where its images come from, what it refuses, and its cache."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from continual.memory import Budget, Memory
from continual.sources import Condensed, check_settings, head, method_for, open_source
from continual.stream import Stream, join_domains, split_classes
from proxyset.builder import build
from proxyset.data import Dataset, ImageSet, normalise
from proxyset.methods import METHODS
from proxyset.nets import build_net
from proxyset.settings import Compute, InputError
from tests.continual.conftest import renamed

COMPUTE = Compute(device="cpu")
QUICK = ("iterations=2", "net_epochs=1", "inner_steps=2", "batch_real=4", "epochs=1")


def memory(stream: Stream, name: str, store: Path, seed: int = 0, **budget: int) -> Memory:
    settings = Budget(**budget)  # type: ignore[arg-type]
    source = open_source(name, stream, settings=QUICK, store=store, net="convnet-w4-d1", seed=seed, compute=COMPUTE)
    return Memory(stream, settings, source)


def pixels(data: ImageSet) -> set[bytes]:
    return {image.numpy().tobytes() for image in data.images}


@pytest.mark.parametrize("name", [*METHODS])
@pytest.mark.parametrize("budget", [{"ipc": 2}, {"budget": 13}, {"budget": 6}])
def test_never_exceeds_its_budget_and_is_balanced(
    growing: Stream, tmp_path: Path, name: str, budget: dict[str, int]
) -> None:
    kept = memory(growing, name, tmp_path, **budget)
    kept.check()
    for stage in range(3):
        kept.add(stage)
        limit = budget.get("budget", 2 * growing.cells(stage))
        report = kept.report()
        assert 0 < report["images"] <= limit
        counts = kept.rehearsal().labels.bincount()
        assert len(counts) == growing.seen(stage)
        assert counts.unique().tolist() == [limit // growing.cells(stage)]


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.picks_real])
@pytest.mark.parametrize("kind", ["growing", "domains"])
def test_holds_only_training_images_of_its_own_task(
    request: pytest.FixtureRequest, tmp_path: Path, name: str, kind: str
) -> None:
    stream: Stream = request.getfixturevalue(kind)
    kept = memory(stream, name, tmp_path, ipc=3)
    for stage, task in enumerate(stream.tasks):
        kept.add(stage)
        assert len(kept.kept) == stage + 1  # nothing of later tasks
        for images, seen in zip(kept.kept, stream.tasks, strict=False):
            assert pixels(images) <= pixels(seen.data.train)
            assert not pixels(images) & pixels(seen.data.test)
        assert task.data.train.images.dtype == torch.uint8


@pytest.mark.parametrize("name", ["dc", "dsa"])
def test_synthetic_memory_depends_on_its_own_task_alone(
    make_dataset: Callable[..., Dataset], tmp_path: Path, name: str
) -> None:
    first = make_dataset(seed=1)
    streams = [join_domains([first, renamed(make_dataset(seed=seed), "later")]) for seed in (2, 3)]
    found = []
    for stream in streams:
        kept = memory(stream, name, tmp_path / str(len(found)))
        kept.add(0)
        found.append(kept.kept[0].sha256())
    assert found[0] == found[1]  # other later tasks and other test data: the same bits


def test_rehearsal_is_normalised_by_task_and_labelled_in_the_stream(domains: Stream, tmp_path: Path) -> None:
    kept = memory(domains, "random", tmp_path, ipc=2)
    for stage in range(3):
        kept.add(stage)
    data = kept.rehearsal()
    assert data.labels.tolist() == [0, 0, 1, 1, 2, 2] * 3
    for stage, task in enumerate(domains.tasks):
        expected = normalise(kept.kept[stage].images, task.data.spec)
        assert torch.equal(kept.rehearsal(since=stage, until=stage + 1).images, expected)
    assert len(kept.rehearsal(until=2)) == 12


def test_real_images_take_a_byte_per_value_and_keep_their_pixels(growing: Stream, tmp_path: Path) -> None:
    real, synthetic = memory(growing, "random", tmp_path, ipc=2), memory(growing, "dsa", tmp_path, ipc=2)
    for kept in (real, synthetic):
        kept.add(0)
    assert real.report()["bytes"] == 4 * 64
    assert synthetic.report()["bytes"] == 4 * 64 * 4
    method = METHODS["random"]()
    built = build(growing.tasks[0].data, method, 2, seed=0)
    assert torch.equal(real.rehearsal().images, built.data.images)


def test_shrinking_keeps_the_head_of_each_ranked_list(growing: Stream, tmp_path: Path) -> None:
    kept = memory(growing, "herding", tmp_path, budget=12)
    kept.add(0)
    before = kept.kept[0]
    assert len(before) == 12
    kept.add(1)
    assert torch.equal(kept.kept[0].images, head(before, growing.tasks[0], 3).images)
    assert torch.equal(kept.kept[0].images[:3], before.images[:3])
    assert torch.equal(kept.kept[0].images[3:], before.images[6:9])


def test_herding_ranks_with_the_network_at_hand(growing: Stream, tmp_path: Path) -> None:
    task = growing.tasks[0]
    source = Condensed(METHODS["herding"](), tmp_path, 0, COMPUTE, at_hand=True)
    picks = []
    for seed in (1, 2):
        generator = torch.Generator().manual_seed(seed)
        net = build_net("convnet-w4-d1", channels=1, size=8, classes=2, generator=generator)
        picks.append(source.take(task, 3, net)[0].images)
    assert not torch.equal(*picks)
    assert not list(tmp_path.iterdir())  # it depends on the network, so it is not kept for other runs


def test_condensed_memory_is_made_once_by_content(growing: Stream, tmp_path: Path) -> None:
    kept = memory(growing, "dsa", tmp_path, ipc=2)
    kept.add(0)
    (file,) = tmp_path.glob("*.safetensors")
    written, first = file.stat().st_mtime_ns, kept.kept[0].sha256()
    again = memory(growing, "dsa", tmp_path, ipc=2)
    assert again.source is not None
    assert again.source.estimate(growing.tasks[0], 2) == 0
    again.add(0)
    assert again.kept[0].sha256() == first
    assert file.stat().st_mtime_ns == written
    assert again.report()["seconds"] == kept.report()["seconds"] > 0  # what it took to make, not to read
    for other in (memory(growing, "dsa", tmp_path, seed=1, ipc=2), memory(growing, "dsa", tmp_path, ipc=3)):
        other.add(0)
    assert len(list(tmp_path.glob("*.safetensors"))) == 3


def test_a_stale_file_of_the_same_name_is_made_again(growing: Stream, tmp_path: Path) -> None:
    kept = memory(growing, "random", tmp_path, ipc=2)
    kept.add(0)
    (file,) = tmp_path.glob("*.safetensors")
    build(growing.tasks[1].data, METHODS["random"](), 2).save(file)
    again = memory(growing, "random", tmp_path, ipc=2)
    again.add(0)
    assert again.kept[0].sha256() == kept.kept[0].sha256()


# Proxy sets from files.


def saved(dataset: Dataset, path: Path, ipc: int = 2) -> str:
    build(dataset, METHODS["random"](), ipc).save(path)
    return str(path)


def test_files_serve_the_task_whose_data_they_were_made_from(domains: Stream, tmp_path: Path) -> None:
    names = [saved(task.data, tmp_path / f"{task.name}.safetensors", ipc=3) for task in domains.tasks]
    kept = memory(domains, ",".join(reversed(names)), tmp_path, ipc=2)
    kept.check()
    for stage, task in enumerate(domains.tasks):
        kept.add(stage)
        expected = build(task.data, METHODS["random"](), 3).data
        assert torch.equal(kept.kept[stage].images, head(expected, task, 2).images)


def test_a_file_that_has_seen_later_tasks_is_refused(make_dataset: Callable[..., Dataset], tmp_path: Path) -> None:
    dataset = make_dataset(classes=4)
    kept = memory(split_classes(dataset, 2), saved(dataset, tmp_path / "all.safetensors"), tmp_path)
    with pytest.raises(InputError, match="has seen later tasks"):
        kept.check()


def test_a_file_of_another_step_size_limit_or_dataset_is_refused(
    make_dataset: Callable[..., Dataset], domains: Stream, tmp_path: Path
) -> None:
    dataset = make_dataset(classes=4)
    other = split_classes(dataset, 2, seed=0).tasks[0].data
    stream = split_classes(dataset, 2, seed=1)
    assert stream.tasks[0].data.train.sha256() != other.train.sha256()
    with pytest.raises(InputError, match="no step of this stream"):
        memory(stream, saved(other, tmp_path / "step.safetensors"), tmp_path).check()
    limited = join_domains([task.data for task in domains.tasks], limit=6)
    with pytest.raises(InputError, match="another --size, --channels or --limit"):
        memory(limited, saved(domains.tasks[0].data, tmp_path / "full.safetensors"), tmp_path).check()
    with pytest.raises(InputError, match="which is no task of"):
        memory(domains, saved(dataset, tmp_path / "other.safetensors"), tmp_path).check()


def test_files_must_cover_every_task_and_hold_enough(domains: Stream, tmp_path: Path) -> None:
    names = [saved(task.data, tmp_path / f"{task.name}.safetensors") for task in domains.tasks]
    with pytest.raises(InputError, match="no proxy set for task set2"):
        memory(domains, ",".join(names[:2]), tmp_path, ipc=2).check()
    with pytest.raises(InputError, match="give --ipc 2"):
        memory(domains, ",".join(names), tmp_path, ipc=3).check()
    with pytest.raises(InputError, match="no such file"):
        memory(domains, str(tmp_path / "gone.safetensors"), tmp_path).check()


# What is wrong before any work.


def test_a_budget_smaller_than_the_classes_is_refused(growing: Stream, domains: Stream, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--budget 5 is smaller than the 6 classes"):
        memory(growing, "random", tmp_path, budget=5).check()
    with pytest.raises(InputError, match="--budget 8 is smaller than the 9 classes"):
        memory(domains, "random", tmp_path, budget=8).check()


def test_more_images_than_a_class_has_unknown_memories_and_settings(growing: Stream, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="larger than the smallest class"):
        memory(growing, "random", tmp_path, ipc=11).check()
    with pytest.raises(InputError, match="did you mean 'herding'"):
        memory(growing, "hearding", tmp_path)
    with pytest.raises(InputError, match="did you mean 'iterations'"):
        check_settings(("iteration=3",), ("dsa",))
    for wrong in ("iterations", "iterations=[", "=3="):
        with pytest.raises(InputError, match=r"takes name=value|unknown setting"):
            check_settings((wrong,), ("dsa",))
    with pytest.raises(InputError, match="none, joint has none"):
        check_settings(("iterations=3",), ("none", "joint"))
    with pytest.raises(InputError, match="greater than or equal to 1"):
        method_for("dsa", ("iterations=0",), "convnet", 8)


def test_settings_go_to_the_methods_that_have_them(tmp_path: Path) -> None:
    check_settings(("iterations=3", "l2_normalise=false"), ("dsa", "herding", "random"))
    assert method_for("dsa", ("iterations=3", "l2_normalise=false"), "convnet-w8", 32).model_dump()["iterations"] == 3
    assert method_for("herding", ("iterations=3",), "convnet-w8", 32).model_dump()["net"] == "convnet-w8"
    assert method_for("dsa", (), "convnet", 32).model_dump()["iterations"] == 1000  # the paper's
