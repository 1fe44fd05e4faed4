"""From what a user calls a memory to where its images come from."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from continual.learner import with_learner
from continual.method_provider import MethodProvider
from continual.providers import AllData, FileProvider, Provider
from continual.reservoir import Reservoir
from continual.settings import JOINT, NONE, RESERVOIR, SMALL, Budget
from continual.trainer import Trainer
from proxyset.errors import InputError, nearest
from proxyset.methods.base import Method
from proxyset.methods.registry import METHODS, get_method
from proxyset.names import path_name
from proxyset.plain_yaml import parse_yaml
from proxyset.registry import is_reference
from proxyset.settings import short

SUFFIX = ".safetensors"
SMALL_DEFAULTS: dict[str, dict[str, Any]] = {name: {"iterations": 30, "net_epochs": 10} for name in ("dc", "dsa")}

MemoryChoice = str | Path | Sequence[str | Path] | Method
"""What a memory is called: `none`, `joint`, `reservoir`, a method (its name, "dm formation=2", or one with its
settings), or proxy-set files."""


def provider_for(memory: MemoryChoice, budget: Budget, trainer: Trainer, *, ranks_by_learner: bool) -> Provider | None:
    """Where the memory of a run comes from; None for `none`.

    Args:
        ranks_by_learner: whether the memory of a task is made when the network has just learned it from its full data;
            methods that rank by features then use that network in place of one of their own.

    Raises:
        InputError: neither a method nor a file, or a setting that it does not have.
    """
    name, own = split_memory(memory_name(memory))
    if isinstance(memory, Method):
        if budget.memory_settings:
            raise InputError("`memory_settings` are for a method by name; this one has its settings already")
        method = memory
    else:
        check_settings(budget.memory_settings, (name,))
        plain = _plain_provider(name, budget, trainer)
        if own and (name == NONE or plain is not None):
            raise InputError(f"`memory`: {name} has no settings, got {' '.join(own)}")
        if name == NONE or plain is not None:
            _refuse_learner(budget, name)
            return plain
        method = method_for(name, (*_left(budget.memory_settings, own), *own), trainer.net, trainer.spec.size)
    if budget.condense_with == "learner":
        if not ranks_by_learner:
            raise InputError(
                "`condense_with=learner` needs a network that has learned the task from all of its data: "
                "`scheme=eeil` with `current_data=full`"
            )
        method = with_learner(method, trainer.net, trainer.spec.size)
    return MethodProvider(
        method,
        budget.store,
        trainer.seed,
        trainer.session,
        trainer.show,
        ranks_by_learner=ranks_by_learner,
        kept=budget.keep_as,
        learner=budget.condense_with == "learner",
    )


def _plain_provider(name: str, budget: Budget, trainer: Trainer) -> Provider | None:
    """The source of a memory that is no method."""
    if name == JOINT:
        return AllData()
    if name == RESERVOIR:
        return Reservoir(trainer.stream, trainer.seed)
    if name.endswith(SUFFIX):
        paths = tuple(Path(part).expanduser() for part in name.split(","))
        return FileProvider(trainer.stream, paths, budget.keep_as)
    return None


def _refuse_learner(budget: Budget, name: str) -> None:
    if budget.condense_with == "learner":
        raise InputError(f"`condense_with=learner`: {name} condenses nothing")


def split_memory(name: str) -> tuple[str, tuple[str, ...]]:
    """A memory's name and the settings that follow it: "dm formation=2" is dm with that formation."""
    first, *rest = [name] if name.endswith(SUFFIX) else name.split() or [""]
    return first, tuple(rest)


def _left(choices: Sequence[str], own: Sequence[str]) -> tuple[str, ...]:
    """Settings for all memories but for those that this memory sets itself."""
    return tuple(choice for choice in choices if not read_settings((choice,)).keys() & read_settings(own).keys())


def memory_name(memory: MemoryChoice) -> str:
    """A memory as the command line names it."""
    if isinstance(memory, Method):
        return memory.name
    return ",".join(map(str, memory)) if not isinstance(memory, str | Path) else str(memory)


