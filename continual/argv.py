"""The words that a command was called with."""

import shlex
from collections.abc import Sequence


def flags_in(argv: Sequence[str]) -> set[str]:
    """The settings that the words of a command name."""
    words = (word.removeprefix("--").partition("=")[0] for word in argv if word.startswith("--"))
    return {word.removeprefix("no-").replace("-", "_") for word in words}


def again(command: str, argv: Sequence[str], *, force: bool) -> str:
    """The words that go on with what a command began. `--resume` does not go with `--force`, which a file may give."""
    kept = [word for word in argv if word not in ("--resume", "--force")]
    unforced = ["--no-force"] if force and "--force" not in argv else []
    return f"continual {command} {shlex.join([*kept, *unforced, '--resume'])}"
