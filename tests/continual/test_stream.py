"""Streams: what a task holds, in which order, and what cannot be one."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from continual.loading import join_domains, load_stream, split_classes
from continual.settings import StreamChoice
from continual.stream import Stream, Task
from proxyset.data.images import ImageSet, one_hot
from proxyset.data.load import load
from proxyset.data.spec import Dataset
from proxyset.errors import InputError
from tests.continual.conftest import renamed


def test_the_embedded_stream_needs_no_choice() -> None:
    stream = load_stream()
    assert [len(task.classes) for task in stream.tasks] == [2] * 5
    assert stream.grows
    assert [stream.seen(stage) for stage in range(-1, 5)] == [0, 2, 4, 6, 8, 10]
    assert sum(len(task.data.train) for task in stream.tasks) == len(load("digits").train)


def test_images_are_not_held_out_for_nothing() -> None:
    with pytest.raises(InputError, match="validation"):
        load_stream(StreamChoice(validation=0.2))


def test_steps_split_every_image_once_under_the_order_of_the_field(make_dataset: Callable[..., Dataset]) -> None:
    dataset = make_dataset(classes=7)
    stream = split_classes(dataset, 3, seed=4)
    order = np.random.RandomState(4).permutation(7)
    assert stream.class_names == tuple(f"class{label}" for label in order)
    assert [task.classes for task in stream.tasks] == [(0, 1, 2), (3, 4), (5, 6)]
    for task in stream.tasks:
        for local, label in enumerate(task.classes):
            expected = dataset.train.images[dataset.train.labels == int(order[label])]
            found = task.data.train.images[task.data.train.labels == local]
            assert torch.equal(found, expected)
        assert task.data.spec.class_names == tuple(stream.class_names[label] for label in task.classes)
        assert task.relabel(task.data.test.labels).unique().tolist() == list(task.classes)


def test_cifar100s_orders_are_those_of_the_dm_code() -> None:
    state = np.random.get_state()
    np.random.seed(3)
    expected = np.random.permutation(100)  # what that code does
    np.random.set_state(state)
    assert np.array_equal(np.random.RandomState(3).permutation(100), expected)


def test_seeds_change_the_order_and_only_the_order(make_dataset: Callable[..., Dataset]) -> None:
    dataset = make_dataset(classes=6)
    one, two, again = (split_classes(dataset, 3, seed=seed) for seed in (0, 1, 0))
    assert one.describe() == again.describe()
    assert one.class_names != two.class_names
    assert sorted(one.class_names) == sorted(two.class_names)


def test_domains_share_labels_and_keep_their_normalisation(domains: Stream) -> None:
    assert not domains.grows
    assert [domains.seen(stage) for stage in range(3)] == [3, 3, 3]
    assert [domains.slots(stage) for stage in range(3)] == [3, 6, 9]
    assert [task.data.spec.mean[0] for task in domains.tasks] == pytest.approx([0.3, 0.4, 0.5])


def test_class_names_are_compared_up_to_their_form(make_dataset: Callable[..., Dataset]) -> None:
    plain = renamed(make_dataset(), "plain", class_names=("0", "1", "2"))
    long = renamed(make_dataset(), "long", class_names=("0 - zero", "1 - one", "2 - two"))
    assert join_domains([long, plain]).class_names == ("0", "1", "2")


def test_classes_that_differ_in_case_alone_are_different(make_dataset: Callable[..., Dataset]) -> None:
    letters = renamed(make_dataset(), "letters", class_names=("A", "a", "b"))
    assert join_domains([letters, renamed(letters, "more", class_names=("A", "a", "b"))]).class_names == ("A", "a", "b")
    stream = split_classes(letters, 3, order=("b", "a", "A"))
    assert stream.class_names == ("b", "a", "A")
    assert split_classes(make_dataset(), 3, order=("CLASS2", "class0", "Class1")).class_names[0] == "class2"


def test_tasks_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    tasks = []
    for seed, place in enumerate(("siteA", "siteB")):
        (tmp_path / place).mkdir()
        pixels = np.random.default_rng(seed).integers(0, 255, (12, 8, 8), dtype=np.uint8)
        arrays = {"x_train": pixels, "y_train": np.arange(12) % 2, "x_test": pixels, "y_test": np.arange(12) % 2}
        np.savez(tmp_path / place / "photos.npz", **arrays)  # type: ignore[arg-type]
        tasks.append(str(tmp_path / place / "photos.npz"))
    stream = load_stream(StreamChoice(tasks=tuple(tasks)))
    assert [task.name for task in stream.tasks] == ["siteA-photos", "siteB-photos"]


@pytest.mark.parametrize("names", [("0", "2", "1"), ("0", "1", "3"), ("cat", "dog", "owl")])
def test_other_class_names_are_refused(make_dataset: Callable[..., Dataset], names: tuple[str, ...]) -> None:
    plain = renamed(make_dataset(), "plain", class_names=("0", "1", "2"))
    with pytest.raises(InputError, match="do not share their classes"):
        join_domains([plain, renamed(make_dataset(), "other", class_names=names)])


def test_domains_are_brought_to_the_largest_size_and_channel_count(tmp_path: Path) -> None:
    for name, shape in (("a", (12, 10, 10)), ("b", (12, 16, 16, 3))):
        pixels = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
        labels = np.arange(12) % 2
        np.savez(tmp_path / f"{name}.npz", x_train=pixels, y_train=labels, x_test=pixels, y_test=labels)
    tasks = (str(tmp_path / "a.npz"), str(tmp_path / "b.npz"))
    stream = load_stream(StreamChoice(tasks=tasks))
    assert {task.data.train.images.shape[1:] for task in stream.tasks} == {(3, 16, 16)}
    stream = load_stream(StreamChoice(tasks=tasks, size=8, channels=1))
    assert {task.data.train.images.shape[1:] for task in stream.tasks} == {(1, 8, 8)}


def test_limit_takes_equally_many_of_every_class_and_leaves_the_test_set(make_dataset: Callable[..., Dataset]) -> None:
    dataset = make_dataset(classes=4, counts=10)
    stream = split_classes(dataset, 2, limit=7)
    for task in stream.tasks:
        assert task.data.train.labels.bincount().tolist() == [3, 3]
        assert len(task.data.test) == 8
    again = split_classes(dataset, 2, limit=7)
    assert stream.describe() == again.describe()
    with pytest.raises(InputError, match="`limit=1` is smaller"):
        split_classes(dataset, 2, limit=1)


@pytest.mark.parametrize("steps", [4, 1])
def test_more_steps_than_classes_or_a_single_one(make_dataset: Callable[..., Dataset], steps: int) -> None:
    with pytest.raises(InputError, match="`steps` must be 2 to 3"):
        split_classes(make_dataset(), steps)


def test_soft_targets_are_labelled_in_the_stream(growing: Stream) -> None:
    task = growing.tasks[1]  # labels 2 and 3
    few = task.data.train[torch.arange(3)]
    targets = torch.tensor([[0.9, 0.1], [0.5, 0.5], [0.0, 1.0]])
    labelled = task.labelled(ImageSet(few.images, few.labels, targets), seen=5)
    assert torch.equal(labelled.labels, few.labels + 2)
    assert labelled.targets is not None
    assert torch.equal(labelled.targets[:, 2:4], targets)
    assert labelled.targets[:, [0, 1, 4]].abs().sum() == 0
    assert task.labelled(few, seen=5).targets is None
    with pytest.raises(InputError, match="have 3 classes, the task 2"):
        task.labelled(ImageSet(few.images, few.labels, one_hot(few.labels, 3)), seen=5)


def test_steps_use_only_the_labels_of_a_set_with_soft_targets(
    make_dataset: Callable[..., Dataset], caplog: pytest.LogCaptureFixture
) -> None:
    dataset = make_dataset(classes=4)
    train = ImageSet(dataset.train.images, dataset.train.labels, one_hot(dataset.train.labels, 4))
    stream = split_classes(Dataset(train, dataset.test, dataset.spec, dataset.source), 2)
    assert all(task.data.train.targets is None for task in stream.tasks)
    assert "only its labels are used" in caplog.text


def test_a_stream_of_ones_own(make_dataset: Callable[..., Dataset]) -> None:
    day, night = renamed(make_dataset(seed=1), "day"), renamed(make_dataset(seed=2, classes=4), "night")
    stream = Stream("mine", (Task("day", day, (0, 1, 2)), Task("night", night, (2, 0, 3, 4))), tuple("abcde"))
    assert [stream.seen(0), stream.seen(1), stream.slots(1)] == [3, 5, 7]
    assert stream.grows


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        ([(0, 1, 2)], "abc", "at least two tasks"),
        ([(0, 1, 2), (4, 5, 6)], "abcdefg", "must take the next labels"),
        ([(0, 1, 2), (3, 4)], "abcde", "has 3 classes"),
        ([(0, 1, 2), (3, 4, 5)], "abcde", "names 5 classes"),
    ],
)
def test_streams_that_cannot_be(
    make_dataset: Callable[..., Dataset], labels: list[tuple[int, ...]], names: str, message: str
) -> None:
    tasks = tuple(Task(f"task{i}", make_dataset(), classes) for i, classes in enumerate(labels))
    with pytest.raises(InputError, match=message):
        Stream("wrong", tasks, tuple(names))


def test_tasks_of_one_name_different_shapes_or_without_tests(make_dataset: Callable[..., Dataset]) -> None:
    one = make_dataset()
    with pytest.raises(InputError, match="different names"):
        join_domains([one, one])
    with pytest.raises(InputError, match="differ in size or channels"):
        join_domains([one, renamed(make_dataset(size=16), "big")])
    with pytest.raises(InputError, match="has no test images"):
        join_domains([one, renamed(make_dataset(test_count=0), "untested")])


def test_steps_may_be_uneven_and_follow_a_given_order(make_dataset: Callable[..., Dataset]) -> None:
    dataset = make_dataset(classes=5)
    order = ("class3", "class0", "class4", "class1", "class2")
    stream = split_classes(dataset, (3, 1, 1), seed=7, order=order)
    assert stream.class_names == order
    assert [task.classes for task in stream.tasks] == [(0, 1, 2), (3,), (4,)]
    assert torch.equal(stream.tasks[1].data.train.images, dataset.train.images[dataset.train.labels == 1])
    assert stream.name == "tiny-3-1-1"


@pytest.mark.parametrize(
    ("steps", "order", "message"),
    [
        ((3, 1), (), "must add up"),
        ((5,), (), "must add up"),
        (2, ("class0", "class1", "class2", "class3"), "'class4' is missing"),
        (2, ("class0",) * 5, "'class1' is missing"),
        (2, ("clas0", "class1", "class2", "class3", "class4"), "did you mean 'class0'"),
    ],
)
def test_steps_and_orders_that_do_not_fit(
    make_dataset: Callable[..., Dataset], steps: int | tuple[int, ...], order: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        split_classes(make_dataset(classes=5), steps, order=order)


def test_tasks_may_bring_classes_of_their_own(make_dataset: Callable[..., Dataset]) -> None:
    pets = renamed(make_dataset(), "pets", class_names=("cat", "dog", "hen"))
    farm = renamed(make_dataset(seed=1), "farm", class_names=("Hen", "cow", "pig"))
    with pytest.raises(InputError, match="`new_classes=True`"):
        join_domains([pets, farm])
    stream = join_domains([pets, farm], new_classes=True)
    assert stream.class_names == ("cat", "dog", "hen", "cow", "pig")
    assert [task.classes for task in stream.tasks] == [(0, 1, 2), (2, 3, 4)]
    assert stream.grows


def test_choices_that_do_not_go_together() -> None:
    assert StreamChoice(steps=5) == StreamChoice(steps=(5,))
    for choice, message in ((StreamChoice(new_classes=True), "`tasks`"),):
        with pytest.raises(InputError, match=message):
            load_stream(choice)
