"""What a search can be told. The fields are the documentation, the flags and the YAML keys."""

from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field

from proxyset.augment import ALL
from proxyset.config import Command, DataChoice
from proxyset.settings import Compute, InputError, Settings

PAPER: dict[str, Any] = {
    "where": "",
    "epochs": 300,
    "whole_epochs": 100,
    "batch_size": 256,
    "iterations": 1000,
    "condense_net": "convnet",
}
DIGITS: dict[str, Any] = {
    "size": 16,  # so that four poolings fit
    "where": "width<=32",
    "epochs": 150,  # of 2 minibatches: 300 updates, as many as in the paper
    "whole_epochs": 25,  # of 23 minibatches: 575 updates
    "batch_size": 64,
    "iterations": 20,
    "condense_net": "convnet-w32",
}
"""In place of the paper's values where the dataset is the embedded digits, chosen for two cores."""


class SpaceChoice(Settings):
    """Which architectures are ranked."""

    space: str | None = Field(
        None, description="your own, as package.module:function that yields (name, builder) (None: the paper's 720)"
    )
    where: str | None = Field(
        None, description="keep a part of the 720, such as 'width<=64,norm=batch|none' (None: all; digits: width<=32)"
    )
    sample: int | Literal["all"] = Field(60, description="how many, drawn evenly over the five choices, or all")


class Training(Settings):
    """How an architecture is trained; the defaults are the paper's."""

    repeats: int = Field(1, ge=1, description="train each architecture this often and rank by the mean")
    augment: str = Field(ALL, description="augmentation while training, such as crop_scale, or none")
    lr: float = Field(0.01, gt=0, description="learning rate; times 0.1 at half of the epochs")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of SGD")
    weight_decay: float = Field(5e-4, ge=0, description="weight decay")


class Pace(Settings):
    """For how long it is trained, as flags."""

    epochs: int | None = Field(
        None, ge=1, description="epochs on a proxy set; as many updates for early-stop (None: 300; digits: 150)"
    )
    whole_epochs: int | None = Field(None, ge=1, description="epochs on the whole set (None: 100; digits: 25)")
    batch_size: int | None = Field(
        None, ge=1, description="minibatch size, at most a proxy set's for early-stop (None: 256; digits: 64)"
    )


class Schedule(Training):
    """All of it, resolved: what a trial needs."""

    epochs: int = PAPER["epochs"]
    whole_epochs: int = PAPER["whole_epochs"]
    batch_size: int = PAPER["batch_size"]


class Proxies(Settings):
    """What ranks the architectures, and what its ranking is held against."""

    proxy: tuple[str, ...] = Field(
        ("dsa",),
        description="methods (dsa, random, ...), proxy set files, early-stop, or whole (again, as the noise ceiling)",
    )
    free: bool = Field(True, description="also rank by what costs no training: parameter count, Jacobian covariance")
    truth: str | None = Field(
        None, description="train on the whole set: all, sample:N or none (None: all, or none with --promote)"
    )
    promote: int = Field(0, ge=0, description="train this many of each proxy's best on the whole set")


class Condensing(Settings):
    """How a missing proxy set is built; for anything finer, build it with `proxyset build` and give the file."""

    ipc: int = Field(10, ge=1, description="images per class")
    iterations: int | None = Field(None, ge=1, description="outer iterations of dsa and dc (None: 1000; digits: 20)")
    condense_net: str | None = Field(
        None, description="network that methods condense or choose with (None: convnet; digits: convnet-w32)"
    )
    build: bool = Field(True, description="build a proxy set that does not exist; --no-build names the command instead")


class Execution(Settings):
    """Where and how the trials run; may change when a run is resumed."""

    workers: int | None = Field(
        None, ge=0, description="trials at once on this machine (None: as its cores allow; 0: one by one, without Ray)"
    )
    address: str | None = Field(None, description="a running Ray cluster: auto, or host:port")
    cpus_per_trial: int = Field(1, ge=1, description="cores, and torch threads, of a trial")
    gpus_per_trial: float = Field(0.0, ge=0, description="GPU share of a trial, such as 0.25")
    max_concurrent: int | None = Field(None, ge=1, description="most trials at once on a cluster")
    retries: int = Field(2, ge=0, description="how often a trial is started again after its worker died")


class Run(Execution, Condensing, Pace, Training, SpaceChoice, Proxies, DataChoice, Command):
    """Rank architectures on proxy sets and hold the ranking against training on the whole set."""

    resume: Path | None = Field(None, description="go on with this run's folder; only unfinished trials are run")


MAY_CHANGE = frozenset(
    {*Execution.model_fields, *Compute.model_fields, "resume", "out", "force", "as_json", "config", "build"}
)
"""What does not belong to the result, so that a resumed run may be given other values."""

S = TypeVar("S", bound=Settings)


def resolve(command: Run) -> Run:
    """Fill in what was left open, so that the stored settings say everything.

    Raises:
        InputError: a combination that has no meaning.
    """
    defaults = PAPER | DIGITS if command.dataset == "digits" else PAPER
    if command.space is not None:
        if command.where:
            raise InputError("--where chooses among the 720 ConvNets and cannot restrict a --space of your own")
        defaults = defaults | {"where": ""}
    defaults = defaults | {"truth": "none" if command.promote else "all"}
    if isinstance(command.sample, int) and command.sample < 2:
        raise InputError(f"sample must be at least 2, got {command.sample}: one architecture needs no ranking")
    if not command.proxy:
        raise InputError("--proxy names at least one source of a ranking, such as dsa")
    if command.address is not None and command.workers is not None:
        raise InputError("--workers is for this machine; on a cluster (--address) use --max-concurrent")
    truth_count(command.truth or "all")
    return command.model_copy(update={k: v for k, v in defaults.items() if getattr(command, k) is None})


def truth_count(truth: str) -> int | None:
    """How many architectures `all` (None), `none` (0) or `sample:N` (N) train on the whole set."""
    word, _, count = truth.partition(":")
    if word == "sample" and count.isdigit() and int(count) >= 2:
        return int(count)
    if truth in ("all", "none"):
        return None if truth == "all" else 0
    raise InputError(f"truth is all, none or sample:N with N of at least 2, got {truth!r}")


def part(command: Settings, settings: type[S]) -> S:
    """The group of `settings` that a command holds."""
    return settings(**{name: getattr(command, name) for name in settings.model_fields})
