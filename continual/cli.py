"""The `continual` command: run, compare, report. Heavy imports wait until a command needs them."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn, TypeVar

import tyro
from pydantic import Field

from proxyset.config import Command, extract, parse, run, say, with_fields
from proxyset.settings import Compute, InputError, Settings

if TYPE_CHECKING:
    from continual.stream import Stream
    from proxyset.progress import Progress

C = TypeVar("C", bound=Command)
RUNS = Path("runs")


def main(argv: list[str] | None = None) -> NoReturn:
    commands = {
        "run": ("learn a stream of tasks with one memory", run_command),
        "compare": ("several memories with and without distillation over several seeds", compare_command),
        "report": ("print and draw the results of a run or a comparison", report_command),
    }
    run("continual", "Continual learning: rehearse on a condensed memory of earlier tasks.", commands, argv)


# run


class Run(Command):
    """Learn one task after another, rehearsing on a memory of the earlier ones. --out names the run's folder."""

    memory: str = Field(
        "dsa",
        description="what is remembered: a method (random, herding, dc, dsa, ...), none, joint (all data: the "
        "ceiling), or proxy-set files, one per task, separated by commas",
    )
    resume: bool = Field(False, description="go on after the last finished task of an interrupted run")


def run_command(argv: list[str]) -> None:
    from continual.experiment import estimate, learn_stream, prepare
    from continual.memory import Budget
    from continual.recipe import Learning
    from continual.report import print_report
    from continual.sources import check_settings, label
    from continual.stream import StreamChoice, load_stream
    from proxyset.engine import resolve_device

    command = parse(_with(Run, Learning, Budget, StreamChoice), argv, "continual run", pairs=True)
    compute = extract(command, Compute)
    device = resolve_device(command.device)
    budget, learning = extract(command, Budget), extract(command, Learning)
    stream = load_stream(extract(command, StreamChoice), data_root=command.data_root, seed=command.seed)
    check_settings(budget.memory_settings, (command.memory,))
    kept = prepare(stream, command.memory, budget, learning, seed=command.seed, compute=compute)
    name = f"{label(command.memory)}{'-kd' if learning.kd else ''}-seed{command.seed}"
    folder = command.out or RUNS / f"continual-{stream.name}-{name}"
    _make_ready(folder, [folder], command)
    kd = "with" if learning.kd else "without"
    _announce(stream, f"memory {command.memory}, {kd} distillation; {learning.choices()}")
    _say_estimate(*estimate(stream, kept, learning, device))
    with _resumable(folder):
        results = learn_stream(
            stream,
            command.memory,
            budget,
            learning,
            seed=command.seed,
            compute=compute,
            folder=folder,
            show=_line,
        )
    print(json.dumps(results)) if command.as_json else print_report([results])
    say(f"{folder}: results.json, results.csv and pictures")


def _with(command: type[C], *settings: type[Settings]) -> type[C]:
    for more in settings:
        command = with_fields(command, more)
    return command


def _make_ready(folder: Path, runs: Sequence[Path], command: Run | Compare) -> None:
    """See that the folder can be written and that nothing in it gets lost; --force removes what is there."""
    from continual.experiment import RESULTS, STATE
    from proxyset.checkpoint import check_writable

    check_writable(folder)
    for path in runs:
        old = [file for file in (path / STATE, path / RESULTS) if file.exists()]
        if old and not command.resume and not command.force:
            raise InputError(
                f"{str(path)!r} holds a run: --resume goes on, --force starts over, --out names another place"
            )
        if command.force:
            for file in old:
                file.unlink()


def _announce(stream: Stream, what: str) -> None:
    spec = stream.tasks[0].data.spec
    tasks = ", ".join(f"{task.name} ({len(task.data.train)} images)" for task in stream.tasks)
    kind = "class-incremental" if stream.grows else "domain-incremental"
    say(f"{kind}, {spec.channels}×{spec.size}×{spec.size}: {tasks}\n{what}")


