"""A program with several commands: dispatch, exit codes, and one line for every mistake. Used by all three programs."""

import importlib
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from proxyset import __version__
from proxyset.cli.messages import in_flags, remember
from proxyset.cli.signs import take_any_text
from proxyset.cli.start import INTERRUPTED, interrupt, leaves_at_once
from proxyset.errors import InputError, RunError, interruptible, nearest
from proxyset.files import FULL

DONE, FAILED, WRONG = 0, 1, 2

COMMANDS = {
    "build": ("condense a dataset into a few images per class", "proxyset.cli.build:build_command"),
    "eval": ("train fresh networks on proxy sets and test them", "proxyset.cli.eval:eval_command"),
    "grid": ("build and score many sets, as one table", "proxyset.cli.grid:grid_command"),
    "gradients": ("compare the gradients of real and synthetic images", "proxyset.cli.gradients:gradients_command"),
    "show": ("say what a proxy set is, and draw it", "proxyset.cli.show:show_command"),
    "report": ("write one page about proxy sets, to look at", "proxyset.cli.report:report_command"),
    "export": ("write a proxy set for other tools", "proxyset.cli.export:export_command"),
    "push": ("upload a proxy set with its card to a hub", "proxyset.cli.push:push_command"),
}


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """The `proxyset` program."""
    run(
        "proxyset",
        "Condensed training sets: a few images per class that stand in for all of them.",
        COMMANDS,
        argv,
    )


def run(prog: str, about: str, commands: Mapping[str, tuple[str, str]], argv: Sequence[str] | None = None) -> NoReturn:
    """Dispatch to a command and leave with its exit code: 0 done, 1 failed, 2 wrong usage or input, 130 interrupted.

    Args:
        commands: for each its line of help and its function, as "module:function", imported only when it is called. The
            function takes the words after the command's name.
        argv: the words after the program's name; None: those of this process.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if not leaves_at_once(signal.SIGTERM):  # that of a program which has only just begun
        signal.signal(signal.SIGTERM, interrupt)
    take_any_text(sys.stdout, sys.stderr)
    remember(None)
    try:
        if not argv or argv[0] in ("-h", "--help"):
            print(_usage(prog, about, commands), flush=True)
            sys.exit(DONE)
        if argv[0] == "--version":
            print(__version__, flush=True)
            sys.exit(DONE)
        _call(commands, argv)
    except InputError as error:
        _leave(prog, in_flags(str(error)), WRONG)
    except (RunError, MemoryError) as error:
        _leave(prog, in_flags(str(error)) or "out of memory", FAILED)
    except RuntimeError as error:  # torch has no common type for running out of memory on a CPU and on a GPU
        if not re.search("out of memory|can't allocate memory", str(error)):
            raise
        _leave(prog, f"out of memory: {str(error).splitlines()[0]}", FAILED)
    except BrokenPipeError:  # the reader of our output has left
        sys.stderr.close()
        sys.exit(FAILED)
    except OSError as error:  # also a mere look at a path can fail: its name is too long, its folder is not ours
        if error.filename is None:
            raise
        failed = error.errno in FULL
        _leave(prog, f"{str(error.filename)!r}: {error.strerror}", FAILED if failed else WRONG)
    except KeyboardInterrupt as stop:
        _leave(prog, str(stop) or "interrupted", INTERRUPTED)
    sys.exit(DONE)


def _call(commands: Mapping[str, tuple[str, str]], argv: Sequence[str]) -> None:
    if argv[0] not in commands:
        raise InputError(f"unknown command {argv[0]!r}: {nearest(argv[0], commands)}")
    module, _, function = commands[argv[0]][1].partition(":")
    try:
        with interruptible():
            getattr(importlib.import_module(module), function)(argv[1:])
    finally:
        sys.stdout.flush()  # so that a reader who has left is noticed here and not when the interpreter ends


def _usage(prog: str, about: str, commands: Mapping[str, tuple[str, str]]) -> str:
    lines = [f"  {name:<9} {words}" for name, (words, _) in commands.items()]
    listed = "\n".join(lines)
    return f"usage: {prog} COMMAND [flags]\n\n{about}\n\n{listed}\n\n{prog} COMMAND --help lists the flags."


def _leave(prog: str, message: str, code: int) -> NoReturn:
    print(f"{prog}: {message}", file=sys.stderr)
    sys.exit(code)


def say(text: str) -> None:
    """A line for the person at the terminal, settings in backticks as flags; results go to stdout."""
    print(in_flags(text), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
