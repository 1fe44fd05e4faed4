"""Commands made of groups of settings.

A command is a class whose fields are groups. A group is a `Settings` class; its fields are flags and YAML keys:

    class Build(ConfiguredCommand):
        '''Condense a dataset into a few images per class.'''
        examples = ("proxyset build --dataset mnist --ipc 10",)
        data: Data = Field(Data(), title="what you condense")      # the title of these flags in the help
        compute: Compute = Field(Compute(), title="where it runs")
        output: Output = Field(Output(), title="output")

    command = parse(Build, argv, "proxyset build")                  # defaults < YAML of --config < flags
    command.data.size, extract(command, Compute), flatten(command)  # a field, a group, all by name

Names are flat: field `lr_img` of any group is the flag `--lr-img` and the YAML key `lr_img` (or `lr-img`). Two groups
of a command cannot share a name, with one exception: a group that is added with a prefix (`with_group`) may have any.
Its field NAME is `--NAME` where the command has no such flag, and always `--PREFIX.NAME`. A field of the command
itself is a flag too, or with `tyro.conf.Positional` an argument. `title` of a flag replaces INT, PATH, ... in the help.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import Field, create_model, field_validator
from pydantic.fields import FieldInfo

from proxyset.data.choice import DataChoice
from proxyset.errors import InputError, nearest
from proxyset.loggers import LOGGERS
from proxyset.plain_yaml import read_yaml_mapping
from proxyset.settings import Distinct, SeedNumber, Settings


class Command(Settings):
    """What a command takes. Subclasses have groups as fields; their docstring opens the help."""

    examples: ClassVar[tuple[str, ...]] = ()


class ConfiguredCommand(Command):
    """One whose settings can also come from a file."""

    config: Path | None = Field(None, description="YAML file with defaults for any of these settings; flags win")


class DataRoot(Settings):
    """Where datasets are kept."""

    data_root: Path = Field(Path("data"), description="where torchvision's datasets lie or are downloaded to")


class Data(DataRoot, DataChoice):
    """What you condense."""

    def choices(self) -> dict[str, Any]:
        """The arguments of `proxyset.data.load.load` after its first."""
        return self.model_dump(exclude={"dataset"})


class Seed(Settings):
    """How random choices are made."""

    seed: SeedNumber = Field(0, description="every random choice derives from it")


class AsJson(Settings):
    """In which form the result is printed."""

    as_json: bool = Field(False, serialization_alias="json", description="print the result as JSON")


class Opened(Settings):
    """What is done with a page."""

    open_it: bool = Field(False, serialization_alias="open", description="show the page in this desktop's browser")


class LogTo(Settings):
    """Who is told while work runs."""

    log_to: Annotated[tuple[str, ...], Distinct] = Field(
        (), description="pass numbers on as they come: tensorboard, mlflow, or package.module:Class, whose code is run"
    )

    @field_validator("log_to")
    @classmethod
    def _are_known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [name for name in names if not LOGGERS.knows(name)]:
            raise ValueError(f"unknown logger, {nearest(unknown[0], LOGGERS)}")
        return names


class Place(Settings):
    """Where the result is written."""

    out: Path | None = Field(None, description="where the result goes")
    force: bool = Field(False, description="replace what is already there")


class Output(AsJson, Place):
    """Output."""


C = TypeVar("C", bound=Command)
S = TypeVar("S", bound=Settings)


@dataclasses.dataclass(frozen=True)
class Flag:
    """One setting of a command.

    Attributes:
        name: as YAML has it: `lr_img`, `method.nets`.
        group: the command's field that holds it; empty for a field of the command itself.
        field: its name there.
    """

    name: str
    group: str
    field: str
    info: FieldInfo

    @property
    def option(self) -> str:
        """What gives it, or turns it on."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def off(self) -> str:
        """What turns a switch off."""
        prefix, dot, name = self.option.removeprefix("--").rpartition(".")
        return f"--{prefix}{dot}no-{name}"

    @property
    def is_switch(self) -> bool:
        return self.info.annotation in (bool, bool | None)


def groups(model: type[Command]) -> dict[str, type[Settings]]:
    """The groups of a command by the fields that hold them."""
    fields = {name: info.annotation for name, info in model.model_fields.items()}
    return {name: kind for name, kind in fields.items() if isinstance(kind, type) and issubclass(kind, Settings)}


