"""The reference of methods and commands, written from their settings when the site is built."""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NoReturn, get_args, get_origin
from unittest import mock

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

import proxyset.cli.parse
from proxyset.cli.options import Command, Flag, flags, groups, prefix_of
from proxyset.methods.registry import METHODS

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

METHODS_HERE = "<!-- methods -->"
PROGRAM_HERE = re.compile(r"<!-- program: (\w+) ([\w.]+) -->")
METHOD_FLAGS = """### Flags of the method

Each setting of the chosen [method](methods.md) is a flag, too: `--iterations 200`. Where the command has a flag of that
name itself, write `--method.NAME`, which always works."""
HEAD = "| {} | type | default | meaning |\n|---|---|---|---|\n"


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill in what a page leaves to the settings: `<!-- methods -->`, or `<!-- program: NAME MODULE -->`."""
    if METHODS_HERE in markdown:
        markdown = markdown.replace(METHODS_HERE, "\n".join(method_section(name) for name in METHODS))
    return PROGRAM_HERE.sub(lambda mark: program_sections(mark[1], mark[2]), markdown)


def method_section(name: str) -> str:
    """What a method is, and a table of its settings."""
    method = METHODS[name]
    rows = "".join(row(field, info) for field, info in method.model_fields.items())
    table = HEAD.format("setting") + rows if rows else "No settings.\n"
    return f"## {name}\n\n{words(method.__doc__)}\n\n{table}"


def program_sections(program: str, module: str) -> str:
    """A section for each command of a program."""
    return "\n".join(command_section(f"{program} {name}", where) for name, where in program_commands(module).items())


def program_commands(module: str) -> dict[str, str]:
    """The commands of the program whose `main` is in `module`: name → "module:function"."""
    program = importlib.import_module(module)
    with mock.patch.object(program, "run") as run:
        program.main([])
    return {name: where for name, (_, where) in run.call_args.args[2].items()}


def command_section(name: str, where: str) -> str:
    """What a command does, examples, and a table for each group of its flags; a method's own are on their own page."""
    model = command_model(where)
    parts = [f"## {name}", words(model.__doc__)]
    if model.examples:
        parts.append("```bash\n" + "\n".join(model.examples) + "\n```")
    for group in ("", *groups(model)):
        known = [flag for flag in flags(model).values() if flag.group == group]
        if prefix_of(model, group):
            parts.append(METHOD_FLAGS)
        elif known:
            title = model.model_fields[group].title if group else "arguments and files"
            table = HEAD.format("flag") + "".join(row(label(flag), flag.info) for flag in known)
            parts.append(f"### {(title or group).capitalize()}\n\n{table}")
    return "\n\n".join(parts) + "\n"


class Found(Exception):
    """Carries the settings class of a command."""


def command_model(where: str, argv: Sequence[str] = ()) -> type[Command]:
    """The settings of the command whose function is at `where`, "module:function"; it is stopped before any work.

    Args:
        argv: the words after the command's name; some commands have other settings by them (`--method`).
    """

    def stop(model: type[Command] | None) -> NoReturn:
        raise Found(model)

    module, _, function = where.partition(":")
    with mock.patch.object(proxyset.cli.parse, "remember", stop):
        try:
            getattr(importlib.import_module(module), function)(list(argv))
        except Found as found:
            return found.args[0]
    raise TypeError(f"{where} does not parse its words")


def label(flag: Flag) -> str:
    """How a flag is written; an argument without a flag is called by its title."""
    positional = any("positional" in str(marker).lower() for marker in flag.info.metadata)
    return str(flag.info.title) if positional else flag.option


def row(name: str, info: FieldInfo) -> str:
    return f"| `{name}` | {kind(info.annotation)} | {default(info)} | {words(info.description)} |\n"


def words(text: str | None) -> str:
    """A text on one line, as Markdown takes it in a table."""
    return " ".join((text or "").split()).replace("|", "\\|")


def kind(annotation: Any) -> str:
    """A type as people write it: INT, PATH, a choice of words, or several of one."""
    options = [part for part in get_args(annotation) if part is not type(None)]
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{part}`" for part in options)
    if get_origin(annotation) is tuple:
        return f"{kind(options[0])} …"
    if options:
        return " or ".join(kind(part) for part in options)
    names = {"int": "INT", "float": "NUMBER", "str": "TEXT", "Path": "PATH", "bool": "switch"}
    return names.get(getattr(annotation, "__name__", ""), str(annotation))


def default(info: FieldInfo) -> str:
    value = info.default
    if isinstance(value, bool):
        return "on" if value else "off"
    if value in (PydanticUndefined, None, (), ""):
        return ""
    return f"`{' '.join(map(str, value)) if isinstance(value, tuple) else value}`"
