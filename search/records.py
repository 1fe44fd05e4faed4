"""What the files of a run may hold. Each carries a checksum of the rest under `sha256`, which is not part of these."""

import json
from collections.abc import Collection
from typing import Annotated, Any

from pydantic import ConfigDict, Field, model_validator

from proxyset.errors import InputError
from proxyset.parsing import Schema
from proxyset.settings import SeedNumber
from search.settings import MOST_REPEATS

Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


PLACES = "places"
"""In config.json: where what the run needs lies. That is no setting, and is in no report."""
WITHIN = "within"
"""In config.json: the seconds of the last limit that the run was given. A run that goes on has none by itself."""
INCIDENTAL = ("seconds", "file")
"""In sources.json: what may differ of the same source, such as a proxy set that was built again."""


class Config(Schema):
    """config.json: the settings by the names of their flags. These are read again; a run that goes on checks all."""

    model_config = ConfigDict(extra="allow")

    seed: SeedNumber
    repeats: Annotated[int, Field(ge=1, le=MOST_REPEATS)]
    promote: Count
    within: Annotated[float, Field(gt=0)] | None = None
    places: dict[str, str] = Field(default_factory=dict)  # older runs do not say it


class Plan(Schema):
    """plan.json: a hash of the data (of test images, too, but in older runs), and the architectures in their order."""

    data: str
    test: str | None = None
    names: Annotated[list[str], Field(min_length=1)]

    @model_validator(mode="after")
    def _distinct(self) -> "Plan":
        if len(set(self.names)) < len(self.names):
            raise ValueError("an architecture is named twice")
        return self


class Facts(Schema):
    """What sources.json holds of one source: what is read again, and what must not change."""

    model_config = ConfigDict(extra="allow")

    images: Count
    tiles: Annotated[int, Field(ge=1)] = 1
    seconds: Seconds
    kind: str | None = None
    free: bool | None = None  # runs of version 0.1 do not say it
    ranking: str = ""
    of: str = ""
    number: Count = 0


class Trial(Schema):
    """A line of rows.jsonl: `search.trial.Row`."""

    source: str
    name: str
    repeat: Count
    seed: SeedNumber
    width: Count | None
    depth: Count | None
    norm: str | None
    activation: str | None
    pooling: str | None
    parameters: Count | None
    score: float | None
    accuracy: Share | None
    seconds: Seconds
    threads: Annotated[int, Field(ge=1)] | None = None  # version 0.1 did not keep it
    error: str | None

    @model_validator(mode="after")
    def _score_or_error(self) -> "Trial":
        if (self.score is None) == (self.error is None):
            raise ValueError("a trial has a score or an error, and not both")
        return self


class Final(Schema):
    """A line of finals.jsonl: a network that was trained to be kept.

    Attributes:
        validation: its accuracy on the images that choose (None: none were held out).
        test: its accuracy on the test split.
        epoch: the one whose weights are kept.
        place: among the networks to keep, in the order in which they were to be trained, from 0.
    """

    name: str
    place: Count = 0
    validation: Share | None
    test: Share | None
    epoch: Annotated[int, Field(ge=1)] | None
    seconds: Seconds
    threads: Annotated[int, Field(ge=1)]
    error: str | None

    @model_validator(mode="after")
    def _test_or_error(self) -> "Final":
        if (self.test is None) == (self.error is None):
            raise ValueError("a network has a test accuracy or an error, and not both")
        return self


class Sources(Schema):
    """sources.json: the sources by name."""

    model_config = ConfigDict(extra="allow")

    __pydantic_extra__: dict[str, Facts]

    @model_validator(mode="before")
    @classmethod
    def _some(cls, value: Any) -> Any:
        if value == {}:
            raise ValueError("there is no source")
        return value


def settings_in(config: dict[str, Any], but: Collection[str] = (PLACES, WITHIN)) -> dict[str, Any]:
    """What config.json says, without what a run that goes on does not take over."""
    return {name: value for name, value in config.items() if name not in but}


def what_it_is(sources: dict[str, Any]) -> dict[str, Any]:
    """What sources.json says, without what is incidental."""
    return {
        name: {key: value for key, value in facts.items() if key not in INCIDENTAL} for name, facts in sources.items()
    }


def check_same(before: dict[str, Any], now: dict[str, Any], may_change: Collection[str]) -> None:
    """Raise `InputError` if a resumed run is given other settings than it began with."""
    changed = [name for name in before if name not in may_change and before[name] != now.get(name)]
    if changed:
        values = ", ".join(f"`{name}={before[name]}`" for name in changed)
        raise InputError(f"a run that goes on keeps its settings; it began with {values}")


def as_read(value: dict[str, Any]) -> dict[str, Any]:
    """As it comes back from a JSON file."""
    return dict(json.loads(json.dumps(value)))
