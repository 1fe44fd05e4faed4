"""What the commands take: groups of flags."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from annotated_types import MinLen
from pydantic import Field, ValidationInfo, field_validator

from proxyset.cli.options import Command, ConfiguredCommand, Data, LogTo, Opened, Output, Seed, change, flatten
from proxyset.settings import Compute, Distinct, Duration, Settings
from search.settings import (
    Comparison,
    Condensing,
    Execution,
    HeldOut,
    RankingSettings,
    SpaceChoice,
    TrialTraining,
    defaults,
    usual_truth,
)

RUNS = Path("runs")
NOT_STORED = ("resume", "trust", "within", "out", "config", "force", "json", "log_to")
NO_CODE = (
    "dataset",
    "data_root",
    "address",
    "device",
    "truth",
    "truth_file",
)  # settings in which a colon names no code


class Proxies(Settings):
    """What ranks the architectures."""

    proxy: Annotated[tuple[str, ...], MinLen(1), Distinct] = Field(
        ("dsa",),
        description="methods (dsa, random, or package.module:Class, whose code is run), proxy set files, early-stop, "
        "tenth, tenth-loss, asha, whole (again: the noise ceiling), or another source by name",
    )


class Rankings(Comparison, Proxies):
    """What ranks the architectures, and what a ranking is held against."""


class TimeLimit(Settings):
    """How long it may take."""

    within: Duration | None = Field(
        None,
        title="DURATION",
        description="stop after this time, such as 30min; a new run takes as many architectures, epochs and networks "
        "to keep as fit, at most what the other flags say",
    )


class RunData(HeldOut, Data):
    """What a search is on."""

    def choices(self) -> dict[str, Any]:
        """The search itself holds images out, because it must know the whole."""
        return super().choices() | {"validation": 0.0}


class RunOutput(LogTo, Output):
    """Where the result goes."""

    resume: Path | None = Field(None, description="go on with this run's folder; only unfinished trials are run")
    trust: bool = Field(
        False, description="run the code that the resumed run names (package.module:...), whoever made its folder"
    )

    @field_validator("trust")
    @classmethod
    def _of_a_folder(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("resume") is None:
            raise ValueError("is for `resume`")
        return value


class RunSettings(ConfiguredCommand):
    """Rank architectures on proxy sets and hold the ranking against training on the whole set."""

    examples = (
        "search run --proxy dsa",
        "search run --proxy dsa random --dataset cifar10 --sample all --address auto --gpus-per-trial 0.25",
        "search run --proxy dsa --promote 5",
        "search run --proxy dsa random --within 30min",
        "search run --resume runs/search-digits-dsa-seed0",
    )

    rankings: Rankings = Field(Rankings(), title="what ranks")
    space: SpaceChoice = Field(SpaceChoice(), title="what is ranked")
    data: RunData = Field(RunData(), title="on which images")
    training: TrialTraining = Field(TrialTraining(), title="how an architecture is trained")
    condensing: Condensing = Field(Condensing(), title="how a missing proxy set is built")
    limit: TimeLimit = Field(TimeLimit(), title="how long")
    execution: Execution = Field(Execution(), title="where the trials run")
    compute: Compute = Field(Compute(), title="how it is computed")
    randomness: Seed = Field(Seed(), title="random choices")
    output: RunOutput = Field(RunOutput(), title="output")

    @property
    def ranking(self) -> RankingSettings:
        """What `rank_architectures` takes as settings."""
        values = flatten(self)
        return RankingSettings(**{name: values[name] for name in RankingSettings.model_fields})

    @property
    def folder(self) -> Path:
        """Where the run is kept."""
        name = f"search-{Path(self.data.dataset).stem}-{_short(self.rankings.proxy[0])}-seed{self.randomness.seed}"
        return self.output.out or RUNS / name


class ReportOutput(Opened, Output):
    """Where the result goes."""

    out: Path | None = Field(None, description="where the files go (default: into the run's folder)")


class ReportSettings(Command):
    """A page, tables, results and figures of a run, from its files."""

    examples = ("search report runs/search-digits-dsa-seed0",)

    run: tyro.conf.Positional[Path] = Field(Path(), title="RUN", description="the run's folder")
    output: ReportOutput = Field(ReportOutput(), title="output")


class KeptNetwork(Settings):
    """Which network."""

    arch: str | None = Field(None, description="one of those that the run keeps (default: the best by validation)")
    trust: bool = Field(False, description="run the code that the run's space names, whoever made its folder")


class ExportOutput(Output):
    """What is written."""

    format: Literal["torch", "onnx", "torchscript"] = Field(
        "torch", description="a program of torch.export, ONNX (needs proxyset[onnx]), or TorchScript"
    )
    out: Path | None = Field(None, description="the folder (default: export-FORMAT in the run's)")


class ExportSettings(Command):
    """Write a network that a run keeps, with a script of ten lines that uses it without this toolkit."""

    examples = (
        "search export runs/search-digits-dsa-seed0",
        "search export runs/search-digits-dsa-seed0 --format onnx --out model/",
    )

    run: tyro.conf.Positional[Path] = Field(Path(), title="RUN", description="the run's folder")
    network: KeptNetwork = Field(KeptNetwork(), title="which network")
    output: ExportOutput = Field(ExportOutput(), title="output")


class Answers(Output):
    """What is printed, and where it goes."""

    top: int = Field(1, ge=1, description="so many classes of each picture, the most probable first")
    out: Path | None = Field(
        None, description="also write a table to this file, .csv: path, class, probability (default: nowhere)"
    )
    force: bool = Field(False, description="replace a table that an earlier call wrote there")


class PredictSettings(Command):
    """Classify pictures with a network that a run keeps."""

    examples = (
        "search predict runs/search-digits-dsa-seed0 my_digit.png",
        "search predict runs/search-digits-dsa-seed0 scans/ --out digits.csv",
    )

    run: tyro.conf.Positional[Path] = Field(Path(), title="RUN", description="the run's folder")
    pictures: tyro.conf.Positional[tuple[Path, ...]] = Field(
        (), title="PICTURE ...", description="image files, or folders of them"
    )
    network: KeptNetwork = Field(KeptNetwork(), title="which network")
    output: Answers = Field(Answers(), title="output")


def resolve(command: RunSettings) -> RunSettings:
    """The command with nothing left open."""
    values = flatten(command)
    keeps = bool(command.rankings.promote) or command.limit.within is not None
    truth = usual_truth(keeps, values["truth_file"])
    meaning = defaults(command.data.dataset, command.space.space is not None, truth)
    return change(command, **{name: value for name, value in meaning.items() if values[name] is None})


def stored(command: RunSettings) -> dict[str, Any]:
    """What a run's folder keeps of its settings."""
    return {name: _plain(value) for name, value in flatten(command).items() if name not in NOT_STORED}


def code_of(settings: Mapping[str, Any]) -> list[str]:
    """The code of a user's own that settings name, as package.module:name."""
    texts = [
        text
        for name, value in settings.items()
        if name not in NO_CODE
        for text in (value if isinstance(value, list | tuple) else [value])
        if isinstance(text, str)
    ]
    return [reference for text in texts for reference in re.findall(r"[^\W\d][\w.]*:[^\W\d]\w*", text)]


def _plain(value: Any) -> Any:
    """As JSON has it."""
    return str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value


def _short(proxy: str) -> str:
    """A proxy's name for a folder's."""
    return proxy.rpartition(":")[2] if ":" in proxy else Path(proxy).stem
