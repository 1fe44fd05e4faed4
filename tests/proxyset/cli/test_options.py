"""Commands made of groups of settings: defaults < YAML < flags, and names that cannot collide."""

from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import Field, model_validator

from proxyset.cli.build import Build
from proxyset.cli.eval import Eval
from proxyset.cli.export import Export
from proxyset.cli.options import (
    Command,
    ConfiguredCommand,
    Data,
    Output,
    Seed,
    change,
    compose,
    extract,
    flags,
    flatten,
    peek,
    with_group,
)
from proxyset.cli.parse import parse
from proxyset.cli.show import Show
from proxyset.data.choice import DataChoice
from proxyset.errors import InputError
from proxyset.methods.registry import METHODS, get_method
from proxyset.settings import Compute, Settings


class Numbers(Settings):
    """Numbers."""

    count: int = Field(3, ge=1, description="a number")
    rate: float | None = Field(0.5, gt=0, description="another")
    sample: int | Literal["all"] = Field(60, description="how many, or all")
    several: tuple[int, ...] = Field((), description="any number of them")


class Switches(Settings):
    """Switches."""

    fast: bool = Field(True, description="a switch")
    slow: bool = Field(False, description="another")
    either: bool | None = Field(None, description="yes, no, or what is best")


class Example(ConfiguredCommand):
    """For the tests."""

    numbers: Numbers = Field(Numbers(), title="numbers")
    switches: Switches = Field(Switches(), title="switches")
    data: Data = Field(Data(size=16), title="what you condense")
    compute: Compute = Field(Compute(), title="where it runs")
    output: Output = Field(Output(), title="output")


class Clashing(Settings):
    """Settings of a plug-in that knows nothing of the command's."""

    count: float = Field(0.25, description="has a namesake")
    force: bool = Field(True, description="has one too")
    lr_img: float = Field(0.1, gt=0, description="has none")


class Preset(Settings):
    """A group in which one value decides over the others that are not given."""

    kind: Literal["low", "high"] = Field("low", description="of both")
    level: int = Field(1, description="as the kind says")
    named: str = Field("x", description="no matter")
    loud: bool = Field(False, description="as the kind says")

    @model_validator(mode="before")
    @classmethod
    def _by_kind(cls, values: dict[str, Any]) -> dict[str, Any]:
        return ({"level": 9, "loud": True} if values.get("kind") == "high" else {}) | values


class Presets(ConfiguredCommand):
    """For the tests."""

    preset: Preset = Field(Preset(), title="preset")


Both = with_group(Example, Clashing, "flags of method clashing", "method")


