"""What a reader gives: the splits that a source holds."""

from dataclasses import dataclass

from proxyset.data.images import ImageSet
from proxyset.errors import InputError


@dataclass(frozen=True)
class Split:
    """What a source holds: a training split, and a test split.

    `test` is None where the source names a training split only; `whole` says that it names none, so that the
    caller splits it.
    """

    train: ImageSet
    test: ImageSet | None
    class_names: tuple[str, ...]
    whole: bool = False


def numbered(train: ImageSet, where: str) -> tuple[str, ...]:
    """The labels as class names, where the source has none."""
    highest = int(train.labels.max()) if len(train) else -1
    if highest >= max(len(train), 1):  # before as many names are made
        raise InputError(f"{where}: labels are out of range, found {highest} with {len(train)} images")
    return tuple(str(label) for label in range(highest + 1))
