"""Every source of a ranking by name, besides methods and proxy sets. To add one: its class, and one line here."""

from collections.abc import Container
from typing import Any

from proxyset.errors import InputError
from proxyset.registry import Registry
from search.sources.base import Source

SOURCES: Registry[type[Any]] = Registry(  # Any, because each source has fields of its own
    "source",
    "proxyset.sources",
    {
        "early-stop": "search.sources.trained:EarlyStop",
        "whole": "search.sources.trained:WholeSet",
        "tenth": "search.sources.trained:Tenth",
        "tenth-loss": "search.sources.trained:TenthLoss",
        "asha": "search.sources.asha:Asha",
        "params": "search.sources.free:ParameterCount",
        "macs": "search.sources.free:MultiplyAdds",
        "jacobian": "search.sources.free:JacobianCovariance",
        "naswot": "search.sources.free:ActivationCodes",
        "synflow": "search.sources.free:SynapticFlow",
    },
)
"""Sources by name, each imported when it is first asked for. `SOURCES.register(name, Class)` adds one of your own;
`package.module:Class` names one that lies in a module."""

FREE = ("params", "macs", "jacobian", "naswot", "synflow")
"""Those that stand beside every search unless `free` is off."""


def beside(named: Container[str], free: bool) -> list[str]:
    """The sources that stand beside a search's own.

    Args:
        named: its own.
        free: its setting.
    """
    return [name for name in FREE if free and name not in named]


def get_source(name: str) -> type[Source]:
    """The class of a source.

    Raises:
        InputError: unknown name (the message has the nearest), or what the name leads to is no source.
    """
    kind = SOURCES[name]
    if not is_source(kind):
        raise InputError(f"{name!r} is no source: it must be a subclass of search.sources.base.Source")
    return kind


def is_source(kind: object) -> bool:
    """Whether something is the class of a source."""
    return isinstance(kind, type) and issubclass(kind, Source)
