"""Every method by name. To add one to the package: one file with its class, one line here."""

from typing import Any

from proxyset.errors import InputError
from proxyset.methods.base import Method
from proxyset.registry import Registry

METHODS: Registry[type[Any]] = Registry(  # Any, because each method has arguments of its own
    "method",
    "proxyset.methods",
    {
        "random": "proxyset.methods.coreset:Random",
        "herding": "proxyset.methods.coreset:Herding",
        "k-center": "proxyset.methods.coreset:KCenter",
        "k-means": "proxyset.methods.coreset:KMeans",
        "forgetting": "proxyset.methods.coreset:Forgetting",
        "entropy": "proxyset.methods.scored:Entropy",
        "el2n": "proxyset.methods.scored:EL2N",
        "grand": "proxyset.methods.scored:GraNd",
        "dc": "proxyset.methods.dsa:DC",
        "dsa": "proxyset.methods.dsa:DSA",
        "dm": "proxyset.methods.dm:DM",
        "krr": "proxyset.methods.krr:KRR",
        "kip": "proxyset.methods.kip:KIP",
        "dd": "proxyset.methods.dd:DD",
        "ld": "proxyset.methods.ld:LD",
        "gtn": "proxyset.methods.gtn:GTN",
        "mtt": "proxyset.methods.mtt:MTT",
    },
)
"""Methods by name, each imported when it is first asked for. `METHODS.register(name, Class)` adds one of your own;
`package.module:Class` names one that lies in a module."""


def get_method(name: str) -> type[Method]:
    """The class of a method.

    Raises:
        InputError: unknown name (the message has the nearest), or what the name leads to is no method.
    """
    method = METHODS[name]
    if not (isinstance(method, type) and issubclass(method, Method)):
        raise InputError(f"{name!r} is no method: it must be a subclass of proxyset.Method")
    return method
