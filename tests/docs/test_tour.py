"""The notebook runs from top to bottom.

Its cells run in order in this process, with fewer steps.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from proxyset.artefact.proxy_set import ProxySet
from proxyset.report.page import is_page
from tests.docs.pages import ROOT

TOUR = ROOT / "examples" / "tour.ipynb"


@pytest.fixture(autouse=True)
def global_generators_stay_put() -> Iterator[None]:
    """pandas may draw."""
    with torch.random.fork_rng():
        yield


def cells() -> list[str]:
    notebook = json.loads(TOUR.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def shorter(code: str) -> str:
    """The same work with fewer steps: that it runs is the question here, not how well it does."""
    for words, fewer in {
        "iterations=60": "iterations=2",
        "epochs=150": "epochs=2",
        "nets=2": "nets=1",
        "epochs=60, whole_epochs=3": "epochs=1, whole_epochs=1",
        "epochs=8, balance_epochs=4": "epochs=1, balance_epochs=1",
        'net="convnet-w32", session': 'net="mlp", session',
        '"convnet-w16-d2", "convnet-w16-d2-nonorm", "convnet-w32-d2"': "",
        "steps=5, limit=200": "steps=2, limit=40",
    }.items():
        code = code.replace(words, fewer)
    return code


def test_every_cell_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for number, code in enumerate(map(shorter, cells())):
        exec(compile(code, f"cell {number}", "exec"), names)
    assert len(ProxySet.load(tmp_path / "mine.safetensors").data) == 10
    assert is_page(tmp_path / "mine-report.html")
    assert names["ranking"].best in names["ranking"].scores.index
    assert len(names["result"].average) == 2


def test_what_is_made_shorter_is_there() -> None:
    assert shorter("\n".join(cells())).count("=1, ") >= 3


def test_the_notebook_is_clean_and_its_links_lead_somewhere() -> None:
    notebook = json.loads(TOUR.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
    text = "".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    for link in [part.split(")")[0] for part in text.split("](")[1:]]:
        assert (TOUR.parent / link).is_file(), link
