"""What every method is: a frozen config whose fields are its hyper-parameters, with one call, `condense`."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from proxyset.errors import InputError
from proxyset.progress import Progress, silent
from proxyset.settings import Settings

if TYPE_CHECKING:  # so that the settings of a method can be read without torch, for --help
    import torch
    from torch import Tensor

    from proxyset.checkpoint import Checkpoint
    from proxyset.compute.gradients import Gradients
    from proxyset.compute.plan import Engine, Estimate, Work
    from proxyset.compute.session import Session
    from proxyset.data.images import ImageSet
    from proxyset.data.spec import DatasetSpec


@dataclass(frozen=True)
class Problem:
    """What is to be condensed.

    Attributes:
        real: the whole training set; never changed.
        spec: its description.
        ipc: images per class that are wanted.
    """

    real: ImageSet
    spec: DatasetSpec
    ipc: int

    @cached_property
    def classes(self) -> list[Tensor]:
        """For each class the positions of its images in `real`."""
        return self.real.indices_by_class(self.spec.classes)

    @cached_property
    def counts(self) -> list[int]:
        """For each class how many images it has."""
        return [len(index) for index in self.classes]

    @cached_property
    def labels(self) -> Tensor:
        """The labels of the set that is wanted: `ipc` of each class, in order. classes·ipc int64."""
        import torch

        return torch.arange(self.spec.classes).repeat_interleave(self.ipc)


@dataclass
class Context:
    """What a method works with.

    Attributes:
        generator: every random choice comes from it.
        session: the process's: compiled and measured networks.
        engine: where and how the steps run.
        progress: to be called after every step.
        checkpoint: where to go on from, and to offer the state to after every step.
    """

    generator: torch.Generator
    session: Session
    engine: Engine
    progress: Progress = silent
    checkpoint: Checkpoint | None = None
    _used: list[Gradients] = field(default_factory=list)

    def gradients(self, net: str, spec: DatasetSpec, condensing: bool = False) -> Gradients:
        """The gradients of the network called `net`, as the engine computes them."""
        gradients = self.session.gradients(self.engine, net, spec.shape, condensing)
        self._used.append(gradients)
        return gradients

    def compile_failed(self) -> bool:
        """Whether something of this work was to be compiled and could not be."""
        return any(gradients.failed for gradients in self._used)


class Method(Settings):
    """A way to make a proxy set. Subclasses state their hyper-parameters as fields, with description and source.

    To add one: write a subclass with a `name` and `condense` and hold it against `proxyset.testing`. It is used by
    name as `package.module:Class`; the entry-point group `proxyset.methods` gives it a short name.
    """

    name: ClassVar[str]
    picks_real: ClassVar[bool] = False
    """Whether the images are picked from the real ones (so that ipc cannot exceed a class)."""
    uses_targets: ClassVar[bool] = False
    """Whether soft targets of the real set are used; others go by the labels."""

    def check(self, problem: Problem) -> None:
        """Raise `InputError` for what cannot work, before any time is spent. Subclasses add to it."""
        if problem.ipc < 1:
            raise InputError(f"`ipc` must be at least 1, got {problem.ipc}")
        smallest = problem.counts.index(min(problem.counts))
        if self.needs_real_images() and problem.ipc > problem.counts[smallest]:
            raise InputError(
                f"`ipc={problem.ipc}` is more than the smallest class of {problem.spec.name} has: "
                f"{problem.spec.class_names[smallest]!r} has {problem.counts[smallest]} images"
            )
        wanted = problem.ipc * problem.spec.classes
        if wanted > len(problem.real):
            raise InputError(
                f"`ipc={problem.ipc}` makes {wanted} images, more than the {len(problem.real)} of {problem.spec.name}"
            )

    def needs_real_images(self) -> bool:
        """Whether `ipc` distinct real images per class are needed."""
        return self.picks_real

    def work(self, problem: Problem, session: Session) -> Work | None:
        """What there is to compute, for a method whose steps can be compiled: whether they should be depends on it."""
        return None

    def estimate(self, problem: Problem, session: Session, engine: Engine) -> Estimate:
        """Time and memory that all of `condense` will take, from a few timed steps on throwaway state."""
        from proxyset.compute.plan import Estimate

        return Estimate()

    def resolved(self, problem: Problem) -> dict[str, Any]:
        """Every hyper-parameter with the value that `condense` uses, for the provenance."""
        values = self.model_dump()
        if "net" in values:
            from proxyset.nets.build import full_name

            values["net"] = full_name(values["net"], problem.spec.size)
        return values

    def total_steps(self, problem: Problem) -> int:
        """How many steps `condense` offers to a checkpoint in all; 0 for a method that has none."""
        return 0

    def steps_per_iteration(self, problem: Problem) -> int:
        """How many of these steps the user counts as one iteration."""
        return 1

    def condense(self, problem: Problem, context: Context) -> ImageSet:
        """Make `problem.ipc` images per class that stand in for `problem.real`.

        Returns:
            float32 images in normalised space on the CPU, with labels and optionally soft targets: ipc·classes of them,
            ordered by class, and within a class by rank where the method ranks.

        Raises:
            InputError: see `check`.
            RunError: the work failed; the checkpoint holds the last good state.
        """
        raise NotImplementedError