def _say_estimate(condensing: float, learning: float) -> None:
    from proxyset.progress import duration

    memory = f"{duration(condensing)} to make the memory, " if condensing >= 1 else ""
    say(f"estimated: {memory}{duration(learning)} to learn")


def _line(title: str) -> Progress:
    """A progress line for one phase, ended when the phase is."""
    from proxyset.progress import ProgressLine

    line = ProgressLine(title)

    def show(done: int, total: int, loss: float | None = None) -> None:
        line(done, total, loss)
        if done >= total:
            line.close()

    return show


@contextlib.contextmanager
def _resumable(folder: Path) -> Iterator[None]:
    """Say after an interruption how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        if sys.stderr.isatty():
            say("")  # end the progress line
        raise KeyboardInterrupt(
            f"interrupted; finished tasks are kept in {str(folder)!r}: the same command with --resume goes on"
        ) from None


# compare


class Compare(Command):
    """Run every memory with and without distillation for every seed. --out names the folder of all these runs."""

    memory: tuple[str, ...] = Field(
        ("none", "random", "herding", "dsa", "joint"), description="memories, each as `continual run` takes it"
    )
    seeds: tuple[int, ...] = Field((0, 1, 2), description="one run for each of these seeds (in place of --seed)")
    kd: Literal["both", "with", "without"] = Field("both", description="with distillation, without it, or both")
    workers: int | None = Field(
        None,
        ge=1,
        description="runs at a time, through Ray (None: one per core but one, in turn on a GPU or two cores)",
    )
    resume: bool = Field(False, description="keep finished tasks and runs of an interrupted comparison, and go on")


def compare_command(argv: list[str]) -> None:
    from continual.compare import default_workers, draw, estimate_grid, grid, run_grid
    from continual.memory import Budget
    from continual.recipe import Recipe
    from continual.report import print_report
    from continual.sources import check_settings, label
    from continual.stream import StreamChoice
    from proxyset.engine import resolve_device
    from proxyset.methods import METHODS

    command = parse(_with(Compare, Recipe, Budget, StreamChoice), argv, "continual compare", pairs=True)
    if not command.memory or not command.seeds:
        raise InputError("nothing to compare: give at least one --memory and one of --seeds")
    compute = extract(command, Compute)
    device = resolve_device(command.device)
    check_settings(extract(command, Budget).memory_settings, tuple(METHODS))  # each memory takes those that it has
    choice = extract(command, StreamChoice)
    name = "-".join(map(label, choice.tasks)) or f"{label(choice.dataset)}-{choice.steps}steps"
    folder = command.out or RUNS / f"continual-compare-{name}"
    cells = grid(
        command.memory,
        command.seeds,
        command.kd,
        stream=choice,
        budget=extract(command, Budget),
        recipe=extract(command, Recipe),
        data_root=command.data_root,
        compute=compute,
        folder=folder,
    )
    _make_ready(folder, [cell.path for cell in cells], command)
    workers = command.workers or default_workers(device)
    _announce(cells[0].load(), f"{len(cells)} runs, {f'{workers} at a time' if workers > 1 else 'one after another'}")
    _say_estimate(*(seconds / workers for seconds in estimate_grid(cells)))
    with _resumable(folder):
        runs = run_grid(cells, workers)
    draw(runs, folder)
    print(json.dumps(runs)) if command.as_json else print_report(runs)
    say(f"{folder}: summary.json, results.csv, curves.png, and a folder for every run")


# report


class Report(Command):
    """Print the results in a folder of `continual run` or `compare`, and draw them again."""

    folder: tyro.conf.Positional[Path] = Field(Path(), description="a run's folder")


def report_command(argv: list[str]) -> None:
    from continual.compare import draw
    from continual.experiment import write_results
    from continual.report import print_report, read_runs

    command = parse(Report, argv, "continual report")
    runs = read_runs(command.folder)
    print(json.dumps(runs)) if command.as_json else print_report(runs)
    if len(runs) > 1:
        draw(runs, command.out or command.folder)
    else:
        write_results(command.out or command.folder, runs[0])


if __name__ == "__main__":
    main(sys.argv[1:])
