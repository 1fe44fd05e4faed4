"""Names that other people chose, as terminals, pictures and paths can have them."""

import re
import unicodedata
from collections.abc import Sequence


def clean_name(text: str, *, longest: int = 80) -> str:
    """A name as a terminal or a picture can show it: one line, no control characters, of bounded length.

    What cannot be shown (control and format characters, escape, NUL, surrogates, unassigned) becomes "�"; spaces of any
    kind become one blank; what is too long ends in "…". A name that needs no cleaning stays as it is.
    """
    shown = "".join("�" if unicodedata.category(char)[0] == "C" else char for char in _blanks(text[: 8 * longest]))
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def figure_name(text: str, *, longest: int = 40) -> str:
    """A name as matplotlib can write it: `clean_name`, and a dollar sign begins no formula."""
    return clean_name(text, longest=longest).replace("$", r"\$")


def path_name(text: str, *, longest: int = 100) -> str:
    """A name as a file or folder can have it: `clean_name`, no "/" or "\\", no leading dot, at most `longest` bytes.

    Different names can become the same; whoever needs distinct ones puts a number in front.
    """
    name = re.sub(r"[/\\�]", "-", clean_name(text, longest=longest))
    name = re.sub(r"^\.+", "-", name).strip()
    while len(name.encode()) > longest:
        name = name[:-1]
    return name.rstrip(" .") or "-"


def _blanks(text: str) -> str:
    return re.sub(r"[ \t\r\n\f\v\u0085\u2028\u2029]+", " ", text)


def in_words(names: Sequence[str]) -> str:
    """Names one after another: "a, b and c"; "nothing" where there are none."""
    if not names:
        return "nothing"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
