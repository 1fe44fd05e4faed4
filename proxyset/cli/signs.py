"""Text on a terminal whose encoding lacks some of our signs: written in ASCII's way instead of a traceback."""

import codecs
import io
from typing import TextIO

PLAIN = {
    "±": "+-", "×": "x", "→": "->", "−": "-", "–": "-", "…": "...", "·": "-", "≥": ">=", "≤": "<=", "°": "deg",
}  # fmt: skip
ERRORS = "proxyset-plain"  # the name that Python's codecs know this by


def _plainly(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(PLAIN.get(sign, "?") for sign in error.object[error.start : error.end]), error.end


codecs.register_error(ERRORS, _plainly)


def take_any_text(*streams: TextIO) -> None:
    """From now on these streams write signs that their encoding lacks as `PLAIN` has them, or a question mark."""
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ERRORS)
