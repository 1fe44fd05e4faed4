"""A memory of stored images with a formation: kept as they are stored, rehearsed tile by tile."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from continual.api import learn_stream
from continual.memory import Memory
from continual.report import print_report
from continual.results import read_result
from continual.settings import Budget, Learning
from continual.stream import Stream
from proxyset.artefact.build import build
from proxyset.artefact.proxy_set import ProxySet
from proxyset.data.formation import unfold
from proxyset.data.spec import normalise
from proxyset.errors import InputError
from proxyset.methods.base import Method
from proxyset.methods.coreset import Herding, Random
from proxyset.methods.dsa import DSA
from proxyset.settings import KeepAs
from tests.continual.conftest import make_scheme, stopped_and_resumed, untimed, watch_epochs, watch_trainings
from tests.continual.test_memory import memory

LEARNED = DSA(net="mlp", iterations=1, inner_steps=1, net_epochs=1, batch_real=4, formation=2)


def files(stream: Stream, folder: Path, keep_as: KeepAs, formations: tuple[int, ...]) -> str:
    """A file for each task."""
    paths = []
    for task, formation in zip(stream.tasks, formations, strict=True):
        paths.append(folder / f"{task.name}-{formation}.safetensors")
        build(task.data, Random(formation=formation), 2, keep_as=keep_as, progress=False).save(paths[-1])
    return ",".join(map(str, paths))


@pytest.mark.parametrize(("method", "each"), [(Random(formation=2), 1), (LEARNED, 4)])
def test_stored_images_are_kept_and_every_tile_is_rehearsed(
    growing: Stream, tmp_path: Path, method: Method, each: int
) -> None:
    kept = memory(growing, method, tmp_path, ipc=2)
    kept.check()
    for stage in range(2):
        kept.add(stage)
    report = kept.report()
    assert (report["images"], report["training_images"], report["bytes"]) == (8, 32, 8 * 64 * each)
    assert (kept.size(1), kept.trained_on(1)) == (8, 32)
    assert [(len(data), data.formation) for data in kept.kept] == [(4, 2), (4, 2)]
    rehearsed = kept.rehearsal(4)
    assert rehearsed.formation == 1
    assert rehearsed.labels.tolist() == [label for label in range(4) for _ in range(8)]
    expected = [normalise(unfold(data.images, 2), growing.tasks[0].data.spec) for data in kept.kept]
    assert torch.equal(rehearsed.images, torch.cat(expected))


def test_a_shrinking_memory_gives_up_stored_images(growing: Stream, tmp_path: Path) -> None:
    kept = memory(growing, Random(formation=2), tmp_path, budget=4)  # two of each class, then one
    kept.add(0)
    before = kept.kept[0]
    kept.add(1)
    assert torch.equal(kept.kept[0].images, before.images[::2])
    assert kept.rehearsal(4).labels.bincount().tolist() == [4] * 4


@pytest.mark.parametrize("method", [Random(formation=2), LEARNED])
def test_its_state_brings_it_back(growing: Stream, tmp_path: Path, method: Method) -> None:
    kept, again = (memory(growing, method, tmp_path, ipc=2) for _ in range(2))
    kept.add(0)
    again.set_state(kept.state(), 1)
    assert again.kept[0].sha256() == kept.kept[0].sha256()
    assert again.report() == kept.report()


@pytest.mark.parametrize("wrong", [None, 1, 3, -2])
def test_a_state_of_another_formation_is_refused(growing: Stream, tmp_path: Path, wrong: int | None) -> None:
    kept, again = (memory(growing, Random(formation=2), tmp_path, ipc=2) for _ in range(2))
    kept.add(0)
    state = kept.state()
    del state["kept.0.formation"]
    if wrong is not None:
        state["kept.0.formation"] = torch.tensor(wrong)
    with pytest.raises(ValueError, match="memory 1 has the formation"):
        again.set_state(state, 1)


def test_a_state_without_tiles_is_what_it_was_before(growing: Stream, tmp_path: Path) -> None:
    kept = memory(growing, "random", tmp_path, ipc=2)
    kept.add(0)
    assert set(kept.state()) == {"kept.0.images", "kept.0.labels", "memory.seconds"}


def test_images_ranked_by_the_learner_are_shrunk_into_tiles(growing: Stream, tmp_path: Path, quick: Learning) -> None:
    scheme = make_scheme(growing, quick, tmp_path, Herding(formation=2, net="mlp"))
    scheme.learn(0)
    (data,) = scheme.memory.kept
    assert (data.formation, data.images.dtype, len(data)) == (2, torch.uint8, 4)
    assert scheme.memory.settings()["formation"] == 2
    assert not list(tmp_path.glob("*.safetensors"))  # nothing was condensed
    plain = make_scheme(growing, quick, tmp_path, Herding(net="mlp"))
    plain.learn(0)
    real = {image.numpy().tobytes() for image in growing.tasks[0].data.train.images}
    assert {image.numpy().tobytes() for image in plain.memory.kept[0].images} <= real


# Trainings.


def test_every_class_has_as_many_images_in_the_balanced_fine_tuning(
    monkeypatch: pytest.MonkeyPatch, growing: Stream, quick: Learning, tmp_path: Path
) -> None:
    seen = watch_trainings(monkeypatch)
    scheme = make_scheme(growing, quick, tmp_path, Random(formation=2))
    for stage in range(2):
        scheme.learn(stage)
    data = dict(seen)
    assert data["1 balanced"].labels.bincount().tolist() == [8] * 4
    assert data["1 new"].labels.bincount().tolist() == [8, 8, 10, 10]
    assert [images for _, images in scheme.trainings(1)] == [36, 32]  # as estimates take them


@pytest.mark.parametrize("change", [{"batches": "balance"}, {"current_data": "memory"}, {"scheme": "gdumb"}])
def test_other_ways_to_learn_take_tiles_too(
    monkeypatch: pytest.MonkeyPatch, growing: Stream, quick: Learning, tmp_path: Path, change: dict[str, Any]
) -> None:
    seen = watch_epochs(monkeypatch)
    scheme = make_scheme(growing, quick.model_copy(update=change), tmp_path, Random(formation=2))
    for stage in range(2):
        scheme.learn(stage)
    assert [images for stage in range(2) for _, images in scheme.trainings(stage)] == seen


def test_a_report_says_what_is_stored_and_what_is_trained_on(
    growing: Stream, quick: Learning, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for formation, words in ((2, "12 (48 trained on)"), (1, "12")):
        result = learn_stream(growing, Random(formation=formation), Budget(ipc=2, store=tmp_path), quick)
        print_report([result])
        printed = capsys.readouterr().out
        assert words in printed
        assert ("trained on" in printed) == (formation > 1)


@pytest.mark.draws
@pytest.mark.parametrize("change", [{}, {"scheme": "gdumb"}])
def test_a_run_goes_on_with_its_tiles(growing: Stream, quick: Learning, tmp_path: Path, change: dict[str, Any]) -> None:
    budget, learning = Budget(ipc=2, store=tmp_path), quick.model_copy(update=change)
    whole = learn_stream(growing, LEARNED, budget, learning, folder=tmp_path / "whole")
    assert whole["memory_kept"]["training_images"] == 4 * whole["memory_kept"]["images"] == 48
    assert whole["memory_settings"]["formation"] == 2
    with Image.open(tmp_path / "whole" / "memory.png") as picture:
        assert picture.size[0] > 100
    assert read_result(tmp_path / "whole" / "results.json").to_dict() == whole.to_dict()
    resumed = stopped_and_resumed(growing, LEARNED, budget, learning, tmp_path / "stopped")
    assert untimed(resumed) == untimed(whole)


# Files.


@pytest.mark.parametrize(("keep_as", "count"), [("float32", 4), ("float16", 2), ("uint8", 1)])
def test_files_count_the_bytes_that_they_take(growing: Stream, tmp_path: Path, keep_as: KeepAs, count: int) -> None:
    kept: Memory = memory(growing, files(growing, tmp_path, keep_as, (2, 2, 2)), tmp_path, ipc=1)
    kept.check()
    kept.add(0)
    report = kept.report()
    assert (report["images"], report["training_images"], report["bytes"]) == (2, 8, 2 * 64 * count)
    first = ProxySet.load(next(tmp_path.glob(f"{growing.tasks[0].name}*")))
    assert torch.equal(kept.kept[0].images, first.data.images[::2])


def test_files_of_several_formations_are_refused(growing: Stream, tmp_path: Path) -> None:
    """They would give the classes different numbers of training images."""
    kept = memory(growing, files(growing, tmp_path, "float32", (2, 2, 1)), tmp_path, ipc=1)
    with pytest.raises(InputError, match=r"has formation 1, that of .* 2: give sets of one formation"):
        kept.check()
