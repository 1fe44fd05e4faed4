"""Every method by name. To add one: one file with its class, one line here."""

from proxyset.methods.base import Method
from proxyset.methods.coreset import Forgetting, Herding, KCenter, Random
from proxyset.methods.gradient import DC, DSA
from proxyset.settings import InputError, nearest

METHODS: dict[str, type[Method]] = {
    "random": Random,
    "herding": Herding,
    "k-center": KCenter,
    "forgetting": Forgetting,
    "dc": DC,
    "dsa": DSA,
}

__all__ = ["DC", "DSA", "METHODS", "Forgetting", "Herding", "KCenter", "Method", "Random", "get_method"]


def get_method(name: str) -> type[Method]:
    """The class of a method.

    Raises:
        InputError: unknown name; the message has the nearest.
    """
    if name not in METHODS:
        raise InputError(f"unknown method {name!r}: {nearest(name, METHODS)}")
    return METHODS[name]
