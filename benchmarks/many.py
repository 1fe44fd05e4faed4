"""What a trial costs where there are thousands of short ones: two Ray nodes on this machine, a worker on each.

    OMP_NUM_THREADS=1 python -m benchmarks.many --trials 10000

A trial computes nothing. Stated are the time per trial from the first row to the last, which is all overhead, and how
much the driver's memory grew over the last nine tenths of them. The rows are written to a run's folder as `search run`
writes them, each safe on the disk before the next, or, with `--no-keep`, dropped.
"""

import argparse
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from proxyset.compute.parallel import Pool
from proxyset.compute.ray_environment import prepare_ray
from proxyset.compute.session import Session
from proxyset.data.load import load
from proxyset.nets.arch import Arch
from search.folder import RunFolder, claim_run
from search.placement import Placement
from search.settings import RankingSettings
from search.sources.base import Free
from search.space import Candidate
from search.trial import Job, Row, TrialContext, pack
from search.workers import run_trials

OBJECT_STORE = 100 * 2**20  # bytes on each node
MIB = 2**20


@dataclass(frozen=True)
class Nothing(Free):
    """A source that computes nothing."""

    def score(self, bench: Any, candidate: Any, generator: torch.Generator) -> float:
        return 0.5


@dataclass
class Tally:
    """What the driver sees of the trials.

    Attributes:
        times: when each row came, in seconds.
        memory: the driver's resident bytes after a tenth of the rows, and after all.
    """

    trials: int
    folder: RunFolder | None
    count: int = 0
    times: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)

    def __call__(self, row: Row, running: int) -> None:
        if self.folder is not None:
            self.folder.append(row)
        self.count += 1
        if self.count in (1, self.trials):
            self.times.append(time.perf_counter())
        if self.count in (max(1, self.trials // 10), self.trials):
            self.memory.append(resident())


def resident() -> int:
    """Bytes of this process that are in memory now."""
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * 4096


def make_context() -> TrialContext:
    dataset, arch = load("digits", size=16), Arch(width=4, depth=1)
    sets = {"train": pack(dataset.train), "test": pack(dataset.test)}
    candidates = {str(arch): Candidate(str(arch), arch)}
    return TrialContext(dataset.spec, RankingSettings(epochs=1), sets, {"nothing": Nothing("nothing")}, candidates)


def on_two_nodes(trials: int, keep: bool) -> Tally:
    """Run so many trials on two nodes of one core each."""
    import ray
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": OBJECT_STORE}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    cluster.add_node(**node)
    ray.init(address=cluster.address, log_to_driver=False)
    try:
        context, session = make_context(), Session(device="cpu")
        jobs = [Job("nothing", next(iter(context.candidates)), repeat) for repeat in range(trials)]
        placement = Placement(session, Pool(workers=2), session.compute, here=False)
        with tempfile.TemporaryDirectory() as scratch, claim_run(Path(scratch, "run")) as folder:
            folder.path.mkdir()
            tally = Tally(trials, folder if keep else None)
            run_trials(jobs, context, placement, tally)
    finally:
        ray.shutdown()
        cluster.shutdown()
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--no-keep", dest="keep", action="store_false", help="do not write the rows to disk")
    settings = parser.parse_args()
    torch.set_num_threads(1)
    prepare_ray()
    tally = on_two_nodes(settings.trials, settings.keep)
    first, last = tally.times
    grown = (tally.memory[-1] - tally.memory[0]) / MIB
    print(f"{tally.count} trials, each {1000 * (last - first) / max(1, tally.count - 1):.2f} ms of overhead")
    print(f"the driver grew by {grown:.1f} MiB over the last nine tenths, to {tally.memory[-1] / MIB:.0f} MiB")


if __name__ == "__main__":
    main()
