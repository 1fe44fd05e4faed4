"""The loop that every learned method shares, on a method that adds numbers."""

from pathlib import Path
from typing import ClassVar

import pytest
import torch
from pydantic import Field
from torch import Tensor

from proxyset.checkpoint import Checkpoint
from proxyset.data.images import ImageSet
from proxyset.data.spec import Dataset
from proxyset.errors import InputError, RunError
from proxyset.methods.base import Context, Problem
from proxyset.methods.synthesis import LearnedMethod
from tests.proxyset.methods.made import condense, unfinished


class Adding:
    """Images that get a random number more in every step."""

    def __init__(self, method: "Adds", problem: Problem, context: Context) -> None:
        self.fails_at, self.generator = method.fails_at, context.generator
        self.labels = problem.labels
        shape = (len(self.labels), problem.spec.channels, problem.spec.size, problem.spec.size)
        self.images = torch.zeros(shape)

    def step(self, number: int) -> float:
        if number == self.fails_at:
            return float("nan")
        self.images = self.images + torch.rand((), generator=self.generator)
        return 1 / (number + 1)

    def result(self) -> ImageSet:
        return ImageSet(self.images, self.labels)

    def state(self) -> dict[str, Tensor]:
        return {"images": self.images, "generator": self.generator.get_state()}

    def set_state(self, saved: dict[str, Tensor]) -> None:
        self.images = saved["images"]
        self.generator.set_state(saved["generator"])


class Adds(LearnedMethod):
    name: ClassVar[str] = "adds"

    iterations: int = Field(4, description="outer iterations")
    each: int = Field(3, description="steps of one")
    fails_at: int = Field(-1, description="step whose loss is no number")

    def total_steps(self, problem: Problem) -> int:
        return self.iterations * self.each

    def steps_per_iteration(self, problem: Problem) -> int:
        return self.each

    def start(self, problem: Problem, context: Context) -> Adding:
        return Adding(self, problem, context)


def test_progress_counts_iterations_and_tells_the_loss(tiny: Dataset) -> None:
    seen: list[tuple[float, int, float | None]] = []
    condense(Adds(), tiny, progress=lambda done, total, loss=None: seen.append((done, total, loss)))
    assert seen == [(pytest.approx(step / 3), 4, 1 / step) for step in range(1, 13)]


@pytest.mark.parametrize("stop", range(1, 13))
@pytest.mark.parametrize("every", [1, 5])
def test_it_goes_on_from_the_last_state_written(stop: int, every: int, tiny: Dataset, tmp_path: Path) -> None:
    """After a kill, so that what came after the last write is done again."""
    whole = condense(Adds(), tiny)

    def kill(done: float, total: int, loss: float | None = None) -> None:
        if round(done * 3) == stop:
            raise KeyboardInterrupt

    path = tmp_path / "state"
    with pytest.raises(KeyboardInterrupt):
        condense(Adds(), tiny, progress=kill, checkpoint=Checkpoint(path, every, {}))
    seen: list[float] = []
    resumed = condense(
        Adds(),
        tiny,
        seed=99,  # the state holds the generator
        progress=lambda done, total, loss=None: seen.append(done),
        checkpoint=Checkpoint(path, every, {}),
    )
    written = stop - stop % every
    assert len(seen) == 12 - written
    assert written == 0 or torch.equal(resumed.images, whole.images)


def test_a_loss_that_is_no_number_stops_and_keeps_the_state_before(tiny: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "state"
    with pytest.raises(RunError, match=r"the loss became nan at iteration 2, inner step 1: lower .* state is kept"):
        condense(Adds(fails_at=7), tiny, checkpoint=unfinished(path))
    checkpoint = unfinished(path)
    saved = checkpoint.restore()
    assert saved is not None
    assert checkpoint.step == 7
    assert torch.equal(condense(Adds(), tiny, checkpoint=checkpoint).images, condense(Adds(), tiny).images)


def test_a_first_step_that_fails_leaves_nothing(tiny: Dataset, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"at iteration 0: lower the learning rates$"):
        condense(Adds(fails_at=0, each=1), tiny, checkpoint=unfinished(tmp_path / "state"))
    assert not (tmp_path / "state").exists()
    with pytest.raises(RunError, match="iteration 5"):
        condense(Adds(fails_at=5, each=1, iterations=9), tiny)  # and without a checkpoint


def test_what_cannot_work_is_refused_before_the_first_step(tiny: Dataset) -> None:
    with pytest.raises(InputError, match="`ipc`"):
        condense(Adds(), tiny, ipc=0)
