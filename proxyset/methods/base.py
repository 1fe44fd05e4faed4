"""What every method is: a frozen config whose fields are its hyper-parameters, with one call, `condense`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from proxyset.errors import InputError
from proxyset.progress import Progress, silent
from proxyset.settings import Settings
from proxyset.train.recipe import MOST_EPOCHS

if TYPE_CHECKING:  # so that the settings of a method can be read without torch, for --help
    from collections.abc import Callable
    from pathlib import Path

    import torch
    from torch import Tensor

    from proxyset.checkpoint import Checkpoint, State
    from proxyset.compute.features import Features, View
    from proxyset.compute.gradients import Gradients
    from proxyset.compute.plan import Engine, Estimate, Work
    from proxyset.compute.session import Session
    from proxyset.data.images import ImageSet
    from proxyset.data.spec import DatasetSpec
    from proxyset.methods.snapshots import Course

    Watch = Callable[[int, Callable[[], ImageSet]], None]

DEFAULT_NET = "convnet"


@dataclass(frozen=True)
class Problem:
    """What is to be condensed.

    Attributes:
        real: the whole training set; never changed.
        spec: its description.
        ipc: stored images per class that are wanted.
        start: a set of that many from which learning starts, where the user gave one.
    """

    real: ImageSet
    spec: DatasetSpec
    ipc: int
    start: ImageSet | None = None

    @cached_property
    def classes(self) -> list[Tensor]:
        """For each class the positions of its images in `real`."""
        return self.real.indices_by_class(self.spec.classes)

    @cached_property
    def counts(self) -> list[int]:
        """For each class how many images it has."""
        return [len(index) for index in self.classes]

    @cached_property
    def sha256(self) -> str:
        """Content hash of the real images and their labels, without soft targets."""
        return replace(self.real, targets=None).sha256()

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
        watch: is told after each step how many there were, and what gives the set as it is now.
        keep: folder for what other work can use again, such as teachers (None: this process alone remembers it).
        facts: what is found out on the way, for the provenance.
        learner: weights of a network of the method's kind that has just learned these images, if there is one; it
            stands in for networks that the method would train on them.
        generated_by: is given the weights of a network that draws more images, where the method learns one.
    """

    generator: torch.Generator
    session: Session
    engine: Engine
    progress: Progress = silent
    checkpoint: Checkpoint | None = None
    keep: Path | None = None
    watch: Watch | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    generated_by: State = field(default_factory=dict)
    learner: State | None = None
    _used: list[Gradients | Features] = field(default_factory=list)

    def gradients(self, net: str, spec: DatasetSpec, condensing: bool = False) -> Gradients:
        """The gradients of the network called `net`, as the engine computes them."""
        gradients = self.session.gradients(self.engine, net, spec.shape, condensing)
        self._used.append(gradients)
        return gradients

    def features(self, net: str, spec: DatasetSpec, view: View | None = None, condensing: bool = True) -> Features:
        """The features of the network called `net`, as the engine computes them (None: those its classifier sees)."""
        more = {} if view is None else {"view": view}
        features = self.session.features(self.engine, net, spec.shape, condensing=condensing, **more)
        self._used.append(features)
        return features

    def compile_failed(self) -> bool:
        """Whether something of this work was to be compiled and could not be."""
        return any(used.failed for used in self._used)


class Formed(Settings):
    """What a method has that works through a formation (`proxyset.data.formation`)."""

    formation: int = Field(
        1, ge=1, le=64, description="f: store f×f tiles in each image, each of which is trained on at full size (IDC)"
    )


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

    targets: Literal["hard", "teacher"] = Field(
        "hard", description="what students learn: the labels, or the answers of a network trained on the whole set"
    )
    teacher_net: str | None = Field(
        None, description="that network, or package.module:function, whose code is run (default: the method's `net`)"
    )
    teacher_epochs: int = Field(
        20, ge=1, le=MOST_EPOCHS, description="its longest training; it stops where students do best on held-out images"
    )

    def check(self, problem: Problem) -> None:
        """Raise `InputError` for what cannot work, before any time is spent. Subclasses add to it."""
        from proxyset.data.formation import check_formation

        if problem.ipc < 1:
            raise InputError(f"`ipc` must be at least 1, got {problem.ipc}")
        check_formation(self.tiles_across(), problem.spec.size)
        smallest, tiles = problem.counts.index(min(problem.counts)), self.tiles()
        if self.needs_real_images() and problem.ipc * tiles > problem.counts[smallest]:
            needs = f" with {tiles} real images in each" if tiles > 1 else ""
            raise InputError(
                f"`ipc={problem.ipc}`{needs} is more than the smallest class of {problem.spec.name} has: "
                f"{problem.spec.class_names[smallest]!r} has {problem.counts[smallest]} images"
            )
        wanted = problem.ipc * problem.spec.classes
        if wanted > len(problem.real):
            raise InputError(
                f"`ipc={problem.ipc}` makes {wanted} images, more than the {len(problem.real)} of {problem.spec.name}"
            )
        if self.needs_teacher():
            from proxyset.methods.teacher import check_teacher

            check_teacher(self, problem)

    def needs_real_images(self) -> bool:
        """Whether `ipc` distinct real images per class are needed, f² times as many for a formation of f."""
        return self.picks_real

    def tiles_across(self) -> int:
        """f, for a method that has a formation of f×f tiles; otherwise 1."""
        return int(getattr(self, "formation", 1))

    def tiles(self) -> int:
        """Training images in one stored image: f²."""
        return self.tiles_across() ** 2

    def most(self, count: int) -> int:
        """Stored images of a class worth having where there are `count` real ones, of which each may need f²."""
        return count // self.tiles() if self.needs_real_images() else count

    def needs_teacher(self) -> bool:
        """Whether a network trained on the whole set is needed."""
        return self.targets == "teacher"

    def teacher_name(self) -> str:
        """The name of that network."""
        return self.teacher_net or str(getattr(self, "net", DEFAULT_NET))

    def work(self, problem: Problem, session: Session) -> Work | None:
        """What there is to compute, for a method whose steps can be compiled: whether they should be depends on it."""
        return None

    def estimate(self, problem: Problem, session: Session, engine: Engine) -> Estimate:
        """Time and memory that all of `condense` will take, from a few timed steps on throwaway state; what is made
        once and kept (`courses`, a teacher) apart.
        """
        from proxyset.compute.plan import Estimate

        return Estimate()

    def courses(self, problem: Problem) -> list[Course]:
        """Networks that it trains on the whole set before its first step; they are kept."""
        return []

    def resolved(self, problem: Problem) -> dict[str, Any]:
        """Every hyper-parameter with the value that `condense` uses, for the provenance.

        What is off is left out, so that sets are still the same that were made before there was such a setting.
        """
        from proxyset.nets.build import full_name

        values = self.model_dump()
        off = {"formation": 1, "targets": "hard"}
        values = {name: value for name, value in values.items() if name not in off or value != off[name]}
        if not self.needs_teacher():
            del values["teacher_net"], values["teacher_epochs"]
        else:
            values["teacher_net"] = self.teacher_name()
        for name in ("net", "teacher_net"):
            if name in values:
                values[name] = full_name(values[name], problem.spec.size)
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
