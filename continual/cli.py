"""The `continual` program and the flags of its commands."""

import sys
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import tyro
from pydantic import Field

from continual.settings import Budget, Learning, StreamChoice, TaskTraining
from proxyset.cli.app import run
from proxyset.cli.options import AsJson, Command, ConfiguredCommand, DataRoot, LogTo, Opened, Output, Seed
from proxyset.settings import ClusterAddress, Compute, Distinct, Seeds, Settings

COMMANDS = {
    "run": ("learn a stream of tasks with one memory", "continual.commands:run_command"),
    "compare": (
        "several memories with and without distillation over several seeds",
        "continual.commands:compare_command",
    ),
    "report": ("print and draw the results of a run or a comparison", "continual.commands:report_command"),
}


def main(argv: list[str] | None = None) -> NoReturn:
    run("continual", "Continual learning: rehearse on a condensed memory of earlier tasks.", COMMANDS, argv)


class StreamData(DataRoot, StreamChoice):
    """What is learned."""


class RunOutput(Output):
    """Output."""

    out: Path | None = Field(None, description="folder of all that comes out (default: one in runs/ that says what)")
    resume: bool = Field(False, description="go on after the last finished task of an interrupted run")


# run


class MemoryName(Settings):
    """What is remembered."""

    memory: str = Field(
        "dsa",
        description="a method (random, herding, dc, dsa, ..., or package.module:Class, whose code is run: name only "
        "what you trust), none, reservoir (a uniform draw), joint (all data: the ceiling), or proxy-set files, one per "
        "task, separated by commas",
    )


class OneMemory(Budget, MemoryName):
    """What is remembered."""


class LoggedOutput(LogTo, RunOutput):
    """Output."""


class RunCommand(ConfiguredCommand):
    """Learn one task after another, rehearsing on a memory of the earlier ones."""

    examples = (
        "continual run --memory dsa --kd",
        "continual run --memory herding --tasks svhn mnist usps",
        "continual run --memory my_method:Mean --dataset cifar100 --steps 5 --scheme gdumb",
    )

    memory: OneMemory = Field(OneMemory(), title="what is remembered")
    stream: StreamData = Field(StreamData(), title="what is learned")
    learning: Learning = Field(Learning(), title="how each task is learned")
    seed: Seed = Field(Seed(), title="randomness")
    compute: Compute = Field(Compute(), title="where it runs")
    output: LoggedOutput = Field(LoggedOutput(), title="output")


# compare


class MemoryNames(Settings):
    """What is compared."""

    memory: Annotated[tuple[str, ...], Distinct] = Field(
        ("none", "random", "herding", "dsa", "joint"), description="memories, each as `continual run` takes it"
    )
    kd: Literal["both", "with", "without"] = Field("both", description="with distillation, without it, or both")
    seeds: Seeds = Field((0, 1, 2), description="one run of each memory for each of these seeds")


class SeveralMemories(Budget, MemoryNames):
    """What is compared."""


class Placement(Compute):
    """Where the runs are done."""

    workers: int | None = Field(
        None, ge=1, description="runs at a time (default: one per core but one; one on two cores or a GPU)"
    )
    address: ClusterAddress | None = Field(
        None,
        description="a Ray cluster, auto or host:port; its machines must see the same folders, so give paths in full "
        "(default: this machine)",
    )


class CompareCommand(ConfiguredCommand):
    """Run every memory with and without distillation for every seed."""

    examples = (
        "continual compare --memory none random herding dsa joint --seeds 0 1 2",
        "continual compare --config configs/continual/domains.yaml --data-root data",
    )

    memory: SeveralMemories = Field(SeveralMemories(), title="what is compared")
    stream: StreamData = Field(StreamData(), title="what is learned")
    training: TaskTraining = Field(TaskTraining(), title="how each task is learned")
    placement: Placement = Field(Placement(), title="where it runs")
    output: RunOutput = Field(RunOutput(), title="output")


# report


class ReportOutput(Opened, AsJson):
    """Output."""

    out: Path | None = Field(None, description="folder for the page and the pictures (default: the run's)")


class ReportCommand(Command):
    """Print the results in a folder of `continual run` or `compare`, draw them again, and write them as a page."""

    examples = ("continual report runs/continual-compare-digits-5steps",)

    folder: tyro.conf.Positional[Path] = Field(Path(), title="RUN", description="a run's folder")
    output: ReportOutput = Field(ReportOutput(), title="output")


if __name__ == "__main__":
    main(sys.argv[1:])
