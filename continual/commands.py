"""What the commands do. Heavy imports wait until the flags are understood, so that --help is fast."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from continual import folder as folders
from continual.cli import CompareCommand, Placement, ReportCommand, RunCommand, RunOutput
from continual.settings import Budget, StreamChoice
from proxyset.advice import advice
from proxyset.cli.app import say
from proxyset.cli.messages import again
from proxyset.cli.options import extract, flatten
from proxyset.cli.parse import parse
from proxyset.errors import MOST_TO_LIST, InputError, interruptible
from proxyset.names import clean_name, path_name
from proxyset.settings import Compute

if TYPE_CHECKING:
    import torch

    from continual.api import StreamRun
    from continual.compare import Cell
    from continual.estimate import Estimate
    from continual.results import StreamResult
    from continual.stream import Stream
    from proxyset.compute.parallel import Pool
    from proxyset.compute.session import Session

RUNS = Path("runs")


def run_command(argv: list[str]) -> None:
    command = parse(RunCommand, argv, "continual run")
    from continual.api import StreamRun
    from continual.choose import folder_name
    from continual.loading import load_stream
    from continual.page import save_results_page
    from continual.report import print_report
    from continual.schemes.given import check_given
    from continual.trainer import Trainer
    from proxyset.compute.session import Session
    from proxyset.loggers import Subject, logging_to

    check_output(command.output)
    session, seed = Session(command.compute), command.seed.seed
    learning, memory = command.learning, command.memory.memory
    stream = load_stream(extract(command, StreamChoice), data_root=command.stream.data_root, seed=seed, progress=True)
    kd = "-kd" if learning.kd else ""
    name = folder_name(memory, f"continual-{stream.name}-", f"{kd}-seed{seed}", longest=200)
    folder, force = command.output.out or RUNS / name, command.output.force
    with folders.claim(folder, folders.RUN, force=force, resume=command.output.resume) as claimed:
        trainer = Trainer(stream, learning, seed=seed, session=session, progress=True)
        run = StreamRun(trainer, memory, extract(command, Budget))
        check_given(learning, [(memory, learning.kd)], flags_in(argv))
        if not force:
            run.restore(claimed.path)
        say_how_it_begins(command.output, run.finished, claimed.path)
        words = f"memory {memory}, {'with' if kd else 'without'} distillation; {run.scheme.describe(learning, memory)}"
        announce(stream, words)
        announce_run(run)
        settings = Subject(claimed.path.name, claimed.path.parent, flatten(command))
        with (
            resumable(folder, again("continual run", argv, force=force)),
            folders.begun(claimed, folders.RUN, force=force) as place,
            logging_to(command.output.log_to, settings) as log,
        ):
            run.on_stage = lambda stage, shares: log(stage_numbers(stream, shares), stage + 1)
            result = run.learn(place)
            save_results_page([result], place)
    if command.output.as_json:
        print(json.dumps(result.to_dict()))
    else:
        print_report([result])
    say(f"{folder}: results.json, results.csv, pictures, and all of it in report.html")


def stage_numbers(stream: Stream, shares: torch.Tensor) -> dict[str, float]:
    """What is logged after a task: the accuracy on each task so far, and their mean."""
    names = (f"accuracy/{clean_name(task.name)}" for task in stream.tasks)
    return dict(zip(names, shares.tolist(), strict=False)) | {"average accuracy": float(shares.mean())}


def check_output(output: RunOutput) -> None:
    """Raise `InputError` where going on and starting over are both asked for."""
    if output.resume and output.force:
        raise InputError("`resume=True` goes on and `force=True` starts over: give one of them")


def flags_in(argv: Sequence[str]) -> set[str]:
    """The settings that the words of a command name."""
    words = (word.removeprefix("--").partition("=")[0] for word in argv if word.startswith("--"))
    return {word.removeprefix("no-").replace("-", "_") for word in words}


def say_how_it_begins(output: RunOutput, finished: int, folder: Path) -> None:
    """Say what --resume found."""
    if output.resume and not finished:
        say(f"nothing to go on from in {str(folder)!r}: this starts at the beginning")


def announce(stream: Stream, what: str) -> None:
    """Say what will be learned, and how."""
    spec = stream.tasks[0].data.spec
    tasks = ", ".join(f"{clean_name(task.name)} ({len(task.data.train)} images)" for task in stream.tasks)
    say(f"{stream.kind}, {spec.channels}×{spec.size}×{spec.size}: {tasks}\n{what}")
    for line in stream.reading:
        say(line)


def announce_building(sets: Sequence[str]) -> None:
    """Say which sets of memories are missing and built first, but not page after page."""
    for line in sets[:MOST_TO_LIST]:
        say(f"to build first: {line}")
    if len(sets) > MOST_TO_LIST:
        say(f"and {len(sets) - MOST_TO_LIST} more sets")


def announce_run(run: StreamRun) -> None:
    """Say how long the rest of a run will take, and what would be shorter."""
    from continual.estimate import estimate, savings
    from proxyset.nets.depth import say_if_shallow

    scheme = run.scheme
    announce_building(scheme.memory.to_build(run.finished))
    say_if_shallow(scheme.trainer.session.say_once, scheme.trainer.net, scheme.trainer.spec)
    seconds = estimate(scheme, run.finished)
    cheaper = savings(seconds, scheme.learning, scheme.trainer.spec.size)
    announce_estimate(scheme.trainer.session.device, seconds, cheaper)


def announce_estimate(device: torch.device, estimate: Estimate, cheaper: Mapping[str, str]) -> None:
    """Say how long it will take, and, where that is long, what would be shorter.

    Args:
        cheaper: settings that take less time, and what they cost in quality.
    """
    from proxyset.progress import duration

    making, training = estimate
    memory = f"{duration(making)} to make the memory, " if making >= 1 else ""
    say(f"on {device}, estimated: {memory}{duration(training)} to learn")
    if line := advice(making + training, cheaper):
        say(line)


@contextlib.contextmanager
def resumable(folder: Path, words: str) -> Iterator[None]:
    """Say after an interruption the words that go on."""
    try:
        with interruptible():
            yield
    except KeyboardInterrupt:
        if sys.stderr.isatty():
            say("")  # end the progress line
        raise KeyboardInterrupt(f"interrupted; finished tasks are kept in {str(folder)!r}; to go on: {words}") from None


# compare


def compare_command(argv: list[str]) -> None:
    command = parse(CompareCommand, argv, "continual compare")
    from continual.choose import label
    from continual.compare import Streams, check_cells, group, run_cells
    from continual.estimate import Estimate, savings
    from continual.page import save_results_page
    from continual.report import write_summary
    from continual.schemes.given import check_given
    from proxyset.compute.session import Session

    check_output(command.output)
    session, choice = Session(extract(command, Compute)), extract(command, StreamChoice)
    name = "-".join(map(label, choice.tasks)) or f"{label(choice.dataset)}-{choice.split_name()}"
    folder = command.output.out or RUNS / path_name(f"continual-compare-{name}", longest=200)
    force, resume = command.output.force, command.output.resume
    with folders.claim(folder, folders.COMPARISON, force=force, resume=resume) as claimed:
        cells = make_cells_of(command, claimed.path.absolute(), session)
        streams, to_build = Streams(progress=True), dict[str, None]()  # both runs of a memory need the same sets

        def note(run: StreamRun) -> None:
            to_build.update(dict.fromkeys(run.scheme.memory.to_build(run.finished)))

        estimate, finished = check_cells(cells, session, resume=not force, streams=streams, on_run=note)
        check_given(command.training, {(cell.memory, cell.kd) for cell in cells}, flags_in(argv))
        pool = choose_pool(command.placement, session.device, len(group(cells)))
        say_how_it_begins(command.output, finished, claimed.path)
        at_once = "one after another" if pool.in_process else f"{pool.workers or 'as many as fit'} at a time"
        stream = streams.of(cells[0])
        announce(stream, f"{len(cells)} runs, {at_once}")
        announce_building(list(to_build))
        share = Estimate(*(seconds / (pool.workers or 1) for seconds in estimate))
        fewer = {"seeds=0": "no spread over seeds"} if len(command.memory.seeds) > 1 else {}
        cheaper = fewer | savings(share, command.training, stream.tasks[0].data.spec.size)
        announce_estimate(session.device, share, cheaper)
        resumed = resumable(folder, again("continual compare", argv, force=force))
        with resumed, folders.begun(claimed, folders.COMPARISON, force=force) as place:
            results = run_cells(cells, pool, Teller(len(cells)), streams)
            write_summary(results, place)
            save_results_page(results, place)
    print_results(results, command.output.as_json)
    say(f"{folder}: summary.json, results.csv, curves.png, report.html, and a folder for every run")


def make_cells_of(command: CompareCommand, folder: Path, session: Session) -> list[Cell]:
    """The runs of a comparison in `folder`."""
    from continual.compare import Common, make_cells
    from proxyset.files import in_full

    memory, budget = command.memory, extract(command, Budget)
    budget = budget.model_copy(update={"store": in_full(budget.store)})  # workers may have another working folder
    data_root = in_full(command.stream.data_root)
    common = Common(folder, extract(command, StreamChoice), budget, command.training, session.compute, data_root)
    return make_cells(memory.memory, memory.seeds, memory.kd, common)


class Teller:
    """Says a line for every run that is done."""

    def __init__(self, runs: int) -> None:
        self.runs, self.done = runs, 0

    def __call__(self, number: int, result: StreamResult) -> None:
        self.done += 1
        say(f"{self.done}/{self.runs}  {in_short(result)}")


def choose_pool(placement: Placement, device: torch.device, jobs: int) -> Pool:
    """As many runs at a time as were asked for, or as the device has room for; GPUs are shared out.

    Args:
        jobs: what there is to do at a time; more workers than that would idle.
    """
    import torch

    from proxyset.compute.parallel import Pool, default_workers

    workers = placement.workers
    if workers is None and placement.address is None:
        workers = default_workers(device)
    workers = workers and min(workers, jobs)
    gpus = 0.0
    if device.type == "cuda":
        gpus = 1.0 if workers is None or placement.address else min(1.0, torch.cuda.device_count() / workers)
    return Pool(workers=workers, address=placement.address, gpus=gpus)


def print_results(results: Sequence[StreamResult], as_json: bool) -> None:
    """All results on stdout."""
    from continual.report import print_report

    if as_json:
        print(json.dumps([result.to_dict() for result in results]))
    else:
        print_report(results)


def in_short(result: StreamResult) -> str:
    """A result on one line."""
    from proxyset.progress import duration

    last, seconds = 100 * result.average[-1], duration(result["seconds"])
    return f"{result.name}, seed {result['seed']}: {last:.1f} % after the last task, {seconds}"


# report


def report_command(argv: list[str]) -> None:
    command = parse(ReportCommand, argv, "continual report")
    from continual.page import save_results_page
    from continual.report import write_summary
    from continual.results import draw_results, read_results
    from proxyset.cli.report import open_if

    source, out = command.folder, command.output.out
    if source == Path():
        raise InputError("no run given: name its folder")
    results = read_results(source)
    in_place = out is None or (out.exists() and out.samefile(source))
    kind = (folders.holds(source) or folders.RUN) if in_place else folders.REPORT
    with folders.claim(source if out is None else out, kind, resume=True) as claimed:
        print_results(results, command.output.as_json)
        with folders.begun(claimed, kind) as place:
            if len(results) > 1 or kind == folders.COMPARISON:
                write_summary(results, place)
            else:
                draw_results(place, results[0])
            say(str(save_results_page(results, place)))
    open_if(command.output, claimed.path)