def flags(model: type[Command]) -> dict[str, Flag]:
    """Every setting of a command by its name, in the order of the help.

    Raises:
        TypeError: two groups without a prefix share a name.
    """
    parts = groups(model)
    top = {name: info for name, info in model.model_fields.items() if name not in parts}
    owned: dict[str, Flag] = {}
    for group, fields in {"": top, **{name: kind.model_fields for name, kind in parts.items()}}.items():
        prefix = prefix_of(model, group)
        for field, info in fields.items():
            name = info.serialization_alias or field
            if name in owned and not prefix:
                raise TypeError(f"{model.__name__}: {name} is in {owned[name].group!r} and in {group!r}")
            name = f"{prefix}.{name}" if name in owned else name
            owned[name] = Flag(name, group, field, info)
    return owned


def prefix_of(model: type[Command], group: str) -> str:
    """What a group's names can be prefixed with; empty where they cannot."""
    extra = model.model_fields[group].json_schema_extra if group else None
    return str(extra.get("prefix", "")) if isinstance(extra, dict) else ""


def prefixed(model: type[Command]) -> dict[str, str]:
    """For each setting of a group with a prefix, its full name and the one that `flags` has."""
    pairs = ((prefix_of(model, flag.group), flag) for flag in flags(model).values())
    return {f"{prefix}.{flag.info.serialization_alias or flag.field}": flag.name for prefix, flag in pairs if prefix}


def with_group(model: type[C], settings: type[Settings], title: str, prefix: str) -> type[C]:
    """`model` with one more group, the last: a method's settings, say. `extract(command, settings)` gives it."""
    field = Field(settings(), title=title, json_schema_extra={"prefix": prefix})
    fields: dict[str, Any] = {f"{prefix}_settings": (settings, field)}
    return create_model(model.__name__, __base__=model, __doc__=model.__doc__, **fields)


def extract(command: Command, settings: type[S]) -> S:
    """The group of a command that is of the class `settings`, or the part of a group that is."""
    for name in groups(type(command)):
        group = getattr(command, name)
        if type(group) is settings:
            return group
        if isinstance(group, settings):
            return settings(**{field: getattr(group, field) for field in settings.model_fields})
    raise TypeError(f"{type(command).__name__} has no {settings.__name__}")


def compose(model: type[C], values: Mapping[str, Any]) -> C:
    """A command from values by their names, with its defaults for the rest.

    Raises:
        InputError: unknown names or ill-typed values, all of them in one line that names settings in backticks.
    """
    known, full = flags(model), prefixed(model)
    problems, parts = [], {group: _defaults(model, group) for group in groups(model)}
    top: dict[str, Any] = {}
    for key, value in values.items():
        flag = known.get(full.get(key, key))
        if flag is None:
            problems.append(f"unknown setting {key!r} ({nearest(key, known)})")
        else:
            (parts[flag.group] if flag.group else top)[flag.field] = value
    for group, settings in groups(model).items():
        try:
            top[group] = settings(**parts[group])
        except InputError as error:
            problems.append(_by_flag(str(error), group, known.values()))
    try:
        command = model(**top)
    except InputError as error:
        problems.append(str(error))
    if problems:
        raise InputError("; ".join(problems))
    return command


def _defaults(model: type[Command], group: str) -> dict[str, Any]:
    """What a command's group has other than its class; the rest is left open, so that a group sees what is given."""
    value = model.model_fields[group].get_default(call_default_factory=True)
    return {name: getattr(value, name) for name in groups(model)[group].model_fields if name in value.model_fields_set}


def _by_flag(message: str, group: str, known: Iterable[Flag]) -> str:
    """A group's message with its fields called as the command calls them."""
    names = {flag.field: flag.name for flag in known if flag.group == group}
    return re.sub(r"`(\w+)", lambda match: f"`{names.get(match[1], match[1])}", message)


def flatten(command: Command) -> dict[str, Any]:
    """Every setting of a command by its name: `compose(type(command), flatten(command))` is the same command."""
    return {
        name: getattr(getattr(command, flag.group) if flag.group else command, flag.field)
        for name, flag in flags(type(command)).items()
    }


def change(command: C, **values: Any) -> C:
    """A copy of a command with other values for some names, validated."""
    return compose(type(command), flatten(command) | values)


def peek(argv: Sequence[str], name: str) -> str | None:
    """The value of one flag, before the command line is understood; of several the last, as the parser has it."""
    value = None
    for position, argument in enumerate(argv):
        if argument == f"--{name}" and position + 1 < len(argv):
            value = argv[position + 1]
        elif argument.startswith(f"--{name}="):
            value = argument.split("=", 1)[1]
    return value


def read_yaml(path: str | None) -> dict[str, Any]:
    """The mapping in a YAML file with its keys as names of settings; empty without a file.

    Raises:
        InputError: unreadable, no mapping, or beyond the limits of `proxyset.plain_yaml`.
    """
    return {} if path is None else read_yaml_mapping(Path(path))
