"""Which method `proxyset build` uses. Its flags are needed to understand the others."""

from typing import Any

from pydantic import Field

from proxyset.cli.options import peek, read_yaml
from proxyset.methods import recommended
from proxyset.methods.registry import METHODS
from proxyset.settings import Settings


class Choice(Settings):
    """The method."""

    method: str = Field("dsa", description=f"{', '.join(METHODS)}, or package.module:Class, whose code is run")
    ipc: int = Field(1, description="images per class")


def asked_for(argv: list[str]) -> str | None:
    """The method that a flag or the file names."""
    name = _given(argv, "method")
    return None if name is None else str(name)


def without_a_name(argv: list[str]) -> str:
    """The method where none is named: the default, or with a clock what is recommended."""
    if _given(argv, "within") is None:
        return str(Choice.model_fields["method"].default)
    ipc = str(_given(argv, "ipc") or Choice.model_fields["ipc"].default)
    return recommended.name_for(
        int(ipc) if ipc.isdecimal() and len(ipc) < 10 else 1
    )  # what is no number is refused later


def _given(argv: list[str], name: str) -> Any:
    """A setting before the command line is understood."""
    value = peek(argv, name)
    return read_yaml(peek(argv, "config")).get(name) if value is None else value
