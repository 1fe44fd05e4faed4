"""Numbers of a run as they come, to whatever people watch: `--log-to tensorboard`, `mlflow`, or a logger of one's own.

A logger is a class that is called with a `Subject` and has `log` and `close`. Other packages offer theirs in the
entry-point group `proxyset.loggers`; `package.module:Class` names one without that.
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from proxyset.errors import InputError
from proxyset.progress import Progress, part_of
from proxyset.registry import Registry, describe, library

LOG = logging.getLogger("proxyset")
Numbers = Mapping[str, float]
LONGEST = 500  # letters of a setting, which is what MLflow takes


@dataclass(frozen=True)
class Subject:
    """What is logged.

    Attributes:
        name: of the run: its folder's or its file's name.
        folder: where its results go.
        settings: all of them by name.
    """

    name: str
    folder: Path
    settings: Mapping[str, Any] = field(default_factory=dict)


class Logger(Protocol):
    """Takes the numbers of one run."""

    def log(self, values: Numbers, step: int) -> None:
        """Some numbers by name, after `step` steps."""

    def close(self) -> None:
        """Nothing comes after this."""


class TensorBoard:
    """Event files in `tensorboard/NAME` beside the results: `tensorboard --logdir tensorboard` shows them."""

    def __init__(self, subject: Subject) -> None:
        writer = library("tensorboardX", "tensorboard").SummaryWriter
        self._writer = writer(str(subject.folder / "tensorboard" / subject.name))

    def log(self, values: Numbers, step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class MLflow:
    """A run of the experiment `proxyset`, on the server of MLFLOW_TRACKING_URI, or where MLflow keeps its own."""

    def __init__(self, subject: Subject) -> None:
        mlflow = library("mlflow", "mlflow")
        self._client = mlflow.MlflowClient()
        found = self._client.get_experiment_by_name("proxyset")
        experiment = self._client.create_experiment("proxyset") if found is None else found.experiment_id
        self._run = self._client.create_run(experiment, run_name=subject.name).info.run_id
        for name, value in subject.settings.items():
            self._client.log_param(self._run, name, str(value)[:LONGEST])

    def log(self, values: Numbers, step: int) -> None:
        for name, value in values.items():
            self._client.log_metric(self._run, re.sub(r"[^/\w.\- ]", "_", name), value, step=step)  # it takes no other

    def close(self) -> None:
        self._client.set_terminated(self._run)


LOGGERS: Registry[Any] = Registry(
    "logger",
    "proxyset.loggers",
    {"tensorboard": "proxyset.loggers:TensorBoard", "mlflow": "proxyset.loggers:MLflow"},
)


class Log:
    """Several loggers as one. One that fails is left out from then on, with a warning: the run goes on."""

    def __init__(self) -> None:
        self.loggers: dict[str, Logger] = {}

    def __call__(self, values: Numbers, step: int) -> None:
        for name, logger in list(self.loggers.items()):
            try:
                logger.log(values, step)
            except Exception as error:  # of a server, of a disk, of somebody's class
                LOG.warning("nothing more is logged to %s: %s", name, describe(error))
                del self.loggers[name]
                _close(logger)

    def close(self) -> None:
        for logger in self.loggers.values():
            _close(logger)


def _close(logger: Logger) -> None:
    with suppress(Exception):
        logger.close()


class Logged:
    """Progress that is shown, with the loss of every whole iteration passed on."""

    def __init__(self, progress: Progress, log: Log) -> None:
        self.progress, self.log = progress, log

    def __call__(self, done: float, total: int, loss: float | None = None) -> None:
        self.progress(done, total, loss)
        if loss is not None and done == int(done):
            self.log({"loss": loss}, int(done))

    def part(self, title: str) -> Progress:
        """What shows a part of the work; its numbers are not passed on."""
        return part_of(self.progress, title)


@contextmanager
def logging_to(names: Sequence[str], subject: Subject) -> Iterator[Log]:
    """What passes numbers on to the loggers of these names, until the block ends.

    Raises:
        InputError: there is no such logger, its library is missing, or it cannot begin.
    """
    log = Log()
    try:
        for name in names:
            try:
                log.loggers[name] = LOGGERS[name](subject)
            except InputError:
                raise
            except Exception as error:
                raise InputError(f"cannot log to {name!r}: {describe(error)}") from None
        yield log
    finally:
        log.close()
