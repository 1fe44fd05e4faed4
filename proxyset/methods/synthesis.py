"""The loop that every learned method shares: steps, progress, checks, checkpoints, exact resume.

A learned method gives its state (`Synthesis`), how one step changes it, and how many steps there are.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from pydantic import Field, field_validator

from proxyset.errors import InputError, RunError
from proxyset.methods.base import Context, Formed, Method, Problem

if TYPE_CHECKING:
    from proxyset.checkpoint import State
    from proxyset.compute.plan import Engine, Estimate
    from proxyset.compute.session import Session
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


QUICK = 2 * 3600  # seconds: what was measured within; beyond it the papers' networks are not second-guessed
FIRST = ("real", "noise")
SUFFIX = ".safetensors"
INIT = f"first images: real, noise, or those of a proxy set with as many: its {SUFFIX} file"


class LearnedMethod(Formed, Method):
    """Base of the methods that learn their images step by step, from `init` on, through a formation."""

    quick_net: ClassVar[str | None] = None
    """The network for short builds, where it is not the default."""

    init: str = Field("real", description=INIT)

    @field_validator("init")
    @classmethod
    def _real_noise_or_a_file(cls, value: str) -> str:
        if value not in FIRST and not value.endswith(SUFFIX):
            raise ValueError(f"must be {', '.join(FIRST)} or the {SUFFIX} file of a proxy set")
        return value

    def needs_real_images(self) -> bool:
        return self.init == "real"

    def resolved(self, problem: Problem) -> dict[str, Any]:
        """A set that learning starts from is named by its content, not by where it lies."""
        start = {} if problem.start is None else {"init": f"sha256:{problem.start.sha256()}"}
        return super().resolved(problem) | start

    def check(self, problem: Problem) -> None:
        super().check(problem)
        if problem.start is not None:
            _check_start(problem.start, problem, self.formation)

    def start(self, problem: Problem, context: Context) -> Synthesis:
        """The state before the first step."""
        raise NotImplementedError

    def estimate(self, problem: Problem, session: Session, engine: Engine) -> Estimate:
        """From one timed step; to be refined where steps differ, or other work comes before them."""
        import torch

        from proxyset.compute.clock import timed

        trial = self.start(problem, Context(torch.Generator(), session, engine.eager()))
        return engine.estimate(self.total_steps(problem) * timed(lambda: trial.step(0), engine.device))

    def period(self, problem: Problem) -> int:
        """After how many steps the work repeats, where the first step of each round takes longer than the others."""
        return self.steps_per_iteration(problem)

    def for_time(self, seconds: float, size: int) -> Self:
        """The method for a build that may take so long on images of so many pixels a side, its iterations apart.

        Where the user left the network open, a narrow one where it was measured to reach more in such a time.
        """
        if self.quick_net is None or seconds > QUICK or "net" in self.model_fields_set:
            return self
        from proxyset.nets.depth import suited

        return self.model_copy(update={"net": suited(self.quick_net, size)})

    def advice(self) -> str:
        """What to change where the loss is no longer a number."""
        return "lower the learning rates"

    def condense(self, problem: Problem, context: Context) -> ImageSet:
        self.check(problem)
        checkpoint = context.checkpoint
        saved = checkpoint.restore() if checkpoint is not None else None  # what refuses comes before what trains
        synthesis = self.start(problem, context)
        if saved:  # a state without tensors is that of before the first step
            synthesis.set_state(saved)
        each, total = self.steps_per_iteration(problem), self.total_steps(problem)
        first = checkpoint.step if checkpoint is not None else 0
        if context.watch is not None and first == 0:
            context.watch(0, synthesis.result)
        for number in range(first, total):
            loss = synthesis.step(number)
            if not math.isfinite(loss):
                self._stop(context, loss, number, each)
            if context.watch is not None:
                context.watch(number + 1, synthesis.result)
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


class Augmented(LearnedMethod):
    """Base of the learned methods that augment real and synthetic images."""

    augment: str = Field(
        "none",
        description="Siamese augmentation, such as color_crop or none, or package.module:NAME, whose code is run",
    )

    def check(self, problem: Problem) -> None:
        from proxyset.data import augment

        super().check(problem)
        augment.operations(self.augment, problem.spec.flip)

    def resolved(self, problem: Problem) -> dict[str, Any]:
        """With what is left of the augmentation on these images."""
        from proxyset.data import augment

        used = augment.strategy(augment.operations(self.augment, problem.spec.flip))
        return super().resolved(problem) | {"augment": used}


def check_classes(method: Method, problem: Problem) -> None:
    """Raise `InputError` where there is one class alone: every loss of a classifier is 0 then."""
    if problem.spec.classes < 2:
        raise InputError(f"{problem.spec.name} has one class: `{method.name}` learns what tells classes apart")


def cosine(number: int, total: int) -> float:
    """The share of a learning rate at step `number` (from 0): 1 at the first, towards 0 at step `total`."""
    return 0.5 * (1 + math.cos(math.pi * number / total))


def _check_start(start: ImageSet, problem: Problem, formation: int) -> None:
    """Raise `InputError` where a set cannot be what learning starts from."""
    spec = problem.spec
    if start.images.shape[1:] != (spec.channels, spec.size, spec.size) or not start.labels.equal(problem.labels):
        raise InputError(
            f"`init`: that set has {len(start)} images {'×'.join(map(str, start.images.shape[1:]))}, but "
            f"{problem.ipc} of each of {spec.classes} classes are wanted, {spec.channels}×{spec.size}×{spec.size}"
        )
    if start.formation != formation:
        raise InputError(f"`init`: that set has `formation={start.formation}`, but {formation} is wanted")
