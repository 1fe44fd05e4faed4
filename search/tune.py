"""Trials in parallel with Ray Tune, on this machine or on a cluster. The only file that imports ray.

Ray reads its environment as it is imported: call `proxyset.ray_environment.prepare_ray` before importing this file.
"""

import contextlib
import logging
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ray
import torch
from ray import tune

from proxyset.settings import InputError
from search.settings import Execution
from search.trial import Context, Job, Row, Workbench, row_of

OnRow = Callable[[Row, int], None]

OBJECT_STORE = 128 * 2**20  # bytes besides the images


class TrialActor(tune.Trainable):
    """A worker process that runs one trial after another: Tune resets it instead of starting a new one, so torch is
    imported and the images are mapped once per worker.
    """

    def setup(self, config: dict[str, Any], context: Context, jobs: Sequence[Job], execution: Execution) -> None:
        torch.set_num_threads(execution.cpus_per_trial)
        self.bench = Workbench(context, "cuda" if execution.gpus_per_trial else "cpu")
        self.jobs = jobs
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.job = self.jobs[new_config["job"]]
        return True

    def step(self) -> dict[str, Any]:
        return {"row": self.bench.run(self.job), "done": True}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: a trial whose worker dies starts anew, from the same seed."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing to load."""


class RowCallback(tune.Callback):
    """Hands every finished trial to the driver, and those whose workers kept dying as rows with that error."""

    def __init__(self, jobs: Sequence[Job], context: Context, on_row: OnRow) -> None:
        self.jobs, self.context, self.on_row = jobs, context, on_row

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune stores callbacks so that it could restore them, but here the run's folder is what goes on."""
        return {}

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        self.on_row(result["row"], _running(trials, trial))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        job = self.jobs[trial.config["job"]]
        error = f"the worker died {trial.num_failures} times (out of memory, killed, or its machine went away)"
        self.on_row(row_of(job, self.context, None, error, 0.0), _running(trials, trial))


def _running(trials: list[Any], but: Any) -> int:
    return sum(trial.status == "RUNNING" for trial in trials if trial is not but)


def run_trials(jobs: Sequence[Job], context: Context, execution: Execution, on_row: OnRow) -> None:
    """Run the jobs, and call `on_row` in this process with each finished row and the number of trials still running.

    The images go to Ray's object store once; workers read them there without copies. Ray is started if it is not
    running in this process, and stopped again.

    Raises:
        InputError: no such cluster, or no machine in it that has what a trial needs.
    """
    with _ray(context, execution), tempfile.TemporaryDirectory(prefix="search-tune-") as scratch:
        _check_resources(execution)
        shared = tune.with_parameters(TrialActor, context=context, jobs=list(jobs), execution=execution)
        resources = {"cpu": float(execution.cpus_per_trial), "gpu": execution.gpus_per_trial}
        tune.Tuner(
            tune.with_resources(shared, resources),
            param_space={"job": tune.grid_search(list(range(len(jobs))))},
            tune_config=tune.TuneConfig(reuse_actors=True, max_concurrent_trials=execution.max_concurrent),
            run_config=tune.RunConfig(
                name="trials",
                storage_path=scratch,
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=execution.retries),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                callbacks=[RowCallback(jobs, context, on_row)],
            ),
        ).fit()


@contextlib.contextmanager
def _ray(context: Context, execution: Execution) -> Iterator[None]:
    """Ray as `execution` says; one that already runs in this process is used and left running."""
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # failures are rows
    if ray.is_initialized():
        yield
        return
    quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL, "configure_logging": True}
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        if execution.address is not None:
            ray.init(execution.address, **quiet)
        else:
            size = sum(array.nbytes for arrays in context.sets.values() for array in arrays)
            workers = execution.workers
            cpus = None if workers is None else workers * execution.cpus_per_trial
            memory = OBJECT_STORE + 2 * size
            # "local", because without an address Ray would join whatever else runs on this machine
            ray.init("local", num_cpus=cpus, include_dashboard=False, object_store_memory=memory, **quiet)
    except ConnectionError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"no Ray cluster at --address {execution.address}: {reason}") from None
    try:
        signal.signal(signal.SIGTERM, on_sigterm)  # Ray replaces it; the command saves and says how to go on
        yield
    finally:
        ray.shutdown()


def _check_resources(execution: Execution) -> None:
    """Refuse what would wait for ever: a trial that no machine has room for."""
    needs = {"CPU": float(execution.cpus_per_trial), "GPU": execution.gpus_per_trial}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(all(node.get(name, 0.0) >= need for name, need in needs.items()) for node in nodes):
        found = "; ".join(f"{node.get('CPU', 0):g} CPU, {node.get('GPU', 0):g} GPU" for node in nodes)
        asked = f"{needs['CPU']:g} CPU and {needs['GPU']:g} GPU"
        raise InputError(f"a trial asks for {asked}, but no machine has that (found: {found}): see --cpus-per-trial")
