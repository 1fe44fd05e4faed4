"""What the header of an artefact may hold, and whether its tensors are what the header says."""

from typing import Annotated, Any

import torch
from pydantic import ConfigDict, Field, field_validator, model_validator

from proxyset.data.choice import SIZES
from proxyset.data.formation import SMALLEST_TILE
from proxyset.data.images import ImageSet
from proxyset.data.spec import DatasetSpec
from proxyset.errors import InputError
from proxyset.parsing import Schema, check

MOST_CLASSES = 2**20
Mean = Annotated[float, Field(ge=-1e6, le=1e6)]
Deviation = Annotated[float, Field(ge=1e-9, le=1e6)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Open(Schema):
    """Facts of which only some are used; the others are kept as they are."""

    model_config = ConfigDict(extra="allow")


class SpecHeader(Schema):
    """A `DatasetSpec` as a file has it."""

    name: str
    channels: int
    size: int = Field(ge=SIZES[0], le=SIZES[-1])
    class_names: list[str] = Field(min_length=1, max_length=MOST_CLASSES)
    mean: list[Mean]
    std: list[Deviation]
    flip: bool = True

    @field_validator("channels")
    @classmethod
    def _grey_or_colour(cls, channels: int) -> int:  # of a Literal, true would be 1
        if channels not in (1, 3):
            raise ValueError("must be 1 or 3")
        return channels

    @model_validator(mode="after")
    def _one_for_each_channel(self) -> "SpecHeader":
        if not len(self.mean) == len(self.std) == self.channels:
            raise ValueError(f"needs a mean and a std for each of {self.channels} channels")
        return self

    def spec(self) -> DatasetSpec:
        names, mean, std = tuple(self.class_names), tuple(self.mean), tuple(self.std)
        return DatasetSpec(self.name, self.channels, self.size, names, mean, std, self.flip)


class _Source(_Open):
    """Where the dataset came from."""

    source: str | None = None
    sha256: str | None = None
    images: int | None = Field(None, ge=0)
    test_fraction: float | None = None


class _Protocol(_Open):
    epochs: int | None = Field(ge=0)


class _Score(_Open):
    """One result of `proxyset eval`."""

    net: str
    seed: int
    protocol: _Protocol
    accuracies: list[Share] = Field(min_length=1)
    seconds: float = Field(ge=0)


class Provenance(_Open):
    """The facts that this toolkit reads again."""

    method: str = ""
    settings: dict[str, Any] = Field({})
    ipc: int = Field(1, ge=1)
    seed: int = Field(0, ge=0)
    seconds: float = Field(0, ge=0)
    dataset: _Source = _Source()
    scores: list[_Score] = Field([])


class Header(Schema):
    """The JSON in the header of an artefact."""

    format: int = Field(ge=1)
    spec: SpecHeader
    provenance: Provenance
    formation: int = Field(1, ge=1, le=SIZES[-1] // SMALLEST_TILE)


def read_header(header: Any, complaint: str) -> Header:
    """
    Args:
        complaint: how a message begins.

    Raises:
        InputError: it is not what a header may hold.
    """
    return check(header, Header, complaint)


def check_content(data: ImageSet, spec: DatasetSpec, complaint: str) -> None:
    """
    Raises:
        InputError: images, labels or targets that are not those of a proxy set of `spec`.
    """
    problem = _problem(data, spec)
    if problem:
        raise InputError(f"{complaint}: {problem}")


def _problem(data: ImageSet, spec: DatasetSpec) -> str | None:
    count, shape = len(data), (spec.channels, spec.size, spec.size)
    if data.images.dtype != torch.float32 or data.images.shape[1:] != shape:
        return (
            f"images must be float32 N×{'×'.join(map(str, shape))}, got {data.images.dtype} {tuple(data.images.shape)}"
        )
    if data.formation > 1 and spec.size // data.formation < SMALLEST_TILE:
        return f"tiles of {spec.size // data.formation} pixels are too small"
    if not count or count % spec.classes:
        return f"{count} images of {spec.classes} classes are not equally many of each"
    if not torch.equal(data.labels, torch.arange(spec.classes).repeat_interleave(count // spec.classes)):
        return "labels must be ordered by class, with equally many of each"
    if data.targets is not None and data.targets.shape[-1] != spec.classes:
        return f"targets of {data.targets.shape[-1]} classes, but there are {spec.classes}"
    return None
