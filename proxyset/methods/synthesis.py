"""The loop that every learned method shares: steps, progress, checks, checkpoints, exact resume.

A learned method gives its state (`Synthesis`), how one step changes it, and how many steps there are.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

from proxyset.errors import RunError
from proxyset.methods.base import Context, Method, Problem

if TYPE_CHECKING:
    from proxyset.checkpoint import State
    from proxyset.data.images import ImageSet


class Synthesis(Protocol):
    """The state of one condensation."""

    def step(self, number: int) -> float:
        """Do step `number` (from 0) and return its loss.

        A loss that is not finite says that the step failed; the run ends then, and the state before this step is kept.
        """

    def result(self) -> ImageSet:
        """The synthetic set as it is now, on the CPU, in the order that `Method.condense` promises."""

    def state(self) -> State:
        """Everything that the next step depends on, as named tensors."""

    def set_state(self, saved: State) -> None:
        """Go on from what `state` gave."""


class LearnedMethod(Method):
    """Base of the methods that learn their images step by step."""

    def start(self, problem: Problem, context: Context) -> Synthesis:
        """The state before the first step."""
        raise NotImplementedError

    def advice(self) -> str:
        """What to change where the loss is no longer a number."""
        return "lower the learning rates"

    def condense(self, problem: Problem, context: Context) -> ImageSet:
        self.check(problem)
        synthesis, checkpoint = self.start(problem, context), context.checkpoint
        saved = checkpoint.restore() if checkpoint is not None else None
        if saved is not None:
            synthesis.set_state(saved)
        each, total = self.steps_per_iteration(problem), self.total_steps(problem)
        for number in range(checkpoint.step if checkpoint is not None else 0, total):
            loss = synthesis.step(number)
            if not math.isfinite(loss):
                self._stop(context, loss, number, each)
            if checkpoint is not None:
                checkpoint.offer(synthesis.state())
            context.progress((number + 1) / each, total // each, loss)
        return synthesis.result()

    def _stop(self, context: Context, loss: float, number: int, each: int) -> None:
        kept = ""
        if context.checkpoint is not None:
            context.checkpoint.write()
            kept = "; the last good state is kept" if context.checkpoint.step else ""
        place = f"iteration {number // each}" + (f", inner step {number % each}" if each > 1 else "")
        raise RunError(f"the loss became {loss} at {place}: {self.advice()}{kept}")
