"""Asynchronous successive halving with Ray Tune, on this machine or on a cluster.

Ray reads its environment as it is imported: call `prepare_ray` before importing this file.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from ray import tune
from ray.tune.schedulers import AsyncHyperBandScheduler
from torch import nn

from proxyset.compute.parallel import Pool, check_resources, ray_running
from proxyset.compute.session import Session
from proxyset.errors import RunError
from proxyset.registry import describe
from proxyset.settings import Compute
from search.sources.asha import Asha
from search.trial import Job, TrialContext, Workbench

REDUCTION = 4  # one of so many goes on from each rung


@dataclass(frozen=True)
class Reached:
    """How far an architecture got.

    Attributes:
        epochs: after which it was last scored (0: never).
        accuracy: then.
        seconds: that its training took.
    """

    epochs: int = 0
    accuracy: float = 0.0
    seconds: float = 0.0

    @property
    def score(self) -> float:
        return self.epochs + self.accuracy


class GivenUp(Exception):
    """Nobody waits for the next epoch."""


class EpochByEpoch:
    """A training that waits after every epoch until it is told to go on: in a thread of its own, with the same bits.

    Args:
        train: trains to the end, and calls what it is given after each epoch, with the network and the epochs done.
    """

    def __init__(self, train: Callable[[Callable[[nn.Module, int], None]], object]) -> None:
        self._go: queue.Queue[bool] = queue.Queue()
        self._ended: queue.Queue[tuple[nn.Module, int] | Exception] = queue.Queue()
        self._thread = threading.Thread(target=self._run, args=(train,), daemon=True)

    def advance(self) -> tuple[nn.Module, int]:
        """Train for one more epoch; the network, and the epochs done.

        Raises:
            Exception: whatever the training raises.
        """
        if self._thread.is_alive():
            self._go.put(True)
        else:
            self._thread.start()
        ended = self._ended.get()
        if isinstance(ended, Exception):
            raise ended
        return ended

    def close(self) -> None:
        """Give the training up, and let go of its network."""
        self._go.put(False)
        if self._thread.is_alive():
            self._thread.join()

    def _run(self, train: Callable[[Callable[[nn.Module, int], None]], object]) -> None:
        try:
            train(self._wait)
        except GivenUp:
            return
        except Exception as error:
            self._ended.put(error)

    def _wait(self, net: nn.Module, done: int) -> None:
        self._ended.put((net, done))
        if not self._go.get():
            raise GivenUp


class HalvingActor(tune.Trainable):
    """A worker process: a step is an epoch of the architecture that it has been given."""

    def setup(self, config: dict[str, Any], context: TrialContext, source: str, compute: Compute) -> None:
        torch.set_num_threads(int(self.trial_resources.head_cpus))
        self.bench, self.source = Workbench(context, Session(compute)), source
        self.last = context.settings.on_whole().epochs
        self.course: EpochByEpoch | None = None
        self.scored: dict[str, Any] = {}
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.cleanup()
        self.course = EpochByEpoch(partial(self.bench.train_job, Job(self.source, new_config["name"])))
        return True

    def step(self) -> dict[str, Any]:
        """One epoch; scored where the scheduler decides, and at the end."""
        assert self.course is not None
        net, epochs = self.course.advance()
        done = epochs >= self.last
        if epochs in rungs(self.last) or done:
            self.scored = {"scored": epochs, "accuracy": self.bench.accuracy(net)}
        return {"epochs": epochs, "done": done, **self.scored}  # Tune wants the accuracy in every result

    def cleanup(self) -> None:
        if self.course is not None:
            self.course.close()

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: what is stopped does not go on."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing to load."""


class Notes(tune.Callback):
    """Keeps how far each architecture got."""

    def __init__(self) -> None:
        self.reached: dict[str, Reached] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune stores callbacks to restore them, but a halving that was cut short starts anew."""
        return {}

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        seconds = float(result.get("time_total_s", 0.0))
        self.reached[trial.config["name"]] = Reached(result["scored"], result["accuracy"], seconds)


def rungs(last: int) -> list[int]:
    """The epochs after which the scheduler decides: 1, 4, 16, … below the last."""
    found = [1]
    while found[-1] * REDUCTION < last:
        found.append(found[-1] * REDUCTION)
    return found


def halve(
    names: Sequence[str], context: TrialContext, pool: Pool, compute: Compute, budget: float
) -> dict[str, Reached]:
    """Halve the architectures for `budget` seconds on the whole set.

    Returns:
        How far each got that was scored at all.

    Raises:
        InputError: no machine has what a trial needs.
        RunError: Ray died on this machine, or gave up.
    """
    source = next(name for name, source in context.sources.items() if isinstance(source, Asha))
    notes = Notes()
    with ray_running(pool) as scratch:
        check_resources(pool)
        shared = tune.with_parameters(HalvingActor, context=context, source=source, compute=compute)
        last = context.settings.on_whole().epochs
        scheduler = AsyncHyperBandScheduler("epochs", "accuracy", "max", max(2, last), 1, REDUCTION)
        tuner = tune.Tuner(
            tune.with_resources(shared, {"cpu": float(pool.cpus), "gpu": pool.gpus}),
            param_space={"name": tune.grid_search(list(names))},
            tune_config=tune.TuneConfig(
                reuse_actors=True, scheduler=scheduler, time_budget_s=budget, max_concurrent_trials=pool.workers
            ),
            run_config=tune.RunConfig(
                name="halving",
                storage_path=str(scratch / "tune"),
                verbose=0,
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                callbacks=[notes],
            ),
        )
        try:
            errors = tuner.fit().errors
        except tune.TuneError as error:
            raise RunError(f"Ray Tune stopped: {describe(error.__cause__ or error)}") from None
    if errors and not notes.reached:
        raise RunError(f"every architecture failed, the first with: {describe(errors[0])[:500]}")
    return notes.reached
