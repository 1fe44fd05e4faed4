"""What a time for building was made into."""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from proxyset.errors import InputError
from proxyset.parsing import Schema, check
from proxyset.progress import duration


class _Facts(Schema):
    """A clock as a file has it."""

    seconds: float = Field(gt=0)
    iterations: int = Field(ge=1)
    seconds_per_iteration: float = Field(ge=0)
    seconds_before: float = Field(ge=0)
    compile: Literal["on", "off"]


@dataclass(frozen=True)
class Clock:
    """What a time was made into.

    Attributes:
        seconds: that were asked for.
        iterations: that were chosen.
        each: seconds that one took.
        spent: seconds on everything before: teachers, compilation, timing.
        compiled: whether compiling was chosen.
    """

    seconds: float
    iterations: int
    each: float
    spent: float
    compiled: bool

    def facts(self) -> dict[str, Any]:
        """For the provenance, and for going on with the same choice."""
        return {
            "seconds": self.seconds,
            "iterations": self.iterations,
            "seconds_per_iteration": round(self.each, 4),
            "seconds_before": round(self.spent, 1),
            "compile": "on" if self.compiled else "off",
        }

    @classmethod
    def read(cls, facts: Any) -> "Clock | None":
        """From what `facts` gave; None where it is something else."""
        try:
            found = check(facts, _Facts, "a clock")
        except InputError:
            return None
        numbers = found.seconds, found.iterations, found.seconds_per_iteration, found.seconds_before
        return cls(*numbers, found.compile == "on")

    def __str__(self) -> str:
        return (
            f"within {duration(self.seconds)}: {self.iterations} iterations of {self.each:.2g} s, "
            f"after {duration(self.spent)} of preparation"
        )
