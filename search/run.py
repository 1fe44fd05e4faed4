"""One search from its settings to its report: choose, build, train, rank."""

import json
import shlex
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
import tyro
from pydantic import Field

from proxyset.config import Command, parse, peek, say
from proxyset.data import Dataset, load
from proxyset.engine import resolve_device
from proxyset.progress import ProgressLine, duration
from proxyset.seeds import make_generator
from proxyset.settings import InputError
from search.folder import CONFIG, PLAN, SOURCES, RunFolder, check_same
from search.report import mean_scores, report
from search.settings import DataChoice, Execution, Run, Training, part, resolve, truth_count
from search.sources import TRUTH, announce, make_sources, plan_proxies, provide
from search.space import Candidate, fitting, load_space, space_720, stratified
from search.trial import Context, Job, Row, Workbench, pack

RUNS = Path("runs")
TIMED = 6  # architectures that the estimate times


class Report(Command):
    """Tables, results and pictures of a run, from its files."""

    run: tyro.conf.Positional[Path] = Field(Path(), description="the run's folder")


def report_command(argv: list[str]) -> None:
    command = parse(Report, argv, "search report")
    if command.run == Path():
        raise InputError("no run given: search report RUN")
    folder = RunFolder.open(command.run)
    summary = report(folder, command.out or folder.path)
    if command.as_json:
        print(json.dumps(summary))


def run_command(argv: list[str]) -> None:
    command, folder = begin(argv)
    device = resolve_device(command.device)
    try:
        search(command, folder, device)
    except KeyboardInterrupt:
        say("")
        raise KeyboardInterrupt(f"interrupted; to go on: search run --resume {shlex.quote(str(folder.path))}") from None
    summary = report(folder, folder.path)
    if command.as_json:
        print(json.dumps(summary))


def begin(argv: Sequence[str]) -> tuple[Run, RunFolder]:
    """The settings, and the folder of a new run or of the one to go on with.

    Raises:
        InputError: bad settings, or others than those the resumed run began with.
    """
    resumed = peek(argv, "resume")
    if resumed is None:
        command = resolve(parse(Run, argv, "search run"))
        first = Path(command.proxy[0]).stem
        name = f"search-{Path(command.dataset).stem}-{first}-seed{command.seed}"
        return command, RunFolder.create(command.out or RUNS / name, command)
    folder = RunFolder.open(Path(resumed))
    if peek(argv, "config") is not None:
        raise InputError("--resume takes the settings of its run: leave out --config")
    command = resolve(parse(Run, ["--config", str(folder.path / CONFIG), *argv], "search run"))
    check_same(folder.settings(), command)
    return command, folder


def search(command: Run, folder: RunFolder, device: torch.device) -> None:
    """Run every trial that has no row yet."""
    choices = part(command, DataChoice).model_dump(exclude={"dataset"})
    dataset = load(command.dataset, data_root=command.data_root, **choices)
    if not len(dataset.test):
        raise InputError(f"{dataset.spec.name} has no test images to score architectures on")
    candidates = choose(command, dataset)
    plans = plan_proxies(command, dataset, device)
    names = [candidate.name for candidate in candidates]
    folder.hold(PLAN, {"data": dataset.train.sha256(), "names": names}, "the data or the space")
    folder.mend()
    announce(plans, command, dataset, device)
    proxies = {
        given: (plan, provide(plan, command, dataset, device))
        for given, plan in zip([p for p in command.proxy if p not in ("early-stop", "whole")], plans, strict=True)
    }
    sources, images = make_sources(command, dataset, proxies)
    folder.hold(SOURCES, {name: asdict(source) for name, source in sources.items()}, "a proxy set")
    sets = {name: pack(data) for name, data in images.items()}
    sets |= {"train": pack(dataset.train), "test": pack(dataset.test)}
    training = part(command, Training)
    by_name = {candidate.name: candidate for candidate in candidates}
    context = Context(dataset.spec, training, command.seed, sets, sources, by_name)
    started = time.monotonic()
    run_jobs(first_jobs(command, context), context, command, folder, device)
    if command.promote:
        run_jobs(promoted_jobs(command, context, folder), context, command, folder, device)
    say(f"trials took {duration(time.monotonic() - started)}")


def choose(command: Run, dataset: Dataset) -> list[Candidate]:
    """The architectures to rank: those that can take the images, sampled if so asked."""
    everything = load_space(command.space) if command.space else space_720(command.where or "")
    kept, left_out = fitting(everything, dataset.spec)
    if left_out:
        name, reason = next(iter(left_out.items()))
        say(f"left out {len(left_out)} of {len(everything)} architectures, such as {name}: {reason}")
    if len(kept) < 2:
        raise InputError(f"only {len(kept)} architectures can take {dataset.spec.name}: nothing to rank")
    if command.sample == "all" or command.sample >= len(kept):
        return kept
    return stratified(kept, command.sample, make_generator(command.seed, "sample"))


def first_jobs(command: Run, context: Context) -> list[Job]:
    """Every proxy's trials, then the truth's."""
    candidates = list(context.candidates.values())
    count = truth_count(command.truth or "all")
    checked = candidates
    if count is not None:
        checked = stratified(candidates, min(count, len(candidates)), make_generator(command.seed, "truth"))
    jobs = []
    for source in context.sources.values():
        chosen = checked if source.name == TRUTH else candidates
        repeats = 1 if source.kind == "params" else command.repeats
        jobs += [Job(source.name, c.name, repeat) for repeat in range(repeats) for c in chosen]
    return jobs


def promoted_jobs(command: Run, context: Context, folder: RunFolder) -> list[Job]:
    """Training on the whole set of what each source ranks highest."""
    scores = mean_scores(folder.rows())
    names = list(context.candidates)
    best: dict[str, None] = {}
    for source in context.sources.values():
        if source.name != TRUTH and source.name in scores:
            ranked = scores[source.name].reindex(names).dropna().sort_values(ascending=False, kind="stable")
            best |= dict.fromkeys(ranked.index[: command.promote])
    return [Job(TRUTH, name, repeat) for repeat in range(command.repeats) for name in best]


class Watch:
    """Keeps each row as it comes and shows the line of progress."""

    def __init__(self, folder: RunFolder, total: int) -> None:
        self.folder, self.total, self.done = folder, total, 0
        self.line = ProgressLine("trials")
        self.best: tuple[float, str] | None = None

    def __call__(self, row: Row, running: int) -> None:
        self.folder.append(row)
        self.done += 1
        if row["accuracy"] is not None and (self.best is None or row["accuracy"] > self.best[0]):
            self.best = (row["accuracy"], f"{row['name']} by {row['source']}")
        best = f", best {100 * self.best[0]:.1f} % {self.best[1]}" if self.best else ""
        self.line.title = f"trials ({running} running{best})"
        self.line(self.done, self.total)


def run_jobs(jobs: list[Job], context: Context, command: Run, folder: RunFolder, device: torch.device) -> None:
    """Run the trials that have no row yet, here or with Ray."""
    left = folder.unfinished(jobs)
    if not left:
        return
    if len(left) < len(jobs):
        say(f"{len(jobs) - len(left)} of {len(jobs)} trials are already done")
    watch = Watch(folder, len(left))
    watch.line(0, len(left))
    try:
        if command.workers == 0:
            bench = Workbench(context, device)
            for number, job in enumerate(left, 1):
                watch(bench.run(job), int(number < len(left)))
        else:
            from search.tune import run_trials

            run_trials(left, context, part(command, Execution), watch)
    finally:
        watch.line.close()
