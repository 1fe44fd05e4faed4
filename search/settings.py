"""What a search can be told, in groups. The fields are the documentation, the flags and the YAML keys."""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, ValidationInfo, field_validator

from proxyset.settings import ClusterAddress, Compute, Distinct, SeedNumber, Settings
from proxyset.train.recipe import Recipe, Training

PAPER: dict[str, Any] = {
    "where": "",
    "epochs": 300,
    "whole_epochs": 100,
    "final_epochs": 100,
    "batch_size": 256,
    "validation": 0.1,
}
DIGITS: dict[str, Any] = {
    "size": 16,  # so that four poolings fit
    "where": "width<=32",
    "epochs": 150,  # of 2 minibatches: 300 updates, as many as in the paper
    "whole_epochs": 25,  # of 18 minibatches: 450 updates
    "final_epochs": 50,
    "validation": 0.2,  # 287 images: of a tenth, one image would be 0.7 %
    "batch_size": 64,
    "iterations": 20,
    "condense_net": "convnet-w32",
}
"""In place of the paper's values where the dataset is the embedded digits, chosen for two cores."""

SAMPLE = 60
SMALLEST_SHARE = 0.01  # of a GPU
MOST_REPEATS = 1000
MOST_WORKERS = 1024  # more are a slip: each is a process


