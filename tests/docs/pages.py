"""The Markdown pages of the documentation, and the code blocks in them."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(
    r"^```(?P<language>\w+)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
INCLUDE = re.compile(
    r"^--8<--\n(?P<path>\S+)\n--8<--$", re.MULTILINE
)  # on three lines: on one, ruff takes it for Python


@dataclass(frozen=True)
class Block:
    """A code block.

    Attributes:
        line: where it starts in the page, from 1.
        title: the file that it shows, if any.
        text: its content, with included files in place of their names.
    """

    line: int
    language: str
    title: str | None
    text: str


def blocks(page: Path, language: str) -> list[Block]:
    """The blocks of one language, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(text[: fence.start()].count("\n") + 1, fence["language"], fence["title"], _included(fence["text"]))
        for fence in FENCE.finditer(text)
        if fence["language"] == language
    ]


def _included(text: str) -> str:
    return INCLUDE.sub(lambda found: (ROOT / found["path"]).read_text(encoding="utf-8").rstrip("\n"), text)


def name(page: Path) -> str:
    """A page's path inside the repository."""
    return page.relative_to(ROOT).as_posix()
