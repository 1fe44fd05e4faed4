"""Conditions on the 720 ConvNets, such as `width<=64,norm=batch|none`."""

import operator
import re
from collections.abc import Callable

from proxyset.errors import InputError, nearest
from proxyset.nets.arch import SPACE_720, is_count

Condition = tuple[str, Callable[[int | str], bool]]
"""A choice, and whether a value of it will do."""

ORDERS: dict[str, Callable[[int, int], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}


def parse_where(where: str) -> list[Condition]:
    """Conditions as (choice, predicate); commas mean and, bars mean or.

    Raises:
        InputError: an unknown choice or value, with the nearest; an order asked of a choice that has none.
    """
    return [_condition(part.strip()) for part in where.split(",") if part.strip()]


def _condition(text: str) -> Condition:
    match = re.fullmatch(r"(\w+)\s*(<=|>=|!=|==|=|<|>)\s*([\w|\s]+)", text)
    if match is None:
        raise InputError(f"cannot read the condition {text!r}: write for example width<=64 or norm=batch|none")
    name, sign = match[1].lower(), match[2]
    if name not in SPACE_720:
        raise InputError(f"unknown choice {name!r} in {text!r}: {nearest(name, SPACE_720)}")
    values = [_value(name, word.strip().lower(), text) for word in match[3].split("|")]
    if sign in ("=", "=="):
        return name, lambda value: value in values
    if sign == "!=":
        return name, lambda value: value not in values
    limit, compare = values[0], ORDERS[sign]
    if len(values) > 1 or not isinstance(limit, int):
        raise InputError(f"{text!r} asks for an order: that needs width or depth and a single number")
    return name, lambda value: compare(int(value), limit)


def _value(name: str, word: str, text: str) -> int | str:
    known = SPACE_720[name]
    if isinstance(known[0], int) and is_count(word):
        return int(word)  # also one that no architecture has, as a limit
    if word in known:
        return word
    raise InputError(f"unknown {name} {word!r} in {text!r}: {nearest(word, map(str, known))}")
