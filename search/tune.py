"""Trials in parallel with Ray Tune, on this machine or on a cluster. The only file of `search` that imports ray.

Ray reads its environment as it is imported: call `prepare_ray` before importing this file.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from ray import tune

from proxyset.compute.parallel import check_resources, ray_running
from proxyset.compute.session import Session
from proxyset.errors import RunError
from proxyset.registry import describe
from proxyset.settings import Compute
from search.placement import Placement
from search.trial import Job, Row, TrialContext, Workbench, row_of

OnRow = Callable[[Row, int], None]


class TrialActor(tune.Trainable):
    """A worker process that runs one trial after another: Tune resets it instead of starting a new one, so torch is
    imported and the images are mapped once per worker.
    """

    def setup(self, config: dict[str, Any], context: TrialContext, jobs: Sequence[Job], compute: Compute) -> None:
        torch.set_num_threads(int(self.trial_resources.head_cpus))
        self.bench = Workbench(context, Session(compute))
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

    def __init__(self, jobs: Sequence[Job], context: TrialContext, on_row: OnRow) -> None:
        self.jobs, self.context, self.on_row = jobs, context, on_row
        self.handed_on = 0
        self.failure: Exception | None = None  # of `on_row`, such as a full disk: Tune has no part in it

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune stores callbacks so that it could restore them, but here the run's folder is what goes on."""
        return {}

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        self._hand_on(result["row"], trials, trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        job = self.jobs[trial.config["job"]]
        error = f"the worker died {trial.num_failures} times (out of memory, killed, or its machine went away)"
        self._hand_on(row_of(job, self.context, None, error, 0.0), trials, trial)

    def _hand_on(self, row: Row, trials: list[Any], trial: Any) -> None:
        if self.failure is None:
            try:
                self.on_row(row, _running(trials, trial))
                self.handed_on += 1
            except Exception as error:
                self.failure = error
                raise


def _running(trials: list[Any], but: Any) -> int:
    return sum(trial.status == "RUNNING" for trial in trials if trial is not but)


def run_trials(jobs: Sequence[Job], context: TrialContext, placement: Placement, on_row: OnRow) -> None:
    """Run the jobs, and call `on_row` in this process with each finished row and the number of trials still running.

    The images go to Ray's object store once; workers read them there without copies. Ray is started if it is not
    running in this process, and stopped again.

    Raises:
        InputError: no such cluster, or no machine in it that has what a trial needs.
        RunError: Ray died on this machine, or gave up. What `on_row` raises ends the trials.
    """
    pool = placement.pool
    pool = replace(pool, object_store=pool.object_store + 2 * context.nbytes)
    with ray_running(pool) as scratch:
        check_resources(pool)
        callback = RowCallback(jobs, context, on_row)
        shared = tune.with_parameters(TrialActor, context=context, jobs=list(jobs), compute=placement.compute)
        resources = {"cpu": float(pool.cpus), "gpu": pool.gpus}
        tuner = tune.Tuner(
            tune.with_resources(shared, resources),
            param_space={"job": tune.grid_search(list(range(len(jobs))))},
            tune_config=tune.TuneConfig(reuse_actors=True, max_concurrent_trials=placement.max_concurrent),
            run_config=tune.RunConfig(
                name="trials",
                storage_path=str(scratch / "tune"),
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=pool.retries),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                callbacks=[callback],
            ),
        )
        try:
            tuner.fit()
        except tune.TuneError as error:
            raise callback.failure or RunError(f"Ray Tune stopped: {describe(error.__cause__ or error)}") from None
        if callback.failure is not None:
            raise callback.failure
        if callback.handed_on < len(jobs):  # Tune takes some signals, the guard's among them, for a wish to stop
            raise RunError(f"Ray Tune stopped after {callback.handed_on} of {len(jobs)} trials")
