"""DER and DER++: the loss against plain words, what is kept, and resuming."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from continual.api import learn_stream
from continual.losses import replay_answers, replayed
from continual.settings import Budget, Learning
from continual.stream import Stream
from proxyset.errors import InputError
from proxyset.methods.coreset import Random
from tests.continual.conftest import make_scheme, stopped_and_resumed, untimed


def plainly(logits: Tensor, labels: Tensor, new: int, kept: list[list[float]], alpha: float, beta: float) -> float:
    """The paper's loss, image by image, with answers as long as the classes that were known."""
    loss = sum(float(-F.log_softmax(logits[n], 0)[labels[n]]) for n in range(new)) / new
    for place, answers in enumerate(kept):
        row = logits[new + place]
        distance = sum((float(row[c]) - value) ** 2 for c, value in enumerate(answers)) / len(answers)
        entropy = float(-F.log_softmax(row, 0)[labels[new + place]])
        loss += (alpha * distance + beta * entropy) / len(kept)
    return loss


@pytest.mark.parametrize("beta", [0.0, 0.5])
def test_the_loss_is_the_papers(generator: torch.Generator, beta: float) -> None:
    logits, labels = torch.randn(4, 4, generator=generator), torch.tensor([3, 2, 0, 1])
    kept = [[0.3, -1.0], [2.0, 0.5, 0.1, 0.4]]
    padded = torch.tensor([row + [float("nan")] * (4 - len(row)) for row in kept])
    answers = replay_answers(labels, 2, padded)
    found = replayed(logits, answers, 0.3, beta)
    assert float(found) == pytest.approx(plainly(logits, labels, 2, kept, 0.3, beta), rel=1e-5)
    parts = [replayed(logits[part], answers[part], 0.3, beta) / 2 for part in (slice(0, 2), slice(2, 4))]
    assert float(sum(parts)) == pytest.approx(float(found), rel=1e-5)  # micro-batches add up


def test_gradients_flow_only_where_answers_are_known(generator: torch.Generator) -> None:
    logits = torch.randn(2, 3, generator=generator, requires_grad=True)
    answers = replay_answers(torch.tensor([0, 0]), 1, torch.tensor([[1.0, float("nan"), float("nan")]]))
    replayed(logits, answers, 1.0, 0.0).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad[1, 1:].abs().sum() == 0


@pytest.mark.parametrize("method", [Random(), Random(formation=2)])
def test_answers_are_those_of_the_network_that_learned_the_task(
    growing: Stream, quick: Learning, tmp_path: Path, method: Random
) -> None:
    scheme = make_scheme(growing, quick.model_copy(update={"scheme": "der"}), tmp_path, method)
    for stage in range(2):
        scheme.learn(stage)
        images = scheme.memory.rehearsal(growing.seen(stage), since=stage).images
        with torch.no_grad():
            torch.testing.assert_close(scheme.memory.answers[stage], scheme.net.eval()(images))
    answers = scheme.memory.rehearsed_answers(4)
    assert answers.shape == (8 * method.tiles(), 4)
    assert answers[: 4 * method.tiles(), 2:].isnan().all()
    each = growing.tasks[0].data.spec.size ** 2
    logits = 4 * method.tiles() * 4
    assert scheme.memory.report()["bytes"] == 8 * each + logits * 2 + logits * 4  # two classes known, then four


def test_targets_and_losses_that_it_would_not_learn_are_refused(
    growing: Stream, quick: Learning, tmp_path: Path
) -> None:
    der = quick.model_copy(update={"scheme": "der++"})
    with pytest.raises(InputError, match="soft targets are not learned: give the memory targets=hard"):
        learn_stream(growing, Random(targets="teacher"), Budget(ipc=2, store=tmp_path), der)
    squared = der.model_copy(update={"loss": "squared-error"})
    with pytest.raises(InputError, match="leave out `loss`"):
        learn_stream(growing, "random", Budget(ipc=2, store=tmp_path), squared)


@pytest.mark.parametrize("change", [{"der_weight": 3.0}, {"der_labels": 3.0}])
def test_weights_reach_the_loss(growing: Stream, quick: Learning, tmp_path: Path, change: dict[str, float]) -> None:
    found = []
    for more in ({}, change):
        scheme = make_scheme(growing, quick.model_copy(update={"scheme": "der++", **more}), tmp_path)
        scheme.learn(0)
        scheme.learn(1)
        found.append(torch.cat([parameter.flatten() for parameter in scheme.net.parameters()]))
    assert found[0].isfinite().all()
    assert not torch.equal(*found)


@pytest.mark.parametrize("memory", ["random", "reservoir"])
def test_a_run_goes_on_with_its_answers(growing: Stream, quick: Learning, tmp_path: Path, memory: str) -> None:
    learning = quick.model_copy(update={"scheme": "der++"})
    budget = Budget(budget=12, keep_as="float16", store=tmp_path)
    whole = learn_stream(growing, memory, budget, learning)
    resumed = stopped_and_resumed(growing, memory, budget, learning, tmp_path / "run")
    assert untimed(resumed) == untimed(whole)


@pytest.mark.parametrize(
    ("memory", "change", "message"),
    [
        ("none", {}, "no answers to keep"),
        ("random", {"kd": True}, "leave out `kd`"),
        ("random", {"current_data": "memory"}, "`current_data=full`"),
    ],
)
def test_what_does_not_fit_is_refused(
    growing: Stream, quick: Learning, tmp_path: Path, memory: str, change: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        make_scheme(growing, quick.model_copy(update={"scheme": "der", **change}), tmp_path, memory)


def test_answers_cannot_outlive_their_images(growing: Stream, quick: Learning, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`shrink=head`"):
        learn_stream(growing, "random", Budget(shrink="recondense"), quick.model_copy(update={"scheme": "der"}))
