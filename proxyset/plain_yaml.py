"""YAML without what a file of settings has no use for: tags, merges, many aliases, one key twice."""

from pathlib import Path
from typing import Any

import yaml

from proxyset.errors import InputError, one_line
from proxyset.parsing import DEEPEST, check_depth, read_text
from proxyset.settings import LARGEST_INT, short

LARGEST_TEXT = 2**16
MOST_ALIASES = 16
MOST_VALUES = 10_000  # with aliases written out
_TAGS = tuple(f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map"))


_CONSTRUCTORS = {tag: yaml.SafeLoader.yaml_constructors[tag] for tag in (*_TAGS, None)}
_RESOLVERS = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag in _TAGS]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _Loader(yaml.SafeLoader):
    """Plain values only. Dates stay text."""

    yaml_constructors = _CONSTRUCTORS
    yaml_implicit_resolvers = _RESOLVERS

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.aliases = self.depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            self.aliases += 1
            if self.aliases > MOST_ALIASES:
                raise yaml.MarkedYAMLError(
                    None, None, f"more than {MOST_ALIASES} aliases", self.peek_event().start_mark
                )
        self.depth += 1
        if self.depth > DEEPEST:
            problem = f"nested too deeply, at most {DEEPEST} levels are read"
            raise yaml.MarkedYAMLError(None, None, problem, self.peek_event().start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        mapping = super().construct_mapping(node, deep)
        if len(mapping) < len(node.value):
            seen: set[Any] = set()
            for key_node, _ in node.value:
                key = self.construct_object(key_node, deep=True)
                if key in seen:
                    raise yaml.MarkedYAMLError(None, None, f"the key {key!r} is there twice", key_node.start_mark)
                seen.add(key)
        return mapping


def read_yaml_mapping(path: Path, *, limit: int = LARGEST_TEXT) -> dict[str, Any]:
    """The mapping in a YAML file, with its keys as names of settings (`lr-img` is `lr_img`).

    Raises:
        InputError: as `read_bytes`; no mapping; a key twice, deep nesting, many aliases, tags beyond plain values,
            infinite numbers, or a key `config`: a config names no other.
    """
    where = f"the config {str(path)!r}"
    try:
        text = read_text(path, limit)
    except InputError as error:
        raise InputError(str(error).replace(f"cannot read {str(path)!r}", f"cannot read {where}")) from None
    values = parse_yaml(text, where)
    if not isinstance(values, dict):
        raise InputError(f"{where} must be a mapping of settings to values")
    named: dict[str, Any] = {}
    for key, value in values.items():
        name = str(key).replace("-", "_")
        if name in named:
            raise InputError(f"{where} has the setting {short(name)} twice")
        named[name] = value
    if "config" in named:
        raise InputError(f"{where} cannot name a config itself: put all settings into one file")
    return named


def parse_yaml(text: str, where: str) -> Any:
    """The value of a YAML text: mappings, lists, text, finite numbers, true, false and nothing.

    Args:
        where: what the text is, for messages.

    Raises:
        InputError: no YAML, or YAML beyond the limits of this module.
    """
    try:
        loader = _Loader(text)
        try:
            value = loader.get_single_data()
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"cannot read {where}: {one_line(error)}") from None
    check_depth(value, where, MOST_VALUES)
    _check_numbers(value, where, "")
    return value


def _check_numbers(value: Any, where: str, place: str) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            _check_numbers(item, where, f"{place}{key}.")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _check_numbers(item, where, f"{place}{number}.")
    elif isinstance(value, float) and not abs(value) < float("inf"):
        raise InputError(f"{where}: {place.rstrip('.')}: {value} is no finite number")
    elif isinstance(value, int) and abs(value) >= LARGEST_INT:
        raise InputError(f"{where}: {place.rstrip('.')}: the integer is too large")
