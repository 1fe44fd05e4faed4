"""Where memories come from: methods, made once and of one task's own data; files; and what is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from continual.choose import check_settings, label, memory_name, method_for, read_settings, settings_of
from continual.loading import join_domains, split_classes
from continual.method_provider import MethodProvider
from continual.providers import first_of_each_class
from continual.stream import Stream
from proxyset.artefact.build import build
from proxyset.data.spec import Dataset
from proxyset.errors import InputError
from proxyset.methods.coreset import Herding
from proxyset.nets.build import build_net
from proxyset.progress import silent
from tests.continual.conftest import SOFT, Soft, renamed
from tests.continual.test_memory import SESSION, memory

# Methods of the core.


@pytest.mark.parametrize("name", ["dc", "dsa"])
def test_synthetic_memory_depends_on_its_own_task_alone(
    make_dataset: Callable[..., Dataset], tmp_path: Path, name: str
) -> None:
    first = make_dataset(seed=1)
    hashes = set()
    for seed in (2, 3):
        stream = join_domains([first, renamed(make_dataset(seed=seed), "later")])
        kept = memory(stream, name, tmp_path / str(seed))
        kept.add(0)
        hashes.add(kept.kept[0].sha256())
    assert len(hashes) == 1  # other later tasks and other test data: the same bits


def test_herding_ranks_with_the_network_being_learned(growing: Stream, tmp_path: Path) -> None:
    provider = MethodProvider(Herding(), tmp_path, 0, SESSION, lambda title: silent, ranks_by_learner=True)
    task, picks = growing.tasks[0], []
    assert provider.estimate(task, 3) == 0
    assert provider.settings(task, 3)["features"] == "of the network being learned"
    for seed in (1, 2):
        generator = torch.Generator().manual_seed(seed)
        net = build_net("convnet-w4-d1", channels=1, size=8, classes=2, generator=generator)
        picks.append(provider.supply(task, 3, net)[0].images)
    assert not torch.equal(*picks)
    assert not list(tmp_path.iterdir())  # it depends on the network, so it is not kept for other runs


def test_condensed_memory_is_made_once_by_content(growing: Stream, tmp_path: Path) -> None:
    kept = memory(growing, "dsa", tmp_path, ipc=2)
    kept.add(0)
    (file,) = tmp_path.glob("*.safetensors")
    assert file.name.startswith("tiny-step1-dsa-ipc2-seed0")
    written, first = file.stat().st_mtime_ns, kept.kept[0].sha256()
    again = memory(growing, "dsa", tmp_path, ipc=2)
    assert again.provider is not None
    assert again.provider.estimate(growing.tasks[0], 2) == 0
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
    build(growing.tasks[1].data, "random", 2, progress=False).save(file)
    again = memory(growing, "random", tmp_path, ipc=2)
    again.add(0)
    assert again.kept[0].sha256() == kept.kept[0].sha256()


def test_a_method_of_ones_own_by_module_and_as_an_object(growing: Stream, tmp_path: Path) -> None:
    by_name, as_object = memory(growing, SOFT, tmp_path / "a", ipc=2), memory(growing, Soft(), tmp_path / "b", ipc=2)
    for kept in (by_name, as_object):
        kept.check()
        kept.add(0)
    assert by_name.kept[0].sha256() == as_object.kept[0].sha256()
    other = memory(growing, Soft(share=0.9), tmp_path / "a", ipc=2)
    other.add(0)
    assert other.kept[0].sha256() != by_name.kept[0].sha256()
    assert other.settings() == {"share": 0.9}


# Proxy sets from files.


def saved(dataset: Dataset, path: Path, ipc: int = 2) -> str:
    build(dataset, "random", ipc, progress=False).save(path)
    return str(path)


def test_files_serve_the_task_whose_data_they_were_made_from(domains: Stream, tmp_path: Path) -> None:
    names = [saved(task.data, tmp_path / f"{task.name}.safetensors", ipc=3) for task in domains.tasks]
    kept = memory(domains, ",".join(reversed(names)), tmp_path, ipc=2)
    kept.check()
    for stage, task in enumerate(domains.tasks):
        kept.add(stage)
        expected = build(task.data, "random", 3, progress=False).data
        assert torch.equal(kept.kept[stage].images, first_of_each_class(expected, 3, 2).images)
    assert set(kept.settings()) == set(names)


def test_a_file_that_has_seen_later_tasks_is_refused(make_dataset: Callable[..., Dataset], tmp_path: Path) -> None:
    dataset = make_dataset(classes=4)
    kept = memory(split_classes(dataset, 2), saved(dataset, tmp_path / "all.safetensors"), tmp_path)
    with pytest.raises(InputError, match="has seen later tasks"):
        kept.check()
    anonymous = Dataset(dataset.train, dataset.test, dataset.spec)  # made in Python, without a source
    kept = memory(split_classes(anonymous, 2), saved(anonymous, tmp_path / "all.safetensors"), tmp_path)
    with pytest.raises(InputError, match="no task of"):
        kept.check()


def test_a_file_of_another_step_size_limit_or_dataset_is_refused(
    make_dataset: Callable[..., Dataset], domains: Stream, tmp_path: Path
) -> None:
    dataset = make_dataset(classes=4)
    other = split_classes(dataset, 2, seed=0).tasks[0].data
    stream = split_classes(dataset, 2, seed=1)
    assert stream.tasks[0].data.sha256 != other.sha256
    with pytest.raises(InputError, match="no step of this stream"):
        memory(stream, saved(other, tmp_path / "step.safetensors"), tmp_path).check()
    limited = join_domains([task.data for task in domains.tasks], limit=6)
    with pytest.raises(InputError, match="another `size`, `channels` or `limit`"):
        memory(limited, saved(domains.tasks[0].data, tmp_path / "full.safetensors"), tmp_path).check()
    with pytest.raises(InputError, match="which is no task of"):
        memory(domains, saved(dataset, tmp_path / "other.safetensors"), tmp_path).check()


def test_files_must_cover_every_task_and_hold_enough(domains: Stream, tmp_path: Path) -> None:
    names = [saved(task.data, tmp_path / f"{task.name}.safetensors") for task in domains.tasks]
    with pytest.raises(InputError, match="no proxy set for task set2"):
        memory(domains, ",".join(names[:2]), tmp_path, ipc=2).check()
    with pytest.raises(InputError, match="give `ipc=2`"):
        memory(domains, ",".join(names), tmp_path, ipc=3).check()
    with pytest.raises(InputError, match="no such file"):
        memory(domains, str(tmp_path / "gone.safetensors"), tmp_path).check()


# Names and settings.


def test_names_of_memories() -> None:
    assert memory_name("dsa") == "dsa"
    assert memory_name(Soft()) == "soft"
    assert memory_name([Path("a.safetensors"), "b.safetensors"]) == "a.safetensors,b.safetensors"
    assert memory_name(Path("a.safetensors")) == "a.safetensors"
    assert label("folder/mnist-dsa.safetensors,usps.safetensors") == "mnist-dsa"
    assert label("package.module:Class") == "Class"
    assert label("dsa") == "dsa"


def test_more_images_than_a_class_has_unknown_memories_and_settings(growing: Stream, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="more than the smallest class"):
        memory(growing, "random", tmp_path, ipc=11).check()
    with pytest.raises(InputError, match="did you mean 'herding'"):
        memory(growing, "hearding", tmp_path)
    with pytest.raises(InputError, match="cannot load the method"):
        memory(growing, "nowhere.to.be:Seen", tmp_path)
    with pytest.raises(InputError, match="is no method"):
        memory(growing, "pathlib:Path", tmp_path)
    with pytest.raises(InputError, match="did you mean 'iterations'"):
        check_settings(("iteration=3",), ("dsa",))
    with pytest.raises(InputError, match="none, joint has none"):
        check_settings(("iterations=3",), ("none", "joint"))
    with pytest.raises(InputError, match="greater than or equal to 1"):
        method_for("dsa", ("iterations=0",), "convnet", 8)


@pytest.mark.parametrize("wrong", ["iterations", "iterations=["])
def test_settings_of_another_form_are_refused(wrong: str) -> None:
    with pytest.raises(InputError, match="name=value"):
        read_settings((wrong,))


def test_settings_go_to_the_methods_that_have_them() -> None:
    choices = ("iterations=3", "l2_normalise=false", "share=0.7")
    check_settings(choices, ("dsa", "herding", SOFT))
    assert settings_of("dsa", choices) == ("iterations=3",)
    assert settings_of("herding", choices) == ("l2_normalise=false",)
    assert settings_of("none", choices) == ()
    assert method_for("dsa", ("iterations=3",), "convnet-w8", 32).model_dump()["iterations"] == 3
    assert method_for("herding", (), "convnet-w8", 32).model_dump()["net"] == "convnet-w8"
    assert method_for("dsa", (), "convnet", 32).model_dump()["iterations"] == 1000  # the paper's
    assert method_for(SOFT, ("share=0.7",), "convnet", 8) == Soft(share=0.7)
