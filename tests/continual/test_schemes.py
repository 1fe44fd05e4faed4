"""What each scheme trains on, with which settings, and what it refuses."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from continual.loading import join_domains, split_classes
from continual.schemes.eeil import half_and_half
from continual.schemes.registry import scheme_class
from continual.settings import Learning
from continual.stream import Stream
from continual.trainer import Trainer
from proxyset.compute.session import Session
from proxyset.data.augment import operations
from proxyset.data.spec import Dataset
from proxyset.errors import InputError
from proxyset.nets.classifier import Classifier
from tests.continual.conftest import make_scheme, renamed, watch_epochs, watch_trainings


def test_eeil_trains_on_new_data_and_memory_then_on_equal_counts(
    monkeypatch: pytest.MonkeyPatch, growing: Stream, quick: Learning, tmp_path: Path
) -> None:
    seen = watch_trainings(monkeypatch)
    scheme = make_scheme(growing, quick, tmp_path)
    for stage in range(3):
        scheme.learn(stage)
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
    seen = watch_trainings(monkeypatch)
    scheme = make_scheme(growing, quick.model_copy(update=change), tmp_path)
    for stage in range(2):
        scheme.learn(stage)
    assert {name: data.labels.bincount().tolist() for name, data in seen} == expected


@pytest.mark.parametrize(
    ("memory", "change"),
    [
        ("none", {}),
        ("none", {"balance": False}),
        ("random", {}),
        ("random", {"balance": False}),
        ("random", {"current_data": "memory"}),
        ("random", {"scheme": "gdumb"}),
        ("joint", {}),
        ("random", {"batches": "balance"}),
        ("random", {"batches": "balance", "current_data": "memory"}),
        ("random", {"scheme": "der"}),
    ],
)
def test_trainings_are_known_in_advance(
    monkeypatch: pytest.MonkeyPatch,
    growing: Stream,
    quick: Learning,
    tmp_path: Path,
    memory: str,
    change: dict[str, object],
) -> None:
    seen = watch_epochs(monkeypatch)
    scheme = make_scheme(growing, quick.model_copy(update=change), tmp_path, memory)
    for stage in range(3):
        seen.clear()
        scheme.learn(stage)
        assert [count for _, count in scheme.trainings(stage)] == seen


def test_joint_training_sees_everything_with_a_fresh_network(
    monkeypatch: pytest.MonkeyPatch, growing: Stream, quick: Learning, tmp_path: Path
) -> None:
    seen = watch_trainings(monkeypatch)
    scheme = make_scheme(growing, quick, tmp_path, "joint")
    scheme.learn(0)
    scheme.learn(1)
    assert [data.labels.bincount().tolist() for _, data in seen] == [[10] * 2, [10] * 4]
    other = make_scheme(growing, quick, tmp_path, "joint")
    other.memory.add(0)
    other.learn(1)  # whatever the network was before
    weights = zip(scheme.net.state_dict().values(), other.net.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in weights)


def test_balanced_batches_hold_half_old_and_every_new_image_once(generator: torch.Generator) -> None:
    batches = list(half_and_half(21, 4, 8)(generator))
    for index in batches:
        assert (index < 21).sum() == (index >= 21).sum() == len(index) / 2 <= 4
    everything = torch.cat(batches)
    assert everything[everything < 21].sort().values.tolist() == list(range(21))
    counts = (everything[everything >= 21] - 21).bincount()
    assert counts.max() - counts.min() <= 1


def test_flips_only_where_every_task_allows_it(make_dataset: Callable[..., Dataset], quick: Learning) -> None:
    flips = [renamed(make_dataset(seed=seed, flip=flip), f"set{seed}") for seed, flip in enumerate((True, False))]
    for datasets, expected in ((flips, ("crop",)), ([flips[0], renamed(flips[0], "b")], ("crop", "flip"))):
        trainer = Trainer(join_domains(datasets), quick, session=Session(device="cpu"))
        assert operations("crop_flip", trainer.spec.flip) == expected


def test_accuracies_are_those_of_the_network_on_test_data(growing: Stream, quick: Learning, tmp_path: Path) -> None:
    scheme = make_scheme(growing, quick, tmp_path)
    scheme.learn(0)
    scheme.learn(1)
    right = []
    for task in growing.tasks[:2]:
        mean, std = task.data.spec.mean[0], task.data.spec.std[0]
        scheme.net.eval()
        logits = scheme.net((task.data.test.images.float() / 255 - mean) / std)
        right.append(sum(task.classes[y] == g for y, g in zip(task.data.test.labels, logits.argmax(1), strict=True)))
    assert scheme.test(1).tolist() == right


@pytest.mark.parametrize(
    ("change", "memory", "message"),
    [
        ({"kd": True, "scheme": "gdumb"}, "random", "leave out `kd`"),
        ({"kd": True}, "joint", "leave out `kd`"),
        ({"scheme": "gdumb"}, "none", "nothing to learn from"),
        ({"current_data": "memory"}, "none", "nothing to learn from"),
        ({"net": "convnet-d9"}, "random", "needs images of at least"),
        ({"net": f"{__name__}:headless"}, "random", "no linear head that could grow"),
        ({"augment": "crpo"}, "random", "did you mean 'crop'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    growing: Stream, quick: Learning, tmp_path: Path, change: dict[str, object], memory: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        make_scheme(growing, quick.model_copy(update=change), tmp_path, memory)


def headless(channels: int, size: int, classes: int) -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(channels * size**2, classes))


def plain(channels: int, size: int, classes: int) -> torch.nn.Module:
    return Classifier(torch.nn.Flatten(), torch.nn.Linear(channels * size**2, classes))


def test_a_network_of_ones_own_learns_a_stream(growing: Stream, quick: Learning, tmp_path: Path) -> None:
    learning = quick.model_copy(update={"net": f"{__name__}:plain", "kd": True})
    scheme = make_scheme(growing, learning, tmp_path, "herding")
    for stage in range(3):
        scheme.learn(stage)
    assert scheme.net(torch.zeros(1, 1, 8, 8)).shape == (1, 6)


def test_a_softmax_over_one_class_is_refused(make_dataset: Callable[..., Dataset], quick: Learning) -> None:
    stream = split_classes(make_dataset(classes=3), 3)
    check = scheme_class("eeil", "random").check
    with pytest.raises(InputError, match="`kd_softmax=joint`"):
        check(quick.model_copy(update={"kd": True}), stream, "random")
    check(quick.model_copy(update={"kd": True, "kd_softmax": "joint"}), stream, "random")
