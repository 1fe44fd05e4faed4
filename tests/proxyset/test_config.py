"""Settings and their loader; and every YAML file that the project ships parses and, shrunken, runs."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import Field

from proxyset.cli import Build, Eval, main
from proxyset.config import Command, extract, parse, peek, read_yaml, with_fields
from proxyset.evaluation import Evaluation
from proxyset.methods import DSA, METHODS
from proxyset.proxy import ProxySet
from proxyset.settings import InputError, Settings, nearest

CONFIGS = sorted((Path(__file__).resolve().parents[2] / "configs" / "proxyset").glob("*.yaml"))


class Example(Command):
    """For the tests."""

    count: int = Field(3, ge=1, description="a number")
    rate: float = Field(0.5, gt=0, description="another")
    fast: bool = Field(True, description="a switch")


def test_default_then_yaml_then_flags(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("count: 5\nrate: 0.25\nfast: false\ndata-root: there\n")
    assert parse(Example, [], "x").count == 3
    found = parse(Example, ["--config", str(file), "--rate", "2"], "x")
    assert (found.count, found.rate, found.fast, found.data_root) == (5, 2.0, False, Path("there"))
    assert parse(Example, [f"--config={file}", "--fast"], "x").fast is True
    assert parse(Example, ["--no-fast", "--json"], "x").as_json is True


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as raised:
        Example(cuont=1, rate=0, count="x")
    for words in ("unknown setting 'cuont' (did you mean 'count'?)", "rate: ", "got 0", "count: ", "got 'x'"):
        assert words in str(raised.value)
    assert "\n" not in str(raised.value)
    with pytest.raises(InputError, match=r"--cuont.*'--count'.*--rat.*'--rate'"):
        parse(Example, ["--cuont", "1", "--rat=3"], "x")


def test_settings_are_frozen() -> None:
    with pytest.raises(Exception, match="frozen"):
        Example().count = 4  # type: ignore[misc]


def test_a_methods_fields_become_flags_of_the_command() -> None:
    command = parse(with_fields(Build, DSA), ["--iterations", "7", "--lr-img", "0.2", "--ipc", "3"], "x")
    method = extract(command, DSA)
    assert (method.iterations, method.lr_img, method.momentum_img) == (7, 0.2, 0.5)
    assert command.ipc == 3  # type: ignore[attr-defined]


@pytest.mark.parametrize("settings", [*METHODS.values(), Evaluation])
def test_no_name_means_two_things_in_one_command(settings: type[Settings]) -> None:
    command = Eval if settings is Evaluation else Build
    assert not set(command.model_fields) & set(settings.model_fields)


def test_peek_reads_what_the_parser_will() -> None:
    assert peek(["--method", "dc"], "method") == "dc"
    assert peek(["--method=dc", "--method", "dsa"], "method") == "dsa"
    assert peek(["--methods", "dc"], "method") is None
    assert peek(["--method"], "method") is None


def test_nearest() -> None:
    assert nearest("hearding", METHODS) == "did you mean 'herding'?"
    assert nearest("HERDING", METHODS) == "did you mean 'herding'?"
    assert nearest("qqq", ["b", "a"]) == "known: a, b"


def words_of(config: Path) -> list[str]:
    first = config.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# proxyset "), f"{config} does not open with the command that runs it"
    return shlex.split(first.removeprefix("# proxyset "))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.stem)
def test_a_shipped_config_opens_with_the_command_that_runs_it(config: Path) -> None:
    words = words_of(config)
    assert any(word.endswith(f"configs/proxyset/{config.name}") for word in words), words
    assert words[0] in ("build", "eval")


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.stem)
def test_a_shipped_config_parses_and_its_shrunken_form_runs(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On digits, whose 16-pixel form every network here can take, with little of everything."""
    words = words_of(config)
    monkeypatch.chdir(config.parents[2])
    values = read_yaml(str(config))
    flags = words[1:]
    model = with_fields(Eval, Evaluation)
    if words[0] == "build":
        model = with_fields(Build, METHODS[peek(flags, "method") or values.get("method", "dsa")])
    command = parse(model, flags, "proxyset")  # as it stands, with the flags of its comment

    shrunken = {
        key: getattr(command, key)
        for key in model.model_fields
        if getattr(command, key) != model.model_fields[key].get_default() and key not in ("config", "files")
    }
    small: dict[str, Any] = {"iterations": 1, "inner_steps": 2, "net_epochs": 1, "epochs": 1, "batch_real": 4}
    small |= {"whole_epochs": 1, "dataset": "digits"} | ({"size": 16} if "size" in model.model_fields else {})
    shrunken |= {key: value for key, value in small.items() if key in model.model_fields}
    shrunken |= {"ipc": min(getattr(command, "ipc", 1), 2)} if words[0] == "build" else {"nets": 1}
    shrunken |= {"nets": 0, "seeds": (), "out": "set.safetensors"} if words[0] == "build" else {}
    monkeypatch.chdir(tmp_path)
    text = {key: [*value] if isinstance(value, tuple) else value for key, value in shrunken.items()}
    text = {key: str(value) if isinstance(value, Path) else value for key, value in text.items()}
    Path("small.yaml").write_text(yaml.safe_dump(text))
    files: list[str] = []
    if words[0] == "eval":
        run(["build", "--method", "random", "--size", "16", "--out", "set.safetensors"])
        files = ["set.safetensors"]
    run([words[0], *files, "--config", "small.yaml", "--force"])
    proxy = ProxySet.load("set.safetensors")
    assert proxy.provenance["scores"] if words[0] == "eval" else len(proxy.data)
    assert json.dumps(proxy.provenance)


def run(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(argv)
    assert not stop.value.code
