"""What tyro sees of a command: for each flag its name, how many words it takes, and the line of help.

The words are left as they are: pydantic turns them into values, the same for flags as for YAML, with every mistake at
once.
"""

import dataclasses
import re
from collections.abc import Callable
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import tyro
from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    UnsupportedTypeAnnotationError,
)

from proxyset.cli.options import Command, Flag, flags, flatten, groups


def make_form(command: Command, for_help: bool) -> type:
    """A dataclass of dataclasses, a group each, with the command's values as defaults.

    Args:
        for_help: show a switch that is off by default only as what turns it on.
    """
    model, values = type(command), flatten(command)
    fields: dict[str, list[Any]] = {group: [] for group in ("", *groups(model))}
    for flag in flags(model).values():
        value = values[flag.name]
        kind = _kind(flag, value, for_help)
        if kind is not None:
            fields[flag.group].append((flag.field, kind, dataclasses.field(default_factory=_constant(value))))
    top = fields.pop("")
    for group, entries in fields.items():
        part: Any = dataclasses.make_dataclass(group, entries)
        title = tyro.conf.arg(name=title_of(model, group), help="")
        kind = Annotated[(part, tyro.conf.OmitArgPrefixes, title)]
        top.append((group, kind, dataclasses.field(default_factory=part)))
    return dataclasses.make_dataclass(model.__name__, top)


def _constant(value: Any) -> Callable[[], Any]:
    return lambda: value


def title_of(model: type[Command], group: str) -> str:
    """What the help calls a group of flags: its field's title, or the opening of its class's docstring."""
    kind = groups(model)[group]
    return model.model_fields[group].title or (kind.__doc__ or group).split(".")[0].strip().lower()


def _kind(flag: Flag, default: Any, for_help: bool) -> Any:
    """The type of one field for tyro; None where a flag cannot give such a value."""
    kind: Any = Union[tuple(part for part in _parts(flag.info.annotation) if part is not NoneType)]  # noqa: UP007
    text = flag.info.description or ""
    if flag.is_switch:
        hint = "" if not default else f"(default: {flag.option})"
        argument = tyro.conf.arg(name=flag.name, help=text, help_behavior_hint=hint)
        marker = [tyro.conf.FlagCreatePairsOff] if for_help and default is False else []
        kind = (bool,) if isinstance(default, bool) else (bool | None, tyro.conf.DisallowNone)
        return Annotated[(*kind, *marker, argument)]
    spec = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(kind, parent_markers=set()))
    if isinstance(spec, UnsupportedTypeAnnotationError):
        return None
    positional = tyro.conf.Positional in flag.info.metadata
    hint = "" if positional or default in (None, (), [], {}, "") else "(default: {})"
    spec = spec if get_origin(kind) is dict else _as_words(spec)
    argument = tyro.conf.arg(
        name=flag.name, help=text, metavar=flag.info.title, help_behavior_hint=lambda value: hint.format(value)
    )
    return Annotated[(Any, *flag.info.metadata, spec, argument)]


def _parts(annotation: Any) -> tuple[Any, ...]:
    """The alternatives of a union; the type itself where it is none."""
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _as_words(spec: PrimitiveConstructorSpec[Any]) -> PrimitiveConstructorSpec[Any]:
    """`spec`, but what it gives are the words themselves: one, or a list where there can be another number of them."""

    def words(given: list[str]) -> Any:
        if spec.nargs != 1:
            return given
        return None if given == ["None"] else given[0]

    def shown(value: Any) -> list[str]:
        return [str(item) for item in value] if isinstance(value, tuple | list) else [str(value)]

    return PrimitiveConstructorSpec(
        nargs=spec.nargs,
        metavar=_as_people_write(spec.metavar),
        instance_from_str=words,
        is_instance=lambda value: True,
        str_from_instance=shown,
    )


def _as_people_write(metavar: str) -> str:
    """tyro's `[INT [INT ...]]` as `INT ...`, and `{all}` as `all`."""
    repeated = re.fullmatch(r"\[(.+) \[\1 \.\.\.\]\]", metavar)
    return re.sub(r"\{([^{},]+)\}", r"\1", f"{repeated[1]} ..." if repeated else metavar)
