"""Every config parses, opens with the command that runs it, and states what it measured."""

from pathlib import Path

import pytest

from continual.cli import CompareCommand, RunCommand
from proxyset.cli.options import ConfiguredCommand
from proxyset.cli.parse import parse

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((ROOT / "configs" / "continual").glob("*.yaml"))
COMMANDS: dict[str, type[ConfiguredCommand]] = {"run": RunCommand, "compare": CompareCommand}


def test_there_are_configs() -> None:
    assert CONFIGS


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_opens_with_its_command_and_parses(path: Path) -> None:
    lines = path.read_text().splitlines()
    program, command, *words = lines[0].removeprefix("# ").split()
    assert program == "continual"
    assert f"configs/continual/{path.name}" in words
    assert lines[1].startswith("# ")
    argv = [str(ROOT / word) if word.startswith("configs/") else word for word in words]
    parsed = parse(COMMANDS[command], argv, f"continual {command}")
    assert parsed.config is not None