def label(memory: str) -> str:
    """A memory's name as it goes into file names: that of the method, of its class, or of the first file."""
    name, own = split_memory(memory)
    stem = name.partition(":")[2] if is_reference(name) else Path(name.split(",")[0]).stem
    return "-".join([stem, *own])


def folder_name(memory: str, before: str = "", after: str = "", *, longest: int = 100) -> str:
    """What a memory's folder is called: its label between some words.

    Where that is longer than so many bytes, a digest stands for the settings, because a name that is cut would be that
    of other settings too.
    """
    full = label(memory)
    whole = path_name(f"{before}{full}{after}", longest=longest)
    if whole == path_name(f"{before}{full}{after}", longest=2 * longest):
        return whole
    digest = hashlib.sha256(full.encode()).hexdigest()[:8]
    room = max(1, longest - len(f"{before}-{digest}{after}".encode()))
    stem = path_name(label(split_memory(memory)[0]), longest=room)
    return path_name(f"{before}{stem}-{digest}{after}", longest=longest)


def short_names(memories: Sequence[str]) -> dict[str, str]:
    """For each memory a name that fits into a legend: what it is called, and those of its settings that tell it from
    others of that name; "…" stands for the rest.
    """
    parts = {memory: split_memory(memory) for memory in memories}
    shared = {
        name: set[str].intersection(*(set(settings) for other, settings in parts.values() if other == name))
        for name, _ in parts.values()
    }
    names = {}
    for memory, (name, own) in parts.items():
        telling = [setting for setting in own if setting not in shared[name]]
        names[memory] = " ".join([name, *telling, *(["…"] if shared[name] else [])])
    return names


def method_for(name: str, choices: Sequence[str], net: str, size: int) -> Method:
    """A method with the learner's network, then the defaults for small images, then the user's `name=value` settings.

    Raises:
        InputError: an unknown method or setting, or a bad value.
    """
    if not METHODS.knows(name):
        hint = nearest(name, [*METHODS, NONE, JOINT, RESERVOIR])
        raise InputError(f"unknown memory {name!r}: {hint} (or proxy-set files, separated by commas)")
    method = get_method(name)
    values = {"net": net} if "net" in method.model_fields else {}
    values |= SMALL_DEFAULTS.get(name, {}) if size < SMALL else {}
    try:
        return method(**values | read_settings(choices))
    except InputError as error:
        raise InputError(f"`memory_settings`: {str(error).removeprefix('`memory_settings`: ')}") from None


def check_settings(choices: Sequence[str], names: Sequence[str]) -> None:
    """Raise `InputError` for a setting that none of the named memories has."""
    settings = read_settings(choices)
    known = {field for name in names if settings for field in _fields(name)}
    for key in settings:
        if key not in known:
            hint = nearest(key, known) if known else f"{', '.join(names)} has none"
            raise InputError(f"`memory_settings`: unknown setting {key!r}: {hint}")


def settings_of(name: str, choices: Sequence[str]) -> tuple[str, ...]:
    """Those of some `name=value` settings that a memory has."""
    return tuple(choice for choice in choices if read_settings((choice,)).keys() & _fields(name))


def _fields(memory: str) -> set[str]:
    """The settings that a memory has."""
    name, _ = split_memory(memory)
    return set(get_method(name).model_fields) if METHODS.knows(name) else set()


def read_settings(choices: Sequence[str]) -> dict[str, Any]:
    """Settings as `name=value`, the values read as YAML.

    Raises:
        InputError: not of this form, or one named twice.
    """
    values: dict[str, Any] = {}
    for choice in choices:
        key, sign, value = choice.partition("=")
        name = key.strip().replace("-", "_")
        if not sign or not name:
            raise InputError(f"`memory_settings` are of the form name=value, got {short(choice)}")
        if name in values:
            raise InputError(f"`memory_settings` names {name!r} twice")
        try:
            values[name] = parse_yaml(value, "the value")
        except InputError as error:
            raise InputError(f"`memory_settings` are of the form name=value, got {short(choice)} ({error})") from None
    return values
