"""Where a program begins, before anything that takes time is imported: only the standard library here.

Until a command's work begins there is nothing to save, so an interruption ends the process at once. Python's own
handler would raise KeyboardInterrupt in the middle of somebody's import.
"""

import importlib
import os
import signal
import sys
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def start(prog: str, module: str) -> NoReturn:
    """Import `module` and call its `main()`, with an interruption while modules load as one line and exit code 130."""

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        os.write(2, f"{prog}: interrupted\n".encode())  # not print: a signal may come while stderr is being written
        os._exit(INTERRUPTED)

    leave.is_ours = True  # type: ignore[attr-defined]
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # as a shell without job control wants it in the background
            signal.signal(number, leave)
    importlib.import_module(module).main()
    sys.exit()


def work_begins() -> None:
    """From here on an interruption raises KeyboardInterrupt, so that the work can save its state.

    What takes longest to import is imported first. A process that did not begin with `start` is left as it is.
    """
    ours = [number for number in SIGNALS if leaves_at_once(number)]
    if ours:
        importlib.import_module("torch")
    for number in ours:
        signal.signal(number, interrupt)


def leaves_at_once(number: int) -> bool:
    """Whether a signal ends this process without a word to whoever works in it."""
    return getattr(signal.getsignal(number), "is_ours", False)


def interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
