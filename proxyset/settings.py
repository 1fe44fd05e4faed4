"""Validated sets of named values; shared by the library and the command line."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from proxyset.errors import InputError, nearest


class Settings(BaseModel):
    """A frozen, validated set of named values; its fields are the documentation, the flags and the YAML keys.

    Raises:
        InputError: unknown names or ill-typed values, all of them in one line.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise InputError(_one_line(error, type(self))) from None


class Compute(Settings):
    """Where and how computation should run; a `Session` decides by it."""

    device: str = Field("auto", description="auto, cpu, cuda, cuda:N or mps")
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


def _one_line(error: ValidationError, model: type[BaseModel]) -> str:
    """Every problem of a validation error, separated by semicolons, each with its field and the value found."""
    problems = []
    for item in error.errors():
        field = ".".join(str(part) for part in item["loc"][:1]) or model.__name__
        if item["type"] == "extra_forbidden":
            problems.append(f"unknown setting {field!r} ({nearest(field, model.model_fields)})")
        else:
            message = item["msg"].removeprefix("Value error, ")
            problems.append(f"`{field}`: {message[0].lower()}{message[1:]}, got {item['input']!r}")
    return "; ".join(dict.fromkeys(problems))
