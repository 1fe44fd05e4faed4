"""The two kinds of error that a user meets, and the words for a name that is not known.

A message is one line: what is wrong, where, and what to do. It names settings as Python does, in backticks
(`size=32`); the command line turns them into flags (--size 32).
"""

import contextlib
import difflib
import sys
from collections.abc import Iterable, Iterator

MOST_TO_LIST = 20


class InputError(Exception):
    """A mistake in what the user gave."""


class BusyError(InputError):
    """Another process is writing what the user wants written."""


class RunError(Exception):
    """Work that could not go on, through no mistake in the input."""


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Within, what fails on the way out of an interruption is that interruption.

    A signal may come inside a library's own clean-up, which then fails in turn: torch takes a mode off its stack twice.
    """
    handled = sys.exception()  # by whoever called, and over
    try:
        yield
    except (InputError, RunError):
        raise
    except Exception as error:
        cause: BaseException | None = error
        while cause not in (None, handled) and not isinstance(cause, KeyboardInterrupt):
            cause = cause.__context__ if cause else None
        if cause not in (None, handled):
            raise KeyboardInterrupt from error
        raise


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
