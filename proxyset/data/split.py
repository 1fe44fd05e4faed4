"""What a reader gives: the splits that a source holds, and what was done to their images."""

from collections import Counter
from dataclasses import dataclass, field

from proxyset.data.images import ImageSet
from proxyset.errors import InputError

FLIP = "flip"  # says in an export whether a mirrored image keeps its label


@dataclass(frozen=True)
class Reading:
    """What was done while images were read.

    Attributes:
        done: how many images something was done to, by what it was, in words that follow a number.
        left_out: the name of each image that could not be read, and why.
        notes: what else to say, such as a folder that plays no part.
    """

    done: Counter[str] = field(default_factory=Counter)
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __add__(self, other: "Reading") -> "Reading":
        return Reading(self.done + other.done, self.left_out + other.left_out, self.notes + other.notes)

    def phrases(self) -> tuple[str, ...]:
        """All of it, in short, what was done to most images first; empty where nothing was done."""
        counts = [f"{count} {what}" for what, count in self.done.most_common() if count]
        lost = [f"{len(self.left_out)} left out as unreadable"] if self.left_out else []
        return (*counts, *lost, *self.notes)


@dataclass(frozen=True)
class Split:
    """What a source holds: a training split, and a test split.

    `test` is None where the source names a training split only; `whole` says that it names none, so that the
    caller splits it. `flip` is what an export of a proxy set says of mirrored images.
    """

    train: ImageSet
    test: ImageSet | None
    class_names: tuple[str, ...]
    whole: bool = False
    reading: Reading = field(default_factory=Reading)
    flip: bool | None = None


def numbered(train: ImageSet, where: str) -> tuple[str, ...]:
    """The labels as class names, where the source has none."""
    highest = int(train.labels.max()) if len(train) else -1
    if highest >= max(len(train), 1):  # before as many names are made
        raise InputError(f"{where}: labels are out of range, found {highest} with {len(train)} images")
    return tuple(str(label) for label in range(highest + 1))