class SpaceChoice(Settings):
    """Which architectures are ranked."""

    space: str | None = Field(
        None,
        description="nasbench201, or your own, as package.module:function that yields (name, builder): that code is "
        "run (default: the paper's 720)",
    )
    where: str | None = Field(
        None,
        description="keep a part of the 720, such as 'width<=64,norm=batch|none' (default: all; digits: width<=32)",
    )
    sample: int | Literal["all"] | None = Field(
        None, description=f"how many, drawn evenly over the five choices, or all (default: at most {SAMPLE})"
    )

    @field_validator("sample")
    @classmethod
    def _enough_to_rank(cls, value: int | str | None) -> int | str | None:
        if isinstance(value, int) and value < 2:
            raise ValueError("must be at least 2, because one architecture needs no ranking")
        return value

    @field_validator("where")
    @classmethod
    def _of_the_720(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value and info.data.get("space") is not None:
            raise ValueError("chooses among the 720 ConvNets and cannot restrict a `space` of your own")
        return value


class Comparison(Settings):
    """What the rankings are held against."""

    free: bool = Field(True, description="also rank by what costs no training: params, macs, jacobian, naswot, synflow")
    halving: Literal["instead", "beside"] | None = Field(
        None,
        description="rank on each proxy set by successive halving, instead of training all for all epochs or beside "
        "it: an eighth of the epochs for all, twice as many for the better half, and so on",
    )
    truth: str | None = Field(
        None, description="train on the whole set: all, sample:N or none (default: all; none where some are promoted)"
    )
    promote: int = Field(
        0,
        ge=0,
        description="in the end train this many of each ranking's best on the whole set, keep their weights, and test "
        "them; a finished run takes it with `resume`",
    )
    truth_file: Path | None = Field(
        None,
        description="a CSV file of published accuracies that are the truth in place of training: a header, and the "
        "architecture's name in the first column",
    )
    truth_column: str | None = Field(
        None, validate_default=True, description="the column of `truth_file` that is the truth"
    )
    rank_columns: Annotated[tuple[str, ...], Distinct] = Field(
        (), description="columns of `truth_file` by which to rank as well, such as one of shorter training"
    )

    @field_validator("truth")
    @classmethod
    def _readable(cls, value: str | None) -> str | None:
        if value is not None:
            truth_count(value)
        return value

    @field_validator("truth_column")
    @classmethod
    def _with_its_file(cls, value: str | None, info: ValidationInfo) -> str | None:
        if "truth_file" in info.data and (value is None) != (info.data["truth_file"] is None):
            raise ValueError("goes with `truth_file`: give both, or neither")
        return value

    @field_validator("rank_columns")
    @classmethod
    def _of_the_file(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if value and info.data.get("truth_file") is None:
            raise ValueError("are columns of `truth_file`, which is not given")
        return value


class TrialTraining(Training):
    """How an architecture is trained; what is not given is the paper's."""

    repeats: int = Field(
        1, ge=1, le=MOST_REPEATS, description="train each architecture this often and rank by the mean"
    )
    epochs: int | None = Field(
        None, ge=1, description="epochs on a proxy set; as many updates for early-stop (default: 300; digits: 150)"
    )
    whole_epochs: int | None = Field(None, ge=1, description="epochs on the whole set (default: 100; digits: 25)")
    final_epochs: int | None = Field(
        None,
        ge=1,
        description="epochs of the networks that `promote` trains; the best epoch by validation is kept (default: 100; "
        "digits: 50)",
    )
    batch_size: int | None = Field(  # type: ignore[assignment]  # open until the dataset is known
        None, ge=1, description="minibatch size, at most a proxy set's for early-stop (default: 256; digits: 64)"
    )

    score_images: int | None = Field(
        None, ge=1, description="score on so many of the images that rank, drawn once (default: all)"
    )

    def on_proxy(self) -> Recipe:
        """How an architecture is trained on a proxy set, once nothing is left open (`fill`)."""
        assert self.epochs is not None
        return self.recipe(self.epochs)

    def on_whole(self) -> Recipe:
        """How an architecture is trained on the whole set, once nothing is left open (`fill`)."""
        assert self.whole_epochs is not None
        return self.recipe(self.whole_epochs)

    def finally_(self) -> Recipe:
        """How a network to keep is trained, once nothing is left open (`fill`)."""
        assert self.final_epochs is not None
        return self.recipe(self.final_epochs)


class Condensing(Settings):
    """How a missing proxy set is built; for anything finer, build it with `proxyset build` and give the file."""

    ipc: int = Field(10, ge=1, description="images per class")
    iterations: int | None = Field(
        None, ge=1, description="iterations of a learned method (default: the method's; digits: 20)"
    )
    condense_net: str | None = Field(
        None, description="network that methods condense or choose with (default: the method's; digits: convnet-w32)"
    )
    build: bool = Field(True, description="build a proxy set that does not exist; without, the command is named")


class HeldOut(Settings):
    """Which images rank and choose."""

    validation: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="share of every class that ranks and chooses, kept out of all training (default: 0.1; digits: "
        "0.2; 0: the test split ranks)",
    )


class RankingSettings(Comparison, TrialTraining, Condensing, HeldOut):
    """How architectures are trained and compared: what `rank_architectures` takes as `settings`."""

    seed: SeedNumber = Field(0, description="every random choice derives from it")


class Execution(Settings):
    """Where the trials run."""

    workers: int | None = Field(
        None,
        ge=0,
        le=MOST_WORKERS,
        description="trials at once on this machine (default: as its cores allow; 0: one by one, without Ray)",
    )
    address: ClusterAddress | None = Field(None, description="a running Ray cluster: auto, or host:port")
    cpus_per_trial: int = Field(1, ge=1, description="cores, and torch threads, of a trial")
    gpus_per_trial: float | None = Field(
        None,
        ge=0,
        description="GPU share of a trial, such as 0.25 (default: an equal share for each worker; 0: no GPU)",
    )
    max_concurrent: int | None = Field(None, ge=1, description="most trials at once on a cluster")
    retries: int = Field(2, ge=0, description="how often a trial is started again after its worker died")

    @field_validator("address")
    @classmethod
    def _one_place(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("workers") is not None:
            raise ValueError("`workers` is for this machine; on a cluster use `max_concurrent`")
        return value

    @field_validator("gpus_per_trial")
    @classmethod
    def _that_ray_counts(cls, value: float | None) -> float | None:
        if value and (value < SMALLEST_SHARE or (value > 1 and value != int(value))):
            raise ValueError(f"must be a share from {SMALLEST_SHARE} to 1, or a whole number of GPUs")
        return value

    @field_validator("max_concurrent")
    @classmethod
    def _on_a_cluster(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None and "address" in info.data and info.data["address"] is None:
            raise ValueError("is for a cluster (`address`); on this machine use `workers`")
        return value


MAY_CHANGE = frozenset(
    {*Execution.model_fields, *Compute.model_fields, "build", "promote", "dataset", "data_root"} - {"precision"}
)
"""Settings of which a score does not depend, so that a resumed run may be given other values. The images themselves are
recognised by their content (`plan.json`), wherever they lie.
"""

S = TypeVar("S", bound=Settings)


def defaults(dataset: str, own_space: bool = False, truth: str = "all") -> dict[str, Any]:
    """What settings that were left open mean.

    Args:
        dataset: its name; the embedded digits have values of their own.
        own_space: whether a user's architectures are ranked.
        truth: see `usual_truth`.
    """
    values = PAPER | (DIGITS if dataset == "digits" else {}) | {"truth": truth}
    return values | {"where": ""} if own_space else values


def usual_truth(keeps: bool, truth_file: Path | None) -> str:
    """Which architectures get a truth where nothing is said: none where networks are kept in its place, for whole-set
    training is what costs; all where a table has it.
    """
    return "none" if keeps and truth_file is None else "all"


def fill(settings: S, dataset: str) -> S:
    """Fill in what was left open, so that the settings say everything.

    Args:
        settings: one of the groups above.
        dataset: its name.
    """
    truth = usual_truth(bool(getattr(settings, "promote", 0)), getattr(settings, "truth_file", None))
    values = defaults(dataset, getattr(settings, "space", None) is not None, truth)
    left_open = {name for name in type(settings).model_fields if getattr(settings, name) is None}
    return settings.model_copy(update={name: value for name, value in values.items() if name in left_open})


def truth_count(truth: str) -> int | None:
    """How many architectures `all` (None), `none` (0) or `sample:N` (N) train on the whole set."""
    word, _, count = truth.partition(":")
    if word == "sample" and count.isdigit() and int(count) >= 2:
        return int(count)
    if truth in ("all", "none"):
        return None if truth == "all" else 0
    raise ValueError("is all, none or sample:N with N of at least 2")
