"""Functions that note what they are called with."""

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def spied(work: Callable[..., T], seen: list[Any], note: Callable[..., Any]) -> Callable[..., T]:
    """`work` that first adds to `seen` what `note` makes of its arguments."""

    def noting(*arguments: Any, **options: Any) -> T:
        seen.append(note(*arguments, **options))
        return work(*arguments, **options)

    return noting
