"""What a person sees while long work runs: one line on stderr."""

import sys
import time
from typing import Protocol

from rich.console import Console


class Progress(Protocol):
    """Called after every step with the steps done, their total, and the current loss where there is one."""

    def __call__(self, done: int, total: int, loss: float | None = None) -> None: ...


def silent(done: int, total: int, loss: float | None = None) -> None:
    """Show nothing."""


class ProgressLine:
    """One line, rewritten in place on a terminal; elsewhere a new line every tenth of the way, at most one in 10 s."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.terminal = sys.stderr.isatty()
        self._console = Console(stderr=True)
        self._start: tuple[float, int] | None = None
        self._shown = 0.0
        self._width = 0

    def __call__(self, done: int, total: int, loss: float | None = None) -> None:
        now = time.monotonic()
        if self._start is None:
            self._start = (now, done)
        if now - self._shown < (0.1 if self.terminal else 10) and done < total:
            return
        self._shown = now
        began, first = self._start
        text = f"{self.title}  {done}/{total}"
        if loss is not None:
            text += f"  loss {loss:.4g}"
        if done > first:
            left = (now - began) / (done - first) * (total - done)
            text += f"  {duration(left)} left" if done < total else f"  {duration(now - began)}"
        self._print(text)

    def _print(self, text: str) -> None:
        if self.terminal:
            text = text[: self._console.width - 1]
            sys.stderr.write("\r" + text.ljust(self._width))
            self._width = len(text)
        else:
            sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def close(self) -> None:
        """End the line, so that what is printed next starts on its own."""
        if self.terminal and self._width:
            sys.stderr.write("\n")
            self._width = 0


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
