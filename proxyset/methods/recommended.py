"""What `proxyset build --within` makes where no method is named: what `docs/results/minutes.md` measured as best.

This file can be read without torch, and its choice depends on no clock, so that `--resume` makes it again.
"""

from typing import Any

from proxyset.methods.base import Method, Problem
from proxyset.methods.dm import DM

NAME = DM.name
SMALLEST = 16  # pixels: below it, half of a side shows too little
TRAINED: dict[str, Any] = {"networks": "trained", "trainings": 2, "teacher_epochs": 4, "weight_classes": 3.0}
PASS = 3.6e-7  # seconds of training, for each image and pixel, of its network on one CPU core
SHARE = 1 / 3  # of the time that trainings may take


def recommended(given: Method, problem: Problem, seconds: float) -> tuple[Method, str]:
    """The settings for a problem and a time, and in words which and why. Those that the user gave stay."""
    spec, fewest = problem.spec, min(problem.counts)
    chosen: dict[str, Any] = {"batch_real": 64, "lr_img": 5.0}
    if spec.size >= SMALLEST and 4 * problem.ipc <= fewest:
        chosen["formation"] = 2
    passes = TRAINED["trainings"] * TRAINED["teacher_epochs"] * len(problem.real)
    if fewest > 1 and passes * spec.size**2 * PASS <= SHARE * seconds:  # one of each class is held out
        chosen |= TRAINED
    chosen = {name: value for name, value in chosen.items() if name not in given.model_fields_set}
    settings = ", ".join(f"{name} {value}" for name, value in chosen.items())
    return given.model_copy(update=chosen), (
        f"no method named: {NAME}{f' with {settings}' if settings else ''}, the best of those measured within an hour "
        "of CPU cores (docs/results/minutes.md)"
    )
