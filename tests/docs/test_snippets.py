"""Python blocks of the pages run, each page from top to bottom in a fresh folder."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.docs.pages import PAGES, Block, blocks, name

PYTHON_PAGES = [page for page in PAGES if blocks(page, "python")]
CLAIM = re.compile(r"^ *print\(.*\)  # (?P<output>.+)$", re.MULTILINE)


@pytest.fixture(autouse=True)
def global_generators_stay_put() -> Iterator[None]:
    """Blocks are a user's code and may draw from the global generator (torch's data loader does)."""
    with torch.random.fork_rng():
        yield


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A fresh working folder whose modules can be imported, and are forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for module in set(sys.modules) - before:
        if str(getattr(sys.modules[module], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[module]


@pytest.mark.parametrize("page", PYTHON_PAGES, ids=name)
def test_python_blocks_run_and_print_what_they_claim(
    page: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A block with a title is a file: written there, compiled. `print(x)  # 3` claims the output 3 (`3 …`: a start)."""
    variables: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page, "python"):
        place = f"{name(page)}:{block.line}"
        code = compile(block.text, place, "exec")
        if block.title is not None:
            (folder / block.title).write_text(block.text, encoding="utf-8")
            continue
        exec(code, variables)
        _check_claims(block, capsys.readouterr().out.splitlines(), place)


def _check_claims(block: Block, printed: list[str], place: str) -> None:
    for claim in CLAIM.finditer(block.text):
        output = claim["output"]
        matches = [
            line for line in printed if line == output or (output.endswith(" …") and line.startswith(output[:-2]))
        ]
        assert matches, f"{place}: expected {output!r}, printed {printed}"


def test_pages_have_python_blocks() -> None:
    assert {"README.md", "docs/how-to/own-method.md", "docs/how-to/python.md"} <= {name(page) for page in PYTHON_PAGES}