def test_default_then_yaml_then_flags(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("count: 5\nrate: 0.25\nfast: false\ndata-root: there\n")
    assert parse(Example, [], "x").numbers.count == 3
    command = parse(Example, ["--config", str(file), "--rate", "2"], "x")
    assert (command.numbers.count, command.numbers.rate) == (5, 2.0)
    assert (command.switches.fast, command.data.data_root) == (False, Path("there"))
    assert parse(Example, [f"--config={file}", "--fast"], "x").switches.fast is True
    assert parse(Example, ["--no-fast", "--json"], "x").output.as_json is True


def test_a_commands_own_default_of_a_group_holds() -> None:
    assert parse(Example, [], "x").data.size == 16
    assert parse(Example, ["--channels", "3"], "x").data == Data(size=16, channels=3)


def test_values_are_understood_as_they_are_written() -> None:
    words = ["--sample", "all", "--several", "1", "2", "3", "--rate", "None", "--either", "--device", "cpu"]
    command = parse(Example, words, "x")
    assert (command.numbers.sample, command.numbers.several, command.numbers.rate) == ("all", (1, 2, 3), None)
    assert (command.switches.either, command.compute.device) == (True, "cpu")
    assert parse(Example, ["--sample", "7", "--no-either"], "x").numbers.sample == 7
    assert parse(Example, ["--no-either"], "x").switches.either is False
    assert parse(Example, ["--memory_limit=2.5"], "x").compute.memory_limit == 2.5


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as raised:
        compose(Example, {"cuont": 1, "rate": 0, "count": "x", "sample": "most"})
    for words in ("unknown setting 'cuont' (did you mean 'count'?)", "`rate`: ", "got 0", "`count`: ", "got 'x'"):
        assert words in str(raised.value)
    assert "\n" not in str(raised.value)
    with pytest.raises(InputError, match=r"--cuont.*'--count'.*--rat.*'--rate'"):
        parse(Example, ["--cuont", "1", "--rat=3"], "x")
    with pytest.raises(InputError, match=r"`count`: .*'x'.*`rate`: .*'-1'.*`precision`: .*'fp8'"):
        parse(Example, ["--count", "x", "--rate", "-1", "--precision", "fp8"], "x")


def test_a_settings_name_that_the_command_has_is_reached_by_its_prefix(tmp_path: Path) -> None:
    argv = ["--count", "7", "--method.count", "0.75", "--method.no-force", "--lr-img", "0.2"]
    command = parse(Both, argv, "x")
    assert (command.numbers.count, command.output.force) == (7, False)
    assert extract(command, Clashing) == Clashing(count=0.75, force=False, lr_img=0.2)
    assert extract(parse(Both, ["--method.lr-img=0.3", "--count=9"], "x"), Clashing) == Clashing(lr_img=0.3)
    file = tmp_path / "c.yaml"
    file.write_text("count: 8\nmethod.count: 0.5\nmethod.lr-img: 0.4\n")
    command = parse(Both, ["--config", str(file)], "x")
    assert (command.numbers.count, extract(command, Clashing).count, extract(command, Clashing).lr_img) == (8, 0.5, 0.4)


def test_mistakes_in_such_settings_name_what_the_command_calls_them() -> None:
    with pytest.raises(InputError, match=r"`method\.count`: .*'x'.*`lr_img`: .*'0'"):
        parse(Both, ["--method.count", "x", "--lr-img", "0"], "x")
    with pytest.raises(InputError, match=r"unknown flag --method\.cuont: did you mean '--method\.count'"):
        parse(Both, ["--method.cuont", "1"], "x")


def test_two_groups_of_a_command_cannot_share_a_name() -> None:
    class Wrong(Command):
        """Two seeds."""

        one: Seed = Seed()
        two: Seed = Seed()

    with pytest.raises(TypeError, match="seed"):
        flags(Wrong)


@pytest.mark.parametrize("model", [Build, Eval, Show, Export])
def test_no_name_means_two_things_in_one_command(model: type[Command]) -> None:
    assert flags(model)


@pytest.mark.parametrize("name", METHODS)
def test_the_built_in_methods_need_no_prefix(name: str) -> None:
    model = with_group(Build, get_method(name), f"flags of method {name}", "method")
    assert not [flag for flag in flags(model) if "." in flag]


@pytest.mark.parametrize("model", [Build, Eval, Show, Export])
def test_every_flag_says_what_it_is(model: type[Command]) -> None:
    for flag in flags(model).values():
        assert flag.info.description, flag


def test_flat_values_and_commands_are_two_forms_of_the_same() -> None:
    command = parse(Both, ["--size", "8", "--method.count", "1", "--json"], "x")
    values = flatten(command)
    assert (values["size"], values["method.count"], values["json"], values["count"]) == (8, 1.0, True, 3)
    assert compose(Both, values) == command
    assert change(command, size=32, json=False).data.size == 32
    with pytest.raises(InputError, match="`count`"):
        change(command, count=0)


def test_a_group_is_found_by_its_class_or_as_part_of_one() -> None:
    command = parse(Example, ["--dataset", "mnist"], "x")
    assert extract(command, Data).data_root == Path("data")
    assert extract(command, DataChoice) == DataChoice(dataset="mnist", size=16)
    with pytest.raises(TypeError, match="Seed"):
        extract(command, Seed)


def test_settings_are_frozen() -> None:
    with pytest.raises(Exception, match="frozen"):
        Example().numbers.count = 4  # type: ignore[misc]


def test_peek_reads_what_the_parser_will() -> None:
    assert peek(["--method", "dc"], "method") == "dc"
    assert peek(["--method=dc", "--method", "dsa"], "method") == "dsa"
    assert peek(["--methods", "dc"], "method") is None
    assert peek(["--method"], "method") is None


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], (1, "x", False)),
        (["--kind", "high"], (9, "x", True)),
        (["--kind=high", "--level", "1"], (1, "x", True)),  # given, though it is the default
        (["--kind", "high", "--level=1", "--no-loud"], (1, "x", False)),
        (["--kind", "high", "--named", "x", "--loud"], (9, "x", True)),
        (["--config", "high.yaml"], (9, "x", True)),
        (["--config", "high.yaml", "--level", "1"], (1, "x", True)),
        (["--config", "level.yaml", "--kind", "high"], (1, "x", True)),
        (["--config", "high.yaml", "--kind", "low"], (1, "x", False)),
    ],
)
def test_what_is_given_goes_before_what_another_setting_says(
    argv: list[str], expected: tuple[int, str, bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("high.yaml").write_text("kind: high\n")
    Path("level.yaml").write_text("level: 1\n")
    found = parse(Presets, argv, "example").preset
    assert (found.level, found.named, found.loud) == expected
