"""One search from its settings to its report: choose, build, train, rank."""

import os
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from pydantic import Field

from proxyset.augment import operations
from proxyset.config import Command, parse, peek, say
from proxyset.data import Dataset, load
from proxyset.engine import resolve_device
from proxyset.progress import ProgressLine, duration
from proxyset.ray_environment import prepare_ray
from proxyset.seeds import make_generator
from proxyset.settings import InputError
from search.folder import CONFIG, PLAN, SOURCES, RunFolder, check_same
from search.report import mean_scores, report
from search.settings import DataChoice, Execution, Run, Schedule, part, resolve, truth_count
from search.sources import AGAIN, TRUTH, Plan, announce, make_sources, plan_proxies, provide
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
    report(folder, command.out or folder.path, command.as_json)


def run_command(argv: list[str]) -> None:
    command, folder, resumed = begin(argv)
    device = resolve_device(command.device)
    dataset = load(command.dataset, data_root=command.data_root, **_data_choices(command))
    if not len(dataset.test):
        raise InputError(f"{dataset.spec.name} has no test images to score architectures on")
    operations(command.augment, dataset.spec.flip)  # refuses what it does not know
    candidates = choose(command, dataset)
    plans = plan_proxies(command, dataset)
    if not resumed:  # only now: what a user got wrong should leave nothing behind
        folder.create(command)
    try:
        search(command, folder, dataset, candidates, plans, device)
    except KeyboardInterrupt:
        again = f"search run --resume {shlex.quote(str(folder.path))}"
        raise KeyboardInterrupt(f"interrupted; to go on: {again}") from None
    report(folder, folder.path, command.as_json)
    say(f"{folder.path}")


def begin(argv: Sequence[str]) -> tuple[Run, RunFolder, bool]:
    """The settings, the run's folder, and whether it is one to go on with.

    Raises:
        InputError: bad settings, a folder that is taken, or other settings than those a resumed run began with.
    """
    resumed = peek(argv, "resume")
    if resumed is None:
        command = resolve(parse(Run, argv, "search run", pairs=True))
        name = f"search-{Path(command.dataset).stem}-{Path(command.proxy[0]).stem}-seed{command.seed}"
        folder = RunFolder(command.out or RUNS / name)
        folder.check_free(command.force)
        return command, folder, False
    folder = RunFolder.open(Path(resumed))
    if peek(argv, "config") is not None:
        raise InputError("--resume takes the settings of its run: leave out --config")
    command = resolve(parse(Run, ["--config", str(folder.path / CONFIG), *argv], "search run", pairs=True))
    check_same(folder.settings(), command)
    return command, folder, True


def _data_choices(command: Run) -> dict[str, Any]:
    return part(command, DataChoice).model_dump(exclude={"dataset"})


def search(
    command: Run,
    folder: RunFolder,
    dataset: Dataset,
    candidates: list[Candidate],
    plans: list[Plan],
    device: torch.device,
) -> None:
    """Build the proxy sets that are missing and run every trial that has no row yet."""
    names = [candidate.name for candidate in candidates]
    folder.hold(PLAN, {"data": dataset.train.sha256(), "names": names}, "the data or the space")
    folder.mend()
    announce(plans, command, dataset)
    proxies = [(plan, provide(plan, command, dataset)) for plan in plans]
    sources = make_sources(command, part(command, Schedule), dataset, proxies)
    folder.hold(SOURCES, {name: asdict(source) for name, source in sources.items()}, "a proxy set")
    sets = {plan.name: pack(proxy.data) for plan, proxy in proxies}
    sets |= {"train": pack(dataset.train), "test": pack(dataset.test)}
    by_name = {candidate.name: candidate for candidate in candidates}
    context = Context(dataset.spec, part(command, Schedule), command.seed, sets, sources, by_name)
    run_jobs(first_jobs(command, context), context, command, folder, device)
    if command.promote:
        run_jobs(promoted_jobs(command, context, folder), context, command, folder, device)


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
    """Architecture by architecture every source's trials and the truth's, so that an interrupted run is a whole run of
    fewer architectures; the noise ceiling's come last, being the least needed.
    """
    candidates = list(context.candidates.values())
    count = truth_count(command.truth or "all")
    checked = candidates
    if count is not None:
        checked = stratified(candidates, min(count, len(candidates)), make_generator(command.seed, "truth"))
    with_truth = {candidate.name for candidate in checked}
    jobs = []
    for repeat in range(command.repeats):
        for name in context.candidates:
            for source in context.sources.values():
                if (source.name != TRUTH or name in with_truth) and (source.kind != "params" or repeat == 0):
                    jobs.append(Job(source.name, name, repeat))
    return sorted(jobs, key=lambda job: job.source == AGAIN)


def promoted_jobs(command: Run, context: Context, folder: RunFolder) -> list[Job]:
    """Training on the whole set of what each source ranks highest."""
    scores = mean_scores(folder.rows(), list(context.candidates))
    best: dict[str, None] = {}
    for source in context.sources.values():
        if source.name != TRUTH and source.name in scores:
            ranked = scores[source.name].sort_values(ascending=False, kind="stable")
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
    if command.address is None:
        seconds, workers = estimate(left, context, command, device)
        say(f"{len(left)} trials, {workers} at once, estimated: {duration(seconds)}")
    watch = Watch(folder, len(left))
    try:
        if command.workers == 0:
            bench = Workbench(context, device)
            for number, job in enumerate(left, 1):
                watch(bench.run(job), int(number < len(left)))
        else:
            prepare_ray(local=command.address is None)
            from search.tune import run_trials

            run_trials(left, context, part(command, Execution), watch)
    finally:
        watch.line.close()


def estimate(jobs: Sequence[Job], context: Context, command: Run, device: torch.device) -> tuple[float, int]:
    """Seconds that the jobs will take on this machine, and how many run at once; from a few timed training steps."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = command.workers if command.workers is not None else max(1, cores // command.cpus_per_trial)
    threads = torch.get_num_threads()
    if workers:
        torch.set_num_threads(command.cpus_per_trial)
        device = torch.device("cuda" if command.gpus_per_trial else "cpu")
    try:
        bench = Workbench(context, device)
        some = list(context.candidates.values())[:: max(1, len(context.candidates) // TIMED)]
        each = float(np.mean([bench.seconds_per_image(candidate) for candidate in some]))
    finally:
        torch.set_num_threads(threads)
    return sum(bench.images_seen(job) for job in jobs) * each / max(1, workers), max(1, workers)
