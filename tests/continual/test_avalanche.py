"""Condensed memories in Avalanche, where that is installed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from continual.loading import join_domains, split_classes
from continual.memory import rehearsed
from continual.stream import Stream
from proxyset.artefact.build import build
from proxyset.data.spec import Dataset
from proxyset.data.vision import torchvision
from proxyset.errors import InputError
from proxyset.methods.base import Method
from proxyset.methods.coreset import Random
from proxyset.nets.build import build_net
from tests.continual.conftest import Soft, renamed

torchvision()
pytest.importorskip("avalanche.training", exc_type=ImportError)

from avalanche.training.plugins import ReplayPlugin, SupervisedPlugin  # noqa: E402
from avalanche.training.supervised import Naive  # noqa: E402

from continual.avalanche import MemoryMask, ProxyBuffer, benchmark_of, read_experience  # noqa: E402


@pytest.fixture(autouse=True)
def global_generators_stay_put() -> None:
    """Avalanche shuffles by the global generator."""


@pytest.fixture
def stream(make_dataset: Callable[..., Dataset]) -> Stream:
    return split_classes(make_dataset(classes=6, counts=10, flip=False), 3)


def learner(buffer: ProxyBuffer, *before: Any) -> Any:
    net = build_net("convnet-w4-d1", channels=1, size=8, classes=6, generator=torch.Generator())
    replay = ReplayPlugin(mem_size=buffer.max_size, batch_size_mem=3, storage_policy=buffer)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    return Naive(
        model=net, optimizer=optimizer, train_mb_size=4, eval_mb_size=50, plugins=[*before, replay], evaluator=None
    )


def labels(buffer: ProxyBuffer) -> list[int]:
    return sorted(int(row[1]) for row in buffer.buffer)


@pytest.mark.parametrize(("method", "each"), [("random", 1), (Random(formation=2), 4), (Soft(), 1)])
def test_it_is_filled_and_shrinks_while_a_strategy_learns(stream: Stream, method: str | Method, each: int) -> None:
    buffer = ProxyBuffer(4 if each > 1 else 12, method)  # a class has ten images, of which four go into one
    strategy = learner(buffer)
    experiences = list(benchmark_of(stream).train_stream)
    for stage, experience in enumerate(experiences[1:] if each > 1 else experiences):
        strategy.train(experience)
        slots = 2 * (stage + 1)
        seen = sorted(set(labels(buffer)))
        assert len(seen) == slots
        assert labels(buffer) == sorted(seen * (buffer.max_size // slots) * each)


def test_a_buffer_that_is_larger_than_an_experience_holds_all_of_it(stream: Stream) -> None:
    """And no experience is learned in vain, to be refused afterwards."""
    buffer = ProxyBuffer(400, "herding")
    buffer.post_adapt(None, next(iter(benchmark_of(stream).train_stream)))
    assert len(buffer.buffer) == 20


def test_its_images_are_those_that_build_makes(stream: Stream) -> None:
    buffer = ProxyBuffer(4, "random", seed=3)
    experience = next(iter(benchmark_of(stream).train_stream))
    buffer.post_adapt(None, experience)
    images, _ = read_experience(experience)
    task = stream.tasks[0]
    assert torch.equal(images, rehearsed(task, task.data.train, 2).images)
    expected = build(task.data, "random", 2, seed=3, progress=False).data.images
    found = torch.stack([row[0] for row in buffer.buffer])
    torch.testing.assert_close(found, expected)


def test_files_fill_it(make_dataset: Callable[..., Dataset], tmp_path: Path) -> None:
    stream = join_domains([renamed(make_dataset(classes=6, seed=seed), f"set{seed}") for seed in range(2)])
    files = [tmp_path / f"{task.name}.safetensors" for task in stream.tasks]
    for task, file in zip(stream.tasks, files, strict=True):
        build(task.data, "random", 2, progress=False).save(file)
    buffer = ProxyBuffer(24, files)
    for experience in benchmark_of(stream).train_stream:
        buffer.post_adapt(None, experience)
    assert labels(buffer) == sorted(list(range(6)) * 4)
    with pytest.raises(InputError, match="more experiences than that"):
        buffer.post_adapt(None, experience)


def test_the_mask_says_what_is_remembered(stream: Stream) -> None:
    seen: list[tuple[int, int]] = []

    class Count(SupervisedPlugin):
        def after_forward(self, strategy: Any, **kwargs: Any) -> None:
            mask = MemoryMask.of(strategy)
            assert mask.dtype == torch.bool
            old = torch.isin(strategy.mb_y, torch.arange(2 * strategy.experience.current_experience))
            assert torch.equal(mask, old)  # classes of earlier experiences are in memory alone
            assert strategy.mb_task_id.unique().tolist() == [0]
            seen.append((int(mask.sum()), len(mask)))

    strategy = learner(ProxyBuffer(12, "random", mask=True), MemoryMask(), Count())
    for experience in benchmark_of(stream).train_stream:
        strategy.train(experience)
    assert seen[:5] == [(0, 4)] * 5
    assert seen[5:] == [(3, 7)] * 10


def test_resizing_gives_up_the_tail(stream: Stream) -> None:
    buffer = ProxyBuffer(8, "random")
    experiences = list(benchmark_of(stream).train_stream)
    buffer.post_adapt(None, experiences[0])
    before = [row[0] for row in buffer.buffer]
    buffer.resize(None, 4)
    after = [row[0] for row in buffer.buffer]
    assert [any(torch.equal(one, other) for other in before) for one in after] == [True] * 4
    assert torch.equal(after[0], before[0])
    with pytest.raises(InputError, match="`max_size=1` is smaller than the 2 classes"):
        buffer.resize(None, 1)


def test_a_slip_in_a_name_is_said_at_once() -> None:
    with pytest.raises(InputError, match="did you mean 'herding'"):
        ProxyBuffer(10, "hreding")
