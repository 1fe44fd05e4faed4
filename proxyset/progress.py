"""What a person sees while long work runs: one line on stderr."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Protocol

MANY = 10  # iterations from which whole ones are shown


class Progress(Protocol):
    """Called after every step with how much is done of the total, and the current loss where there is one.

    `done` may be a fraction: 2.5 of 10 iterations.
    """

    def __call__(self, done: float, total: int, loss: float | None = None) -> None: ...


def silent(done: float, total: int, loss: float | None = None) -> None:
    """Show nothing."""


def shown(progress: "Progress | bool | None", title: str) -> Progress:
    """What shows the progress of work called `title`.

    Args:
        progress: a function to call; True: a line; False: nothing; None: a line where somebody watches, in a terminal
            or a notebook.
    """
    if callable(progress):
        return progress
    if progress or (progress is None and (sys.stderr.isatty() or in_notebook())):
        return ProgressLine(title)
    return silent


def part_of(progress: Progress, title: str) -> Progress:
    """What shows a part of the work that is counted in steps of its own, such as the training of a network first.

    That is what the method `part` of `progress` gives for its title; nothing where it has none, because a function that
    counts the steps of the work would take these for them.
    """
    part: Callable[[str], Progress] | None = getattr(progress, "part", None)
    return silent if part is None else part(title)


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return type(shell).__name__ == "ZMQInteractiveShell"


class ProgressLine:
    """One line, rewritten in place on a terminal or in a notebook; elsewhere a new line, at most one in 10 s."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.in_place = sys.stderr.isatty() or in_notebook()
        self._start: tuple[float, float] | None = None
        self._shown = 0.0
        self._width = 0
        self._part: ProgressLine | None = None

    def __call__(self, done: float, total: int, loss: float | None = None) -> None:
        now = time.monotonic()
        if self._start is None:
            self._start = (now, done)
        if now - self._shown < (0.1 if self.in_place else 10) and done < total:
            return
        self._shown = now
        began, first = self._start
        text = f"{self.title}  {_count(done, total)}/{total}"
        if loss is not None:
            text += f"  loss {loss:.4g}"
        if done > first:
            left = (now - began) / (done - first) * (total - done)
            text += f"  {duration(left)} left" if done < total else f"  {duration(now - began)}"
        self._print(text)
        if done >= total:
            self.close()

    def _print(self, text: str) -> None:
        if self.in_place:
            text = text[: _columns() - 1]
            sys.stderr.write("\r" + text.ljust(self._width))
            self._width = len(text)
        else:
            sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def part(self, title: str) -> "ProgressLine":
        """The line of a part of this work; this one ends here."""
        self.close()
        self._part = ProgressLine(f"{self.title}, {title}")
        return self._part

    def close(self) -> None:
        """End the line, and that of a part, so that what is printed next starts on its own."""
        if self._part is not None:
            self._part.close()
        if self.in_place and self._width:
            sys.stderr.write("\n")
            self._width = 0


@contextlib.contextmanager
def closing(line: "Progress | bool") -> Iterator[None]:
    """End the line of progress, whatever happens, so that what is printed next starts on its own."""
    try:
        yield
    finally:
        if isinstance(line, ProgressLine):
            line.close()


def _count(done: float, total: int) -> str:
    return f"{done:.1f}" if done != int(done) and total < MANY else str(int(done))


def _columns() -> int:
    from rich.console import Console  # here: it takes a while to import, and only a terminal has a width

    return Console(stderr=True).width


def duration(seconds: float) -> str:
    """Seconds as a person says them: 42 s, 3 min 05 s, 2 h 10 min."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


def size(count: float) -> str:
    """Bytes as a person says them."""
    return f"{count / 2**20:.0f} MiB" if count < 2**30 else f"{count / 2**30:.1f} GiB"
