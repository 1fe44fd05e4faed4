"""A memory with soft targets, from a method outside the repository: rehearsed, distilled, kept and gone on with."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from continual.api import learn_stream
from continual.providers import first_of_each_class
from continual.settings import Budget, Learning
from continual.stream import Stream
from continual.trainer import Phase
from proxyset.artefact.build import build
from proxyset.data.images import ImageSet, one_hot
from tests.continual.conftest import SOFT, Soft, make_scheme, stopped_and_resumed, untimed, watch_trainings


def targets_of(data: ImageSet) -> Tensor:
    assert data.targets is not None
    return data.targets


def test_memory_has_its_targets_and_new_data_one_hot_ones(
    monkeypatch: pytest.MonkeyPatch, growing: Stream, quick: Learning, tmp_path: Path
) -> None:
    seen = watch_trainings(monkeypatch)
    scheme = make_scheme(growing, quick, tmp_path, Soft())
    for stage in range(3):
        scheme.learn(stage)
    data = dict(seen)
    assert data["0 new"].targets is None  # only labels so far
    new, old = data["2 new"][torch.arange(20)], data["2 new"][torch.arange(20, 28)]
    assert torch.equal(targets_of(new), one_hot(new.labels, 6))
    for place, label in enumerate(old.labels.tolist()):
        others = {0: 1, 1: 0, 2: 3, 3: 2}[label]  # the other class of its task
        expected = torch.zeros(6)
        expected[label], expected[others] = 0.8, 0.2
        torch.testing.assert_close(targets_of(old)[place], expected)
    assert targets_of(data["1 balanced"]).shape == (8, 4)  # as many columns as classes seen
    assert targets_of(data["2 balanced"]).shape == (12, 6)


def test_tasks_that_share_classes_share_the_columns(
    monkeypatch: pytest.MonkeyPatch, domains: Stream, quick: Learning, tmp_path: Path
) -> None:
    seen = watch_trainings(monkeypatch)
    scheme = make_scheme(domains, quick, tmp_path, Soft())
    scheme.learn(0)
    scheme.learn(1)
    data = dict(seen)["1 balanced"]
    expected = torch.full((12, 3), 0.1)
    expected[torch.arange(12), data.labels] = 0.8
    torch.testing.assert_close(targets_of(data), expected)


@pytest.mark.parametrize("change", [{"scheme": "gdumb"}, {}, {"kd": True}, {"loss": "squared-error"}])
def test_targets_reach_the_loss(growing: Stream, quick: Learning, tmp_path: Path, change: dict[str, object]) -> None:
    """The same images with other targets make another network."""
    weights = []
    for share in (0.99, 0.6):
        scheme = make_scheme(growing, quick.model_copy(update=change), tmp_path, Soft(share=share))
        scheme.learn(0)
        scheme.learn(1)
        weights.append(torch.cat([parameter.flatten() for parameter in scheme.net.parameters()]))
    assert weights[0].isfinite().all()
    assert not torch.equal(*weights)


def test_certain_targets_do_what_labels_do(growing: Stream, quick: Learning, tmp_path: Path) -> None:
    learning = quick.model_copy(update={"scheme": "gdumb"})
    soft = make_scheme(growing, learning, tmp_path / "soft", Soft(share=1.0))
    hard = make_scheme(growing, learning, tmp_path / "hard", Soft(share=1.0))
    for stage in range(2):
        soft.learn(stage)
        hard.memory.add(stage)
        hard.memory.kept = [ImageSet(data.images, data.labels) for data in hard.memory.kept]
    hard.net = hard.trainer.fresh(1)
    data = hard.memory.rehearsal(4)
    assert data.targets is None
    hard.trainer.train(hard.net, data, Phase(1, "afresh", hard.trainings(1)[0][0]))
    for one, two in zip(soft.net.parameters(), hard.net.parameters(), strict=True):
        torch.testing.assert_close(one, two)


def test_a_shrinking_memory_keeps_the_targets_of_what_it_keeps(growing: Stream) -> None:
    data = build(growing.tasks[0].data, Soft(), 3, progress=False).data
    fewer = first_of_each_class(data, 2, 2)
    assert torch.equal(targets_of(fewer), targets_of(data)[[0, 1, 3, 4]])


@pytest.mark.parametrize("change", [{"scheme": "gdumb"}, {"kd": True}])
def test_a_run_by_name_goes_on_with_its_targets(
    growing: Stream, quick: Learning, tmp_path: Path, change: dict[str, object]
) -> None:
    budget, learning = Budget(ipc=2, store=tmp_path), quick.model_copy(update=change)
    whole = learn_stream(growing, SOFT, budget, learning, folder=tmp_path / "whole")
    assert whole["memory_kept"]["soft_targets"]
    assert whole["memory"] == SOFT
    resumed = stopped_and_resumed(growing, SOFT, budget, learning, tmp_path / "stopped")
    assert untimed(resumed) == untimed(whole)


def test_files_bring_their_targets(domains: Stream, quick: Learning, tmp_path: Path) -> None:
    files = []
    for task in domains.tasks:
        files.append(tmp_path / f"{task.name}.safetensors")
        build(task.data, Soft(), 2, progress=False).save(files[-1])
    result = learn_stream(domains, files, Budget(ipc=2), quick)
    assert result["memory_kept"]["soft_targets"]
