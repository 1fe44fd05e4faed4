"""Things by name: built-in ones, those that other packages offer, and those that a user names by module."""

import importlib
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from proxyset.errors import InputError, nearest
from proxyset.settings import short

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """Names to objects. Iteration gives the names that are known without a module: built in, registered, entry points.

    `registry[name]` also takes `package.module:Attribute`, which is imported (modules in the working folder are found,
    as with `python -m`). Names keep their case.

    Args:
        kind: what it holds, in words, for messages: "method", "network".
        group: the entry-point group in which other packages offer more, such as `proxyset.methods`.
        builtin: name → object, or name → "module:Attribute", imported on first use.
    """

    def __init__(self, kind: str, group: str, builtin: Mapping[str, T | str]) -> None:
        self.kind, self.group = kind, group
        self._entries: dict[str, T | str] = dict(builtin)
        self._offered: dict[str, EntryPoint] | None = None

    def register(self, name: str, entry: T) -> T:
        """Add an object of this process under a new name; returns it.

        Raises:
            InputError: the name is taken, or has a colon or a space.
        """
        if name in self._entries or name in self._entry_points():
            raise InputError(f"there is already a {self.kind} {name!r}")
        if not name or ":" in name or any(character.isspace() for character in name):
            raise InputError(f"a {self.kind} cannot be called {name!r}: no spaces, no colon")
        self._entries[name] = entry
        return entry

    def __getitem__(self, name: str) -> T:
        """
        Raises:
            InputError: unknown name (the message has the nearest), or it cannot be imported.
        """
        entry = self._entries.get(name)
        if entry is None and name in self._entry_points():
            entry = self._entries[name] = self._load(name, self._entry_points()[name])
        if entry is None and ":" in name:
            return import_object(name, self.kind)  # not kept: a notebook may import the module anew
        if entry is None:
            own = f"your own {self.kind} is named package.module:name"
            raise InputError(f"unknown {self.kind} {short(name)}: {nearest(name, self)} ({own})")
        if isinstance(entry, str):
            module, _, attribute = entry.partition(":")
            entry = self._entries[name] = getattr(importlib.import_module(module), attribute)
        return entry

    def __contains__(self, name: object) -> bool:
        return name in set(self)

    def __iter__(self) -> Iterator[str]:
        return (name for name in {**self._entries, **self._entry_points()} if ":" not in name)

    def __len__(self) -> int:
        return len(list(iter(self)))

    def knows(self, name: str) -> bool:
        """Whether `registry[name]` can be tried: a known name, or one that says its module."""
        return name in self or is_reference(name)

    def _entry_points(self) -> dict[str, EntryPoint]:
        if self._offered is None:
            self._offered = {point.name: point for point in entry_points(group=self.group)}
        return self._offered

    def _load(self, name: str, point: EntryPoint) -> Any:
        try:
            return point.load()
        except Exception as error:  # whatever another package's module raises
            raise InputError(f"cannot load the {self.kind} {name!r} of {point.value}: {describe(error)}") from None


def is_reference(name: str) -> bool:
    """Whether a name says where the object is: `package.module:Attribute`."""
    module, colon, attribute = name.partition(":")
    return bool(colon) and attribute.isidentifier() and all(part.isidentifier() for part in module.split("."))


def import_object(reference: str, kind: str) -> Any:
    """The object that `package.module:Attribute` names; modules in the working folder are found.

    Raises:
        InputError: it cannot be imported.
    """
    if not is_reference(reference):
        raise InputError(f"a {kind} of your own is named package.module:name, got {reference!r}")
    module, _, attribute = reference.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return getattr(importlib.import_module(module), attribute)
    except Exception as error:  # whatever a user's module raises
        raise InputError(f"cannot load the {kind} {reference!r}: {describe(error)}") from None


def library(module: str, extra: str) -> ModuleType:
    """A library that is installed only where its extra was asked for.

    Raises:
        InputError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise InputError(f"this needs the library {module!r}: pip install 'proxyset[{extra}]'") from None


def describe(error: Exception) -> str:
    """The type and the words of a foreign exception, on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())
