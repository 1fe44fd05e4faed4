"""What Ray costs per trial of a search, and what a second worker brings.

    OMP_NUM_THREADS=1 python benchmarks/trials.py

Overhead: trials of almost no work (one update of a tiny network) with one worker, against a plain loop. The time until
the first row (Ray's start, a worker's imports) is counted apart, because it is paid once. Speed: trials of about a
second, one worker against two.
"""

import argparse
import time
from collections.abc import Callable

import torch

from proxyset.compute.parallel import Pool
from proxyset.compute.ray_environment import prepare_ray
from proxyset.compute.session import Session
from proxyset.data.load import load
from proxyset.nets.arch import Arch
from search.placement import Placement
from search.settings import RankingSettings
from search.sources.trained import WholeSet
from search.space import Candidate
from search.trial import Job, Row, TrialContext, Workbench, pack
from search.workers import run_trials


def make_context(epochs: int, arch: Arch) -> TrialContext:
    """The whole digits as the only source: `epochs` epochs for each trial."""
    dataset = load("digits", size=16)
    sets = {"train": pack(dataset.train), "test": pack(dataset.test[torch.arange(8)])}
    batch_size = len(dataset.train) if epochs == 1 else 256
    settings = RankingSettings(epochs=1, whole_epochs=epochs, batch_size=batch_size)
    source = WholeSet("whole", len(dataset.train))
    return TrialContext(dataset.spec, settings, sets, {"whole": source}, {str(arch): Candidate(str(arch), arch)})


def make_jobs(context: TrialContext, trials: int) -> list[Job]:
    return [Job("whole", next(iter(context.candidates)), repeat) for repeat in range(trials)]


def measure(run: Callable[[Callable[[Row, int], None]], object]) -> tuple[float, float]:
    """Seconds until the first row, and from the first to the last."""
    started = time.perf_counter()
    times: list[float] = []
    run(lambda row, running: times.append(time.perf_counter()))
    return times[0] - started, times[-1] - times[0]


def with_ray(context: TrialContext, trials: int, workers: int) -> tuple[float, float]:
    session = Session(device="cpu")
    placement = Placement(session, Pool(workers=workers), session.compute, here=False)
    return measure(lambda on_row: run_trials(make_jobs(context, trials), context, placement, on_row))


def in_a_loop(context: TrialContext, trials: int) -> tuple[float, float]:
    bench = Workbench(context, Session(device="cpu"))

    def run(on_row: Callable[[Row, int], None]) -> None:
        for job in make_jobs(context, trials):
            on_row(bench.run(job), 0)

    return measure(run)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=40, help="trivial trials for the overhead")
    parser.add_argument("--epochs", type=int, default=20, help="epochs of each longer trial for the speed-up")
    settings = parser.parse_args()
    torch.set_num_threads(1)
    prepare_ray()
    tiny = make_context(1, Arch(width=4, depth=1))
    _, loop = in_a_loop(tiny, settings.trials)
    start, ray = with_ray(tiny, settings.trials, 1)
    each = settings.trials - 1
    print(f"trivial trial: {1000 * loop / each:.0f} ms in a loop, {1000 * ray / each:.0f} ms with Ray and one worker")
    print(
        f"overhead per trial: {(ray - loop) / each:.3f} s (target: at most 0.5 s); until the first row: {start:.1f} s"
    )
    longer = make_context(settings.epochs, Arch(width=32, depth=2))
    _, one = with_ray(longer, 9, 1)  # from the first row on: 8 trials
    _, two = with_ray(longer, 18, 2)  # from the first row on: 17 trials, which two workers share
    print(f"longer trial: {one / 8:.2f} s each with one worker, {two / 17:.2f} s with two")
    print(f"two workers: {one / 8 / (two / 17):.2f} times one (target: at least 1.7 times)")


if __name__ == "__main__":
    main()
