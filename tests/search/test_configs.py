"""Every config is read, and says how it is run; a shrunken one runs."""

import shlex
from pathlib import Path

import pytest

from proxyset.cli.parse import parse
from search.cli import main
from search.commands import RunSettings, resolve
from search.folder import ROWS
from search.sources.registry import FREE
from search.space import space_720

CONFIGS = sorted((Path(__file__).parents[2] / "configs" / "search").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_opens_with_the_command_that_runs_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parents[2])
    first = path.read_text().splitlines()[0]
    words = shlex.split(first.removeprefix("# "))
    assert words[:2] == ["search", "run"]
    assert words[words.index("--config") + 1] == f"configs/search/{path.name}"
    command = resolve(parse(RunSettings, words[2:], "search run"))
    count = len(space_720(command.space.where or ""))
    assert command.space.sample == "all" or int(command.space.sample or 2) <= count


@pytest.mark.parametrize("path", [path for path in CONFIGS if path.stem == "digits"], ids=lambda path: path.stem)
def test_a_shrunken_one_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small = (
        "--size 8 --where width<=32,depth<=1 --sample 2 --ipc 1 --iterations 1 --epochs 1 --whole-epochs 1 --workers 0"
    )
    with pytest.raises(SystemExit, match="0"):
        main(["run", "--config", str(path), *small.split(), "--workers", "0", "--out", "run"])
    assert Path("run", ROWS).read_text().count("\n") == 2 * (5 + len(FREE))
