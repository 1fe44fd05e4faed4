"""Validated sets of named values; shared by the library and the command line."""

import re
import reprlib
from collections import Counter
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from proxyset.errors import InputError, nearest

LARGEST_INT = 2**63  # from which torch and numpy have none

KeepAs = Literal["float32", "float16", "uint8"]
"""How a file keeps the values of images: in 4, 2 or 1 bytes each (`proxyset.artefact.storage`)."""


UNITS = {"h": 3600, "min": 60, "s": 1}


def _seconds(value: Any) -> Any:
    """A duration in words as seconds; anything else as it is."""
    if not isinstance(value, str) or not value.strip():
        return value
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*(h|min|s)(?![a-z])", value.lower())
    rest = re.sub(r"(\d+(?:\.\d+)?)\s*(h|min|s)(?![a-z])", "", value.lower()).strip()
    if not parts or rest:
        if re.fullmatch(r"\d+(\.\d+)?", value.strip()):
            raise ValueError(f"needs a unit, such as {value.strip()}min or {value.strip()}s")
        raise ValueError("must be a duration such as 90s, 20min or 1h30min")
    return sum(float(number) * UNITS[unit] for number, unit in parts)


Duration = Annotated[float, BeforeValidator(_seconds), Field(gt=0, le=10 * 365 * 24 * 3600)]
"""Seconds; in words 90s, 20min, 1h30min."""


def _cluster_address(value: str) -> str:
    host, _, port = value.rpartition(":")
    if value != "auto" and not (re.fullmatch(r"[^\s/]+", host) and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError("must be auto or host:port")
    return value


ClusterAddress = Annotated[str, AfterValidator(_cluster_address)]
"""Where a running Ray cluster is: auto, or host:port."""


BYTES = {"B": 1, "kB": 1000, "KiB": 1024, "MB": 1000**2, "MiB": 1024**2, "GB": 1000**3, "GiB": 1024**3}


def _byte_count(value: Any) -> Any:
    """A number of bytes in words as a number; anything else as it is."""
    if not isinstance(value, str):
        return value
    units = {name.lower(): size for name, size in BYTES.items()}
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]+)", value.strip().lower())
    if found is None or found[2] not in units:
        raise ValueError(f"must be a number of bytes such as 300KiB or 2MB (units: {', '.join(BYTES)})")
    return int(float(found[1]) * units[found[2]])


ByteCount = Annotated[int, BeforeValidator(_byte_count), Field(ge=1)]
"""Bytes; in words 300KiB, 2MB."""


MAX_SEED = 2**32 - 1  # what every generator that is seeded takes

SeedNumber = Annotated[int, Field(ge=0, le=MAX_SEED)]


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    twice = [value for value, count in Counter(values).items() if count > 1]
    if twice:
        raise ValueError(f"names {twice[0]} twice")
    return values


Distinct = AfterValidator(_distinct)
"""For a tuple of which nothing may come twice: `Annotated[tuple[str, ...], Distinct]`."""


def _some(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if not values:
        raise ValueError("needs at least one value")
    return values


Seeds = Annotated[tuple[SeedNumber, ...], AfterValidator(_some), Distinct]
"""Several seeds: at least one, none twice, each within its bounds."""


class Settings(BaseModel):
    """A frozen, validated set of named values; its fields are the documentation, the flags and the YAML keys.

    Raises:
        InputError: unknown names or ill-typed values, all of them in one line.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise InputError(_one_line(error, type(self))) from None

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """pydantic takes true for 1, which a slip in a file means hardly ever."""
        kinds = _leaves(cls.model_fields[str(info.field_name)].annotation)
        if (
            kinds & {int, float}
            and not kinds & {bool, Any}
            and any(item is True or item is False for item in _flat(value))
        ):
            raise ValueError("must be a number, true and false are none")
        return value

    @field_validator("*", mode="after")
    @classmethod
    def _integers_fit(cls, value: Any) -> Any:
        """Later, torch would end in an OverflowError."""
        if any(isinstance(item, int) and abs(item) >= LARGEST_INT for item in _flat(value)):
            raise ValueError("must be below 2**63")
        return value


class Compute(Settings):
    """Where and how computation should run; a `Session` decides by it."""

    device: str = Field(
        "auto",
        description="auto, cpu, cuda, cuda:N or mps; several with commas between (cuda:0,cuda:1), to which dc and dsa "
        "share out the classes",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto",
        description="of convolutions and products (auto: fp32; bf16 is faster on hardware made for it)",
    )
    compile: Literal["auto", "on", "off"] = Field(
        "auto", description="compile the steps of the work (auto: where that saves more time than it takes)"
    )
    memory_limit: float | None = Field(
        None, gt=0, description="keep the work under this many GiB by smaller micro-batches (default: no limit)"
    )

    @field_validator("compile", mode="before")
    @classmethod
    def _as_yaml_reads_it(cls, value: Any) -> Any:
        """YAML takes a bare `on` for true and `off` for false."""
        return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value


def _leaves(annotation: Any) -> set[Any]:
    """The types that an annotation is made of."""
    if get_origin(annotation) is Literal:
        return set()
    inner = get_args(annotation)[:1] if get_origin(annotation) is Annotated else get_args(annotation)
    if inner:
        return set().union(*map(_leaves, inner))
    return {annotation} if isinstance(annotation, type) or annotation is Any else set()


def _flat(value: Any) -> list[Any]:
    """A value, or the items of a list or tuple of values."""
    return list(value) if isinstance(value, list | tuple) else [value]


def problems(error: ValidationError) -> list[tuple[str, str]]:
    """Every problem of a validation error, once each: its place (`names.3`), and what is wrong with what is there."""
    found = []
    for item in error.errors(include_url=False, include_context=False):
        words = (
            item["msg"].removeprefix("Value error, ").replace("Input should", "should").replace("should be", "must be")
        )
        value = "" if item["type"] == "missing" else f", got {short(item['input'])}"
        found.append((".".join(str(part) for part in item["loc"]), f"{words[:1].lower()}{words[1:]}{value}"))
    return list(dict.fromkeys(found))


def _one_line(error: ValidationError, model: type[BaseModel]) -> str:
    """Every problem of a validation error, separated by semicolons, each with its field and the value found."""
    lines = []
    for item in error.errors():
        field = ".".join(str(part) for part in item["loc"][:1]) or model.__name__
        if item["type"] == "extra_forbidden":
            lines.append(f"unknown setting {short(field)} ({nearest(field, model.model_fields)})")
        else:
            message = item["msg"].removeprefix("Value error, ")
            lines.append(f"`{field}`: {message[0].lower()}{message[1:]}, got {short(item['input'])}")
    return "; ".join(dict.fromkeys(lines))


def short(value: Any, limit: int = 80) -> str:
    """`repr` of a value on one line of at most `limit` characters, whatever the value."""
    try:
        words = repr(value[: 2 * limit]) if isinstance(value, str | bytes) else " ".join(_REPR.repr(value).split())
    except Exception:  # an integer of thousands of digits, or a foreign object
        words = f"a value of type {type(value).__name__}"
    return words if len(words) <= limit else f"{words[: limit - 1]}…"


_REPR = reprlib.Repr()
_REPR.maxlist = _REPR.maxtuple = _REPR.maxdict = 10
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 80
