"""Every config parses, opens with the command that runs it, and states what it measured."""

from pathlib import Path

import pytest

from continual.cli import Compare, Run, _with
from continual.memory import Budget
from continual.recipe import Learning, Recipe
from continual.stream import StreamChoice
from proxyset.config import parse

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((ROOT / "configs" / "continual").glob("*.yaml"))


def test_there_are_configs() -> None:
    assert CONFIGS


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_opens_with_its_command_and_parses(path: Path) -> None:
    lines = path.read_text().splitlines()
    command = lines[0].removeprefix("# ").split()
    assert command[0] == "continual"
    assert f"configs/continual/{path.name}" in command
    assert lines[1].startswith("# ")
    argv = [str(ROOT / word) if word.startswith("configs/") else word for word in command[2:]]
    if command[1] == "compare":
        parse(_with(Compare, Recipe, Budget, StreamChoice), argv, "continual compare", pairs=True)
    else:
        assert command[1] == "run"
        parse(_with(Run, Learning, Budget, StreamChoice), argv, "continual run", pairs=True)
