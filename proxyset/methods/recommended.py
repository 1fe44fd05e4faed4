"""What `proxyset build --within` makes where no method is named: what `docs/results/minutes.md` measured as best.

This file can be read without torch.
"""

from proxyset.methods.base import Problem
from proxyset.methods.dm import DM

NAME = DM.name
SMALLEST = 16  # pixels: below it, half of a side shows too little


def recommended(given: DM, problem: Problem) -> tuple[DM, str]:
    """The settings for a problem, and in words which and why. Those that the user gave stay."""
    chosen: dict[str, object] = {"batch_real": 64, "lr_img": 5.0}
    if problem.spec.size >= SMALLEST and 4 * problem.ipc <= min(problem.counts):
        chosen["formation"] = 2
    chosen = {name: value for name, value in chosen.items() if name not in given.model_fields_set}
    method = given.model_copy(update=chosen)
    settings = ", ".join(f"{name} {value:g}" for name, value in chosen.items() if isinstance(value, int | float))
    return method, (
        f"no method named: {NAME}" + (f" ({settings})" if settings else "") + ", the best of those measured within "
        "an hour of two CPU cores (docs/results/minutes.md)"
    )
