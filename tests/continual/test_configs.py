"""Every config opens with the command that runs it, says what it measured, parses, and makes runs that can be made."""

from pathlib import Path

import pytest

from continual.choose import check_settings
from continual.cli import CompareCommand, RunCommand
from continual.compare import Common, make_cells
from continual.schemes.given import check_given
from continual.settings import Budget, StreamChoice
from proxyset.cli.options import extract
from proxyset.cli.parse import parse

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((ROOT / "configs" / "continual").glob("*.yaml"))


def test_there_are_configs() -> None:
    assert CONFIGS


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_opens_with_its_command_and_parses(path: Path) -> None:
    lines = path.read_text().splitlines()
    program, name, *words = lines[0].removeprefix("# ").split()
    assert program == "continual"
    assert f"configs/continual/{path.name}" in words
    assert lines[1].startswith("# ")
    argv = [str(ROOT / word) if word.startswith("configs/") else word for word in words]
    if name == "run":
        single = parse(RunCommand, argv, "continual run")
        check_settings(single.memory.memory_settings, (single.memory.memory,))
        check_given(single.learning, [(single.memory.memory, single.learning.kd)], single.learning.model_fields_set)
        return
    assert name == "compare"
    command = parse(CompareCommand, argv, "continual compare")
    common = Common(Path(), extract(command, StreamChoice), extract(command, Budget), command.training)
    cells = make_cells(command.memory.memory, command.memory.seeds, command.memory.kd, common)
    given = command.training.model_fields_set
    check_given(command.training, [(cell.memory, cell.kd) for cell in cells], given)
    check_given(command.training, [("joint", False)], given)  # as docs/results/continual.md adds it
    assert {cell.memory for cell in cells} == set(command.memory.memory)
    assert {cell.seed for cell in cells} == set(command.memory.seeds)
