"""What Ray costs per trial of a search, and what a second worker brings.

    OMP_NUM_THREADS=1 python benchmarks/trials.py

Overhead: trials of almost no work (one update of a tiny network) with one worker, against a plain loop. The time until
the first row (Ray's start, a worker's imports) is told apart, because it is paid once. Speed: trials of about a second,
one worker against two.
"""

import argparse
import time
from collections.abc import Callable

import torch

from proxyset.data import load
from proxyset.nets import Arch
from proxyset.ray_environment import prepare_ray
from search.settings import Execution, Schedule
from search.space import Candidate
from search.trial import Context, Job, Row, Source, Workbench, pack


def make_context(epochs: int, arch: Arch) -> Context:
    """The whole digits as the only source: `epochs` epochs for each trial."""
    dataset = load("digits", size=16)
    sets = {"train": pack(dataset.train), "test": pack(dataset.test[torch.arange(8)])}
    training = Schedule(whole_epochs=epochs, batch_size=len(dataset.train) if epochs == 1 else 256)
    source = Source("whole", "whole", len(dataset.train))
    return Context(dataset.spec, training, 0, sets, {"whole": source}, {"net": Candidate("net", arch)})


def measure(run: Callable[[Callable[[Row, int], None]], object]) -> tuple[float, float]:
    """Seconds until the first row, and from the first to the last."""
    started = time.perf_counter()
    times: list[float] = []
    run(lambda row, running: times.append(time.perf_counter()))
    return times[0] - started, times[-1] - times[0]


def with_ray(context: Context, trials: int, workers: int) -> tuple[float, float]:
    from search.tune import run_trials  # after Ray's environment is set

    jobs = [Job("whole", "net", repeat) for repeat in range(trials)]
    return measure(lambda on_row: run_trials(jobs, context, Execution(workers=workers), on_row))


def in_a_loop(context: Context, trials: int) -> tuple[float, float]:
    bench = Workbench(context)
    return measure(lambda on_row: [on_row(bench.run(Job("whole", "net", repeat)), 0) for repeat in range(trials)])


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
