"""Validated sets of named values."""

from typing import Any

import pytest
from pydantic import Field

from proxyset.errors import InputError
from proxyset.settings import Compute, Settings


class Mine(Settings):
    count: int = Field(1, ge=1)
    name: str = "x"


def test_values_are_checked_and_stay() -> None:
    mine = Mine(count=3)
    assert (mine.count, mine.name) == (3, "x")
    with pytest.raises(ValueError):
        mine.count = 4  # type: ignore[misc]
    assert mine == Mine(count=3)
    assert hash(mine) == hash(Mine(count=3))


def test_all_mistakes_are_told_at_once_in_one_line() -> None:
    with pytest.raises(InputError) as raised:
        Mine(count=0, name=3, cuont=1)  # type: ignore[call-arg]
    message = str(raised.value)
    assert "`count`" in message
    assert "got 0" in message
    assert "`name`" in message
    assert "unknown setting 'cuont' (did you mean 'count'?)" in message
    assert "\n" not in message


@pytest.mark.parametrize(("value", "read"), [(True, "on"), (False, "off"), ("on", "on"), ("auto", "auto")])
def test_yaml_takes_on_and_off_for_truth_values(value: Any, read: str) -> None:
    assert Compute(compile=value).compile == read


@pytest.mark.parametrize("setting", [{"precision": "fp16"}, {"compile": "maybe"}, {"memory_limit": 0}, {"device": 3}])
def test_a_computation_that_cannot_be_is_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"`{next(iter(setting))}`"):
        Compute(**setting)
