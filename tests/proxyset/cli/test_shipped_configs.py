"""Every YAML file that the project ships for `proxyset` parses and, shrunken, runs."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxyset.artefact.proxy_set import ProxySet
from proxyset.cli.build import Build
from proxyset.cli.options import flatten, peek, read_yaml, with_group
from proxyset.cli.parse import parse
from proxyset.methods.registry import get_method
from tests.proxyset.cli.made import Cli

ROOT = Path(__file__).resolve().parents[3]
CONFIGS = sorted((ROOT / "configs" / "proxyset").glob("*.yaml"))
SMALL: dict[str, Any] = {
    **{"iterations": 1, "inner_steps": 2, "net_epochs": 1, "epochs": 1, "batch_real": 4, "ipc": 1},
    **{"trainings": 1, "teacher_epochs": 1, "pool": 1},
}


def words_of(config: Path) -> list[str]:
    first = config.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# proxyset "), f"{config} does not open with the command that runs it"
    return shlex.split(first.removeprefix("# proxyset "))


def test_there_are_configs() -> None:
    assert CONFIGS


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.stem)
def test_a_shipped_config_opens_with_the_command_that_runs_it(config: Path) -> None:
    words = words_of(config)
    assert words[0] == "build"
    assert any(word.endswith(f"configs/proxyset/{config.name}") for word in words), words


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.stem)
def test_a_shipped_config_parses_and_its_shrunken_form_runs(config: Path, cli: Cli, tmp_path: Path) -> None:
    """On digits, whose 16-pixel form every network here can take, with little of everything."""
    flags = words_of(config)[1:]
    flags[flags.index("--config") + 1] = str(config)
    method = get_method(peek(flags, "method") or read_yaml(str(config)).get("method", "dsa"))
    values = flatten(parse(with_group(Build, method, "flags of the method", "method"), flags, "proxyset build"))
    small = {name: value for name, value in SMALL.items() if name in values}
    values |= small | {
        "dataset": "digits",
        "size": 16,
        "nets": 0,
        "seeds": None,
        "out": "set.safetensors",
        "within": None,
    }
    text = {name: [*value] if isinstance(value, tuple) else value for name, value in values.items() if name != "config"}
    text = {name: str(value) if isinstance(value, Path) else value for name, value in text.items()}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(text))
    result = cli("build", "--config", "small.yaml")
    assert result.code == 0, result.err
    proxy = ProxySet.load("set.safetensors")
    assert len(proxy.data) == 10
    assert json.dumps(proxy.provenance)
