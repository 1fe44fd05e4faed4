"""Library messages for a person at a terminal: they name settings in backticks, the command line its flags."""

import ast
import re
import shlex
from collections.abc import Mapping, Sequence
from contextvars import ContextVar

from proxyset.cli.options import Command, Flag, flags

IN_BACKTICKS = re.compile(r"`([A-Za-z_][\w.]*)(?:=([^`]*))?`")

_running: ContextVar[Mapping[str, Flag] | None] = ContextVar("running", default=None)


def again(program: str, argv: Sequence[str], *, force: bool) -> str:
    """The words that go on with what a command began. `--resume` does not go with `--force`, which a file may give.

    Args:
        program: with its command, such as `proxyset grid`.
        force: whether the command started over, for whichever reason.
    """
    kept = [word for word in argv if word not in ("--resume", "--force")]
    unforced = ["--no-force"] if force and "--force" not in argv else []
    return f"{program} {shlex.join([*kept, *unforced, '--resume'])}"


def remember(model: type[Command] | None) -> None:
    """`model` is the command that runs from now on: messages name its flags."""
    known = flags(model) if model else {}
    by_field = {flag.field: flag for flag in reversed(known.values())}
    _running.set({**by_field, **known})


def in_flags(message: str) -> str:
    """`message` with its settings in backticks as flags of the command that runs: `size=32` as --size 32.

    Names that are no flag of that command are left as they are, without the backticks.
    """
    return IN_BACKTICKS.sub(_replacement, message)


def plain(message: str) -> str:
    """`message` without the backticks around its settings, as in a file: size=32."""
    return IN_BACKTICKS.sub(lambda match: match[0].strip("`"), message)


def _replacement(match: re.Match[str]) -> str:
    name, value = match.groups()
    flag = (_running.get() or {}).get(name)
    if flag is None:
        return plain(match[0])
    if value is None or (flag.is_switch and value == "True"):
        return flag.option
    if flag.is_switch and value == "False":
        return flag.off
    return f"{flag.option} {_as_words(value)}"


def _as_words(value: str) -> str:
    """A Python value as it is written after a flag."""
    try:
        items = ast.literal_eval(value)
    except (ValueError, SyntaxError):  # words such as N or PATH
        return value
    return " ".join(shlex.quote(str(item)) for item in (items if isinstance(items, tuple | list) else (items,)))
