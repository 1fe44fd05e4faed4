"""What the commands do. Heavy imports wait until the flags are understood, so that --help is fast."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from continual.cli import CompareCommand, Placement, ReportCommand, RunCommand, RunOutput
from continual.settings import Budget, StreamChoice
from proxyset.cli.app import say
from proxyset.cli.options import extract
from proxyset.cli.parse import parse
from proxyset.errors import InputError
from proxyset.settings import Compute

if TYPE_CHECKING:
    import torch

    from continual.results import StreamResult
    from continual.stream import Stream
    from proxyset.compute.parallel import Pool

RUNS = Path("runs")


def run_command(argv: list[str]) -> None:
    command = parse(RunCommand, argv, "continual run")
    from continual.api import learn_stream, prepare
    from continual.choose import label
    from continual.estimate import estimate
    from continual.report import print_report
    from continual.stream import load_stream
    from continual.trainer import Trainer
    from proxyset.compute.session import Session

    session, seed = Session(command.compute), command.seed.seed
    budget, learning, memory = extract(command, Budget), command.learning, command.memory.memory
    stream = load_stream(extract(command, StreamChoice), data_root=command.stream.data_root, seed=seed)
    scheme = prepare(Trainer(stream, learning, seed=seed, session=session), memory, budget)
    kd = "-kd" if learning.kd else ""
    folder = command.output.out or RUNS / f"continual-{stream.name}-{label(memory)}{kd}-seed{seed}"
    make_ready(folder, [folder], command.output)
    announce(stream, f"memory {memory}, {'with' if kd else 'without'} distillation; {scheme.describe(learning)}")
    announce_estimate(session.device, *estimate(scheme))
    with resumable(folder):
        result = learn_stream(
            stream, memory, budget, learning, seed=seed, session=session, folder=folder, progress=True
        )
    if command.output.as_json:
        print(json.dumps(result.to_dict()))
    else:
        print_report([result])
    say(f"{folder}: results.json, results.csv and pictures")


def make_ready(folder: Path, runs: Sequence[Path], output: RunOutput) -> None:
    """See that the folder can be written and that nothing in it gets lost; with `force` what is there is removed.

    Raises:
        InputError: it cannot be written, or one of `runs` holds a run.
    """
    from continual.api import STATE
    from continual.results import RESULTS
    from proxyset.files import check_writable

    check_writable(folder)
    for path in runs:
        old = [file for file in (path / STATE, path / RESULTS) if file.exists()]
        if old and not output.resume and not output.force:
            raise InputError(
                f"{str(path)!r} holds a run: `resume=True` goes on, `force=True` starts over, `out` names another place"
            )
        if output.force:
            for file in old:
                file.unlink()


def announce(stream: Stream, what: str) -> None:
    """Say what will be learned, and how."""
    spec = stream.tasks[0].data.spec
    tasks = ", ".join(f"{task.name} ({len(task.data.train)} images)" for task in stream.tasks)
    say(f"{stream.kind}, {spec.channels}×{spec.size}×{spec.size}: {tasks}\n{what}")


def announce_estimate(device: torch.device, condensing: float, learning: float) -> None:
    """Say how many seconds it will take."""
    from proxyset.progress import duration

    memory = f"{duration(condensing)} to make the memory, " if condensing >= 1 else ""
    say(f"on {device}, estimated: {memory}{duration(learning)} to learn")


@contextlib.contextmanager
def resumable(folder: Path) -> Iterator[None]:
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


def compare_command(argv: list[str]) -> None:
    command = parse(CompareCommand, argv, "continual compare")
    from continual.choose import label
    from continual.compare import Common, check_cells, make_cells, run_cells
    from continual.report import write_summary
    from proxyset.compute.session import Session

    memory, budget, choice = command.memory, extract(command, Budget), extract(command, StreamChoice)
    session = Session(extract(command, Compute))
    name = "-".join(map(label, choice.tasks)) or f"{label(choice.dataset)}-{choice.steps}steps"
    folder = command.output.out or RUNS / f"continual-compare-{name}"
    budget = budget.model_copy(update={"store": budget.store.absolute()})  # workers may have another working folder
    data_root = command.stream.data_root.absolute()
    common = Common(folder.absolute(), choice, budget, command.training, session.compute, data_root)
    cells = make_cells(memory.memory, memory.seeds, memory.kd, common)
    condensing, learning = check_cells(cells, session)
    make_ready(folder, [cell.path for cell in cells], command.output)
    pool = choose_pool(command.placement, session.device)
    at_once = "one after another" if pool.in_process else f"{pool.workers or 'as many as fit'} at a time"
    announce(cells[0].load(), f"{len(cells)} runs, {at_once}")
    announce_estimate(session.device, condensing / (pool.workers or 1), learning / (pool.workers or 1))

    def tell(number: int, result: StreamResult) -> None:
        done.append(number)
        say(f"{len(done)}/{len(cells)}  {in_short(result)}")

    done: list[int] = []
    with resumable(folder):
        results = run_cells(cells, pool, tell)
    write_summary(results, folder)
    print_results(results, command.output.as_json)
    say(f"{folder}: summary.json, results.csv, curves.png, and a folder for every run")


def choose_pool(placement: Placement, device: torch.device) -> Pool:
    """As many runs at a time as were asked for, or as the device has room for; GPUs are shared out."""
    import torch

    from proxyset.compute.parallel import Pool, default_workers

    workers = placement.workers
    if workers is None and placement.address is None:
        workers = default_workers(device)
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
    from continual.report import write_summary
    from continual.results import read_results, write_results

    results = read_results(command.folder)
    print_results(results, command.output.as_json)
    folder = command.output.out or command.folder
    if len(results) > 1:
        write_summary(results, folder)
    else:
        write_results(folder, results[0])
