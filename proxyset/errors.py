"""The two kinds of error that a user meets, and the words for a name that is not known.

A message is one line: what is wrong, where, and what to do. It names settings as Python does, in backticks
(`size=32`); the command line turns them into flags (--size 32).
"""

import difflib
from collections.abc import Iterable

MOST_TO_LIST = 20


class InputError(Exception):
    """A mistake in what the user gave."""


class BusyError(InputError):
    """Another process is writing what the user wants written."""


class RunError(Exception):
    """Work that could not go on, through no mistake in the input."""


def nearest(name: str, known: Iterable[str]) -> str:
    """What to say after an unknown `name`: the nearest known one, or all where none is near and they are few."""
    known = sorted(known)
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.65)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(known)}" if len(known) <= MOST_TO_LIST else f"none of the {len(known)} known is near it"


def one_line(error: object, limit: int = 160) -> str:
    """What an exception says, on one line of at most `limit` characters."""
    return " ".join(str(error).split())[:limit]
