"""Settings: of their types and finite, whoever gives them; every problem in one line."""

from typing import Any, Literal

import pytest
from pydantic import Field

from proxyset.cli.grid import Workers
from proxyset.errors import InputError
from proxyset.settings import Compute, Duration, Settings, short


class Example(Settings):
    count: int = Field(1, ge=1)
    rate: float | None = 0.5
    seeds: tuple[int, ...] = ()
    on: bool = False
    either: bool | int = False
    form: Literal["a", "b", 1] = "a"
    name: str = ""
    anything: Any = None


@pytest.mark.parametrize(
    "values",
    [
        {"count": "2", "rate": "0.25", "seeds": ["1", 2], "on": "true"},  # as a command line gives them
        {"count": 2, "rate": None, "seeds": (1, 2), "on": True, "either": True, "anything": True},
        {"count": 2**63 - 1, "rate": 1},
    ],
)
def test_values_of_their_types_are_taken(values: dict[str, Any]) -> None:
    assert isinstance(Example(**values).count, int)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"count": True}, "`count`: must be a number, true and false are none, got True"),
        ({"rate": False}, "`rate`: must be a number"),
        ({"seeds": [1, True]}, "`seeds`: must be a number"),
        ({"rate": float("inf")}, "`rate`: .*finite"),
        ({"rate": float("nan")}, "`rate`: .*finite"),
        ({"rate": "inf"}, "`rate`: .*finite"),
        ({"rate": "1e999"}, "`rate`: .*finite"),
        ({"count": 2**63}, "`count`: must be below"),
        ({"count": "9" * 30}, "`count`: must be below"),
        ({"count": 10**5000}, "`count`: "),
        ({"seeds": [2**70]}, "`seeds`: must be below"),
        ({"count": 0}, "`count`: .*greater than or equal to 1, got 0"),
        ({"name": "x", "nam": 1}, "unknown setting 'nam'.*did you mean 'name'"),
        ({"form": "c"}, "`form`"),
        ({"name": 7}, "`name`"),
    ],
    ids=range(15),
)
def test_values_that_cannot_be_meant_are_one_line(values: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as raised:
        Example(**values)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 300


def test_all_problems_are_said_at_once() -> None:
    with pytest.raises(InputError, match=r"`count`: .*; `rate`: .*; unknown setting 'more'"):
        Example(**{"count": 0, "rate": "x", "more": 1})


def test_yaml_may_write_on_and_off_bare() -> None:
    assert Compute(compile=True).compile == "on"
    assert Compute(compile=False).compile == "off"


@pytest.mark.parametrize(
    "value",
    ["x" * 10_000, [[[[[[[[[1]]]]]]]]], list(range(10_000)), 10**5000, b"\0" * 999, {1: {2: "x" * 999}}],
    ids=["text", "nested", "long", "huge", "bytes", "mapping"],
)
def test_a_value_in_a_message_is_short(value: object) -> None:
    assert len(short(value)) <= 80
    assert "\n" not in short(value)


def test_a_value_that_cannot_be_shown_is_named_by_its_type() -> None:
    class Odd:
        def __repr__(self) -> str:
            raise RuntimeError

    assert "Odd" in short(Odd())


class Timed(Settings):
    time: Duration = Field(1.0, description="")


@pytest.mark.parametrize(
    ("words", "seconds"),
    [("90s", 90), ("20min", 1200), ("1h30min", 5400), ("1.5h", 5400), ("2 h 10 min", 7800), ("1H", 3600), (12.5, 12.5)],
)
def test_durations_are_read_as_people_write_them(words: Any, seconds: float) -> None:
    assert Timed(time=words).time == seconds


@pytest.mark.parametrize("words", ["20", "20 m", "min", "", "-5min", "0s", "1h later", "20minutes", "99999999h", True])
def test_what_is_no_duration_is_refused_in_one_line(words: Any) -> None:
    with pytest.raises(InputError, match="time"):
        Timed(time=words)


@pytest.mark.parametrize(
    "address", ["foo", "local", "host:", ":6379", "host:0", "host:70000", "http://host:1", "a b:1"]
)
def test_what_is_no_address_of_a_cluster(address: str) -> None:
    with pytest.raises(InputError, match="must be auto or host:port"):
        Workers(address=address)


@pytest.mark.parametrize("address", [None, "auto", "10.0.0.1:6379", "head:65535"])
def test_addresses_of_clusters(address: str | None) -> None:
    assert Workers(address=address).address == address
