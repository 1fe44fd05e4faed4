"""What `proxyset build --within` makes where no method is named: what `docs/results/minutes.md` measured as best.

This file can be read without torch. Its choice depends on no clock, so that `--resume` makes it again.
"""

import contextlib
from typing import Any

from proxyset.errors import InputError
from proxyset.methods.base import Method, Problem
from proxyset.methods.dm import DM
from proxyset.methods.krr import KRR
from proxyset.methods.synthesis import FIRST

NET = "convnet-w32"
SMALLEST = 16  # pixels: below it, half of a side shows too little
MANY = 10  # images per class, from which on `dm` did better than `krr` within an hour
TRAINED: dict[str, Any] = {"networks": "between", "weight_classes": 3.0}
EPOCHS, TRAININGS, FEWEST = 4, 16, 2  # of a training, and how many; fewest epochs in all that are worth it
PASS = (
    4e-7  # seconds of training, for each image and pixel, of a network of width 32 on one CPU core; 3e-7 on an idle one
)
SHARE = 0.4  # of the time that trainings may take


def name_for(ipc: int) -> str:
    """The method whose flags are understood where none is named; small images may take another (`recommended`)."""
    return DM.name if ipc >= MANY else KRR.name


def recommended(given: Method, problem: Problem, seconds: float) -> tuple[Method, str]:
    """The method for a problem and a time, with its settings, and in words which and why. What the user gave stays.

    Args:
        given: the method of `name_for`, with what the user gave.
    """
    mine = {name: getattr(given, name) for name in given.model_fields_set}
    if isinstance(given, KRR) and problem.spec.size < SMALLEST:
        with contextlib.suppress(InputError):  # something that only `krr` has was asked for
            given = DM(**mine)
    from proxyset.nets.depth import suited

    net = {"net": suited(NET, problem.spec.size)}
    chosen = net | (_for_krr() if isinstance(given, KRR) else _for_dm(problem, seconds))
    # Four images in one, where that leaves enough pixels, every class has the images to begin with, and learning does
    # not start from a set, which has its own.
    enough = problem.spec.size >= SMALLEST and 4 * problem.ipc <= min(problem.counts)
    if enough and mine.get("init", "real") in FIRST:
        chosen["formation"] = 2
    chosen = {name: value for name, value in chosen.items() if name not in mine}
    settings = ", ".join(f"{name} {value}" for name, value in chosen.items())
    return given.model_copy(update=chosen), (
        f"no method named: {given.name}{f' with {settings}' if settings else ''}, the best of those measured within an "
        "hour of CPU cores (docs/results/minutes.md)"
    )


def _for_krr() -> dict[str, Any]:
    return {"batch_real": 512}


def _for_dm(problem: Problem, seconds: float) -> dict[str, Any]:
    chosen: dict[str, Any] = {"batch_real": 64, "lr_img": 5.0, "schedule_img": "cosine"}
    if problem.spec.channels == 1:  # MNIST and FashionMNIST learn less from trained networks, CIFAR-10 more
        return chosen
    affordable = int(SHARE * seconds / (len(problem.real) * problem.spec.size**2 * PASS))  # epochs of all trainings
    if min(problem.counts) < 2 or affordable < FEWEST:  # one of each class is held out
        return chosen
    epochs = min(EPOCHS, affordable // 2)
    return chosen | TRAINED | {"teacher_epochs": epochs, "trainings": min(TRAININGS, affordable // epochs)}
