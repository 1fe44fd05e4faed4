"""What every method is: a frozen config whose fields are its hyper-parameters, with one call, `condense`."""

from typing import Any, ClassVar

import torch

from proxyset.checkpoint import Checkpoint
from proxyset.data import DatasetSpec, ImageSet
from proxyset.engine import Engine, Estimate, Work
from proxyset.nets import full_name
from proxyset.progress import Progress, silent
from proxyset.settings import InputError, Settings


class Method(Settings):
    """A way to make a proxy set. Subclasses state their hyper-parameters as fields, with description and source.

    To add one: write a subclass in a file of this folder, add a line to `METHODS` in `__init__.py`, and run
    `tests/proxyset/test_methods.py`, which holds every method to the same promises.
    """

    name: ClassVar[str]
    picks_real: ClassVar[bool] = False
    """Whether the images are picked from the real ones (so that ipc cannot exceed a class)."""

    def check(self, real: ImageSet, spec: DatasetSpec, ipc: int) -> None:
        """Raise `InputError` for what cannot work, before any time is spent. Subclasses add to it."""
        if ipc < 1:
            raise InputError(f"ipc must be at least 1, got {ipc}")
        counts = real.labels.bincount(minlength=spec.classes)
        smallest = int(counts.argmin())
        if self.needs_real_images() and ipc > counts[smallest]:
            raise InputError(
                f"ipc {ipc} is larger than the smallest class of {spec.name}, "
                f"{spec.class_names[smallest]!r} with {counts[smallest]} images"
            )

    def needs_real_images(self) -> bool:
        """Whether `ipc` distinct real images per class are needed."""
        return self.picks_real

    def work(self, real: ImageSet, spec: DatasetSpec, ipc: int) -> Work | None:
        """What there is to compute, for a method whose steps can be compiled: whether they should be depends on it."""
        return None

    def estimate(self, real: ImageSet, spec: DatasetSpec, ipc: int, engine: Engine) -> Estimate:
        """Time and memory that `condense` will take, from a few timed steps on throwaway state."""
        return Estimate()

    def resolved(self, spec: DatasetSpec, ipc: int) -> dict[str, Any]:
        """Every hyper-parameter with the value that `condense` uses, for the provenance."""
        values = self.model_dump()
        return values | ({"net": full_name(values["net"], spec.size)} if "net" in values else {})

    def steps(self, ipc: int) -> int:
        """How many steps a checkpoint counts in one unit of the user's `--checkpoint-every`."""
        return 1

    def condense(
        self,
        real: ImageSet,
        spec: DatasetSpec,
        ipc: int,
        *,
        generator: torch.Generator,
        engine: Engine,
        progress: Progress = silent,
        checkpoint: Checkpoint | None = None,
    ) -> ImageSet:
        """Make `ipc` images per class that stand in for `real`.

        Args:
            real: the whole training set; never changed.
            generator: every random choice comes from it.
            engine: where and how the steps run.
            checkpoint: where to go on from, and to offer the state to after every step.

        Returns:
            float32 images in normalised space on the CPU, ipc·classes of them, ordered by class, and within a class
            by rank where the method ranks.

        Raises:
            InputError: see `check`.
            RunError: the work failed; the checkpoint holds the last good state.
        """
        raise NotImplementedError
