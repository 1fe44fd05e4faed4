"""How accuracy grows while a set is learned: students on held-out training images, every so often."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import Field

from proxyset.artefact.trace_images import keep_images, trace_images_path
from proxyset.checkpoint import Checkpoint
from proxyset.compute.session import Session
from proxyset.data.images import ImageSet, hold_out
from proxyset.data.spec import DatasetSpec
from proxyset.parsing import Schema, check
from proxyset.seeds import make_generator
from proxyset.train.evaluate import evaluate
from proxyset.train.protocols import Evaluation

MOST_HELD_OUT = 2000  # images
EPOCHS = 300  # of a student, by as many updates as a set without a formation makes

Row = dict[str, Any]
"""A point of a trace: iteration, seconds (on the set alone), accuracy (0..1)."""


def split(real: ImageSet, spec: DatasetSpec) -> tuple[ImageSet, ImageSet]:
    """Real images to condense, and others of the training split on which students are tested; never the test split."""
    return hold_out(real, spec.classes, MOST_HELD_OUT, make_generator(0, "trace"))


def marks(total: int, points: int) -> list[int]:
    """The steps after which a student is trained: before the first, and `points` more, each about twice as late as the
    one before it.
    """
    return sorted({0} | {max(1, round(total * 2.0**-number)) for number in range(points)})


class Trace:
    """Called before the first step and after every step; trains a student after some of them.

    What it saw is part of the checkpoint.

    Args:
        steps: after which steps.
        per_iteration: steps in an iteration.
        net: the student, by name.
        clock: counts the seconds, and keeps what was seen. The images of each point are kept beside it.
    """

    def __init__(
        self,
        steps: list[int],
        per_iteration: int,
        *,
        net: str,
        validation: ImageSet,
        spec: DatasetSpec,
        session: Session,
        clock: Checkpoint,
    ) -> None:
        self.steps, self.per_iteration, self.net = set(steps), per_iteration, net
        self.validation, self.spec, self.session = validation, spec, session
        self.clock = clock

    @property
    def rows(self) -> list[Row]:
        """What was seen so far, in this process and before it."""
        return read_rows(self.clock.notes.get("trace", []))

    def __call__(self, step: int, result: Callable[[], ImageSet]) -> None:
        """Called after `step` steps."""
        if step not in self.steps:
            return
        seen = [row for row in self.rows if row["step"] < step]
        seconds, started = self.clock.elapsed(), time.monotonic()
        data = result()
        accuracy = self._student(data)
        if self.clock.path != Path():  # a set that is built in memory has no file to look at beside it
            keep_images(trace_images_path(self.clock.path), step, data, self.spec)
        self.clock.leave_out(time.monotonic() - started)
        row = {"step": step, "iteration": step / self.per_iteration, "seconds": round(seconds, 3), "accuracy": accuracy}
        self.clock.notes["trace"] = [*seen, row]
        done = f"{row['iteration']:g} iterations, {seconds:.0f} s"
        self.session.say_once(f"after {done}: {accuracy:.1%} on held-out images")

    def _student(self, data: ImageSet) -> float:
        protocol = Evaluation(nets=1, epochs=EPOCHS, protocol="equal-updates")
        score = evaluate(data, self.validation, self.spec, protocol, net=self.net, session=self.session, progress=False)
        return score.mean


class _Row(Schema):
    """A point as a file has it."""

    step: int = Field(ge=0)
    iteration: float = Field(ge=0)
    seconds: float = Field(ge=0)
    accuracy: float = Field(ge=0, le=1)


class _Rows(Schema):
    """A trace as a file has it."""

    rows: list[_Row]


def read_rows(rows: Any) -> list[Row]:
    """
    Raises:
        InputError: that is no trace.
    """
    return [row.model_dump() for row in check({"rows": rows}, _Rows, "the trace").rows]
