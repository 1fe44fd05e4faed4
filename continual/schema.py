"""What `results.json` may hold, as this and older versions write it."""

from typing import Annotated, Any

import numpy as np
from pydantic import ConfigDict, Field, model_validator

from continual.metrics import summarise
from proxyset.parsing import Schema

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Difference = Annotated[float, Field(ge=-1, le=1)]
Seconds = Annotated[float, Field(ge=0)]
CLOSE = 1e-9  # two sums of the same numbers in another order


class OpenSchema(Schema):
    """Of which other versions may have written more."""

    model_config = ConfigDict(extra="allow")


class StoredTask(OpenSchema):
    name: str
    classes: list[str] = Field(min_length=1)
    train: Positive
    test: Positive


class StoredStream(OpenSchema):
    name: str
    kind: str
    channels: Positive
    size: Positive
    tasks: list[StoredTask] = Field(min_length=2)


class StoredLearning(OpenSchema):
    net: str
    epochs: Positive
    lr: Annotated[float, Field(gt=0)]


class StoredMemory(OpenSchema):
    images: Count
    training_images: Count | None = None
    bytes: Count
    soft_targets: bool = False
    seconds: Seconds


class StoredCost(OpenSchema):
    """What a task took, and what is remembered after it."""

    seconds: Seconds
    images: Count
    training_images: Count
    bytes: Count


class StoredPoint(OpenSchema):
    """Right answers per task after an epoch; −1 for tasks that were still to come."""

    stage: Positive
    phase: str
    epoch: Positive
    correct: list[Annotated[int, Field(ge=-1)]]


class StoredResult(Schema):
    """The result of one run. Its measures must follow from its counts."""

    memory: str
    kd: bool
    memory_settings: dict[str, Any] = Field({})
    budget: dict[str, Positive] = Field(min_length=1)
    equal: str = "images"
    keep_as: str = "float32"
    shrink: str = "head"
    condense_with: str = "own"
    choices: str
    learning: StoredLearning
    stream: StoredStream
    seed: int
    device_type: str = ""
    compute: dict[str, Any] = Field({})
    test_images: list[Positive]
    correct: list[list[Annotated[int, Field(ge=-1)]]]
    matrix: list[list[Share | None]]
    average: list[Share]
    pooled: list[Share]
    average_incremental: Share
    forgetting: Difference
    backward_transfer: Difference
    memory_kept: StoredMemory
    per_task: list[StoredCost] = Field([])
    trace: list[StoredPoint] = Field([])
    seconds: Seconds
    threads: Positive = 1
    versions: dict[str, str] = Field({})
    created: str = ""

    @model_validator(mode="after")
    def _measures_follow_from_counts(self) -> "StoredResult":
        images, count = self.test_images, len(self.stream.tasks)
        if images != [task.test for task in self.stream.tasks]:
            raise ValueError("`test_images` differs from the test images of the stream's tasks")
        if [len(row) for row in self.correct] != [count] * count:
            raise ValueError(f"`correct` must have {count} rows of {count}")
        for stage, row in enumerate(self.correct):
            for task, right in enumerate(row):
                if not (0 <= right <= images[task] if task <= stage else right == -1):
                    raise ValueError(f"`correct` has {right} of {images[task]} images of task {task + 1}")
        if any(len(point.correct) != count or point.stage > count for point in self.trace):
            raise ValueError(f"`trace` must have {count} counts in each point")
        measures = summarise(np.array(self.correct, dtype=np.float64), np.array(images))
        for name, value in measures.items():
            if not _same(getattr(self, name), value):
                raise ValueError(f"{name!r} is not what the counts in 'correct' give")
        return self


def _same(one: Any, two: Any) -> bool:
    """Whether two numbers, or lists of lists of them, agree; None is what is not there."""
    if isinstance(one, list) and isinstance(two, list):
        return len(one) == len(two) and all(map(_same, one, two))
    return one is two is None or (one is not None and two is not None and abs(one - two) <= CLOSE)
