"""One trial: an architecture and a source to a score. Knows nothing of how trials are spread over machines."""

import contextlib
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from proxyset.compute.clock import synchronise
from proxyset.compute.footprint import Footprint
from proxyset.compute.gradients import Gradients
from proxyset.compute.plan import Engine, Work
from proxyset.compute.session import Session
from proxyset.data.images import ImageSet
from proxyset.data.spec import DatasetSpec
from proxyset.names import clean_name
from proxyset.nets.classifier import has_batch_norm
from proxyset.registry import describe
from proxyset.seeds import make_generator
from proxyset.train.evaluate import accuracy, mean_loss
from proxyset.train.fit import Hooks, fit
from search.settings import RankingSettings
from search.sources.base import Source, Trained
from search.sources.trained import SCORED, TEST, TRAIN, VALIDATION
from search.space import CHOICES, Candidate

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray | None]
"""Images, labels, and soft targets where there are any: as they travel to the workers."""

TIMED_IMAGES = 100
SCORED_AT_ONCE = 256  # at most
LONGEST_ERROR = 500  # characters of one that are kept


@dataclass(frozen=True)
class Job:
    """One trial to run: `source` scores `candidate`, for the `repeat`-th time."""

    source: str
    candidate: str
    repeat: int = 0


@dataclass(frozen=True)
class TrialContext:
    """What all trials share. Images are numpy arrays, which an object store hands to every worker without a copy.

    Attributes:
        settings: with nothing left open (`settings.fill`).
        sets: by name: "train", "test", "validation" where images were held out, "scored" where only some of them
            rank, and each proxy set under the name of its source.
    """

    spec: DatasetSpec
    settings: RankingSettings
    sets: Mapping[str, Arrays]
    sources: Mapping[str, Source]
    candidates: Mapping[str, Candidate]

    @property
    def judge(self) -> str:
        """The set that ranks."""
        return next(name for name in (SCORED, VALIDATION, TEST) if name in self.sets)

    @property
    def nbytes(self) -> int:
        """Bytes of all images, labels and targets."""
        return sum(array.nbytes for arrays in self.sets.values() for array in arrays if array is not None)


OnEpoch = Callable[[nn.Module, int], None]

Row = dict[str, Any]
"""A finished trial: source, name, repeat, seed, the five choices (None for a user's), parameters, score (what the
source ranks by), accuracy (0..1, of the validation split, or of the test split where none is held out; None where
nothing is trained), seconds, threads, error (None without one).
"""


class Diverged(Exception):
    """The network's outputs or weights are no longer numbers."""


def pack(data: ImageSet) -> Arrays:
    """The images as arrays that can travel."""
    return data.images.numpy(), data.labels.numpy(), None if data.targets is None else data.targets.numpy()


class Workbench:
    """Runs trials on one device; made once per worker, so that the images are brought there once."""

    def __init__(self, context: TrialContext, session: Session | None = None) -> None:
        self.context = context
        self.session = session or Session()
        self.device = self.session.device
        self._sets: dict[str, ImageSet] = {}
        self._parameters: dict[str, int | None] = {}

    def images(self, name: str) -> ImageSet:
        """One of the sets, on the device."""
        if name not in self._sets:
            # a copy would cost memory in every worker; the arrays are read-only and nothing here writes to them
            images, labels, targets = self.context.sets[name]
            data = ImageSet(_tensor(images), _tensor(labels), None if targets is None else _tensor(targets))
            self._sets[name] = data.to(self.device)
        return self._sets[name]

    def run(self, job: Job) -> Row:
        """The row of one trial. An architecture that fails is a row with its error, not a failed run.

        Every random choice comes from the run's seed and the job, so a trial gives the same bits wherever it runs.
        """
        context, started = self.context, time.monotonic()
        generator = job_generator(context, job)
        score, error = None, None
        try:
            score = context.sources[job.source].score(self, context.candidates[job.candidate], generator)
            if not math.isfinite(score):
                score, error = None, f"the score is {score}"
        except Exception as problem:  # out of memory, divergence, whatever a user's network raises
            error = clean_name(describe(problem), longest=LONGEST_ERROR)
        if error is not None and self.device.type == "cuda":
            torch.cuda.empty_cache()
        row = row_of(job, context, score, error, time.monotonic() - started)
        return row | {"parameters": self.count(job.candidate)}

    def count(self, name: str) -> int | None:
        """Parameters of an architecture, counted once; None where it cannot be built."""
        if name not in self._parameters:
            with contextlib.suppress(Exception):  # a user's builder that failed in the trial may fail here as well
                self._parameters[name] = self.context.candidates[name].parameters(self.context.spec)
        return self._parameters.get(name)

    def train_job(self, job: Job, on_epoch: OnEpoch) -> nn.Module:
        """The network of a trial whose source trains, with the random choices of that trial."""
        source = self.context.sources[job.source]
        assert isinstance(source, Trained)
        generator = job_generator(self.context, job)
        return self.train(self.context.candidates[job.candidate], source, generator, on_epoch)

    def train(
        self, candidate: Candidate, source: Trained, generator: torch.Generator, on_epoch: OnEpoch | None = None
    ) -> nn.Module:
        """A network of this architecture, trained as the source says.

        Args:
            on_epoch: called after each epoch with the network and the number of epochs done.

        Raises:
            Diverged: its outputs or weights are not finite.
        """
        spec, settings = self.context.spec, self.context.settings
        net, recipe = candidate.build(spec, generator, self.device), source.recipe(settings)
        engine = self._engine(net, source.images_trained(settings), recipe.batch_size)
        gradients = self._gradients(candidate, net, engine)
        after = None if on_epoch is None else (lambda done: on_epoch(net, done))
        hooks = Hooks(order=source.order(), on_batch=_check_logits, on_epoch=after)
        fit(net, self.images(source.data), spec, recipe, generator=generator, gradients=gradients, hooks=hooks)
        if not all(parameter.isfinite().all() for parameter in net.parameters()):
            raise Diverged("the weights are not finite: lower `lr`")
        return net

    def accuracy(self, net: nn.Module, name: str | None = None) -> float:
        """Share of the images of a set (None: those that rank) that the network classifies correctly (0..1)."""
        return accuracy(
            net, self.images(name or self.context.judge), self.context.spec, self.at_once(net, SCORED_AT_ONCE)
        )

    def loss(self, net: nn.Module) -> float:
        """Mean cross-entropy of the network's answers on the images that rank."""
        return mean_loss(net, self.images(self.context.judge), self.context.spec, self.at_once(net, SCORED_AT_ONCE))

    def at_once(self, net: nn.Module, count: int) -> int:
        """How many of `count` images pass through a network at a time, eagerly and in fp32."""
        return self.session.plan().microbatch(self._footprint(net), count)

    def seconds_per_image(self, candidate: Candidate) -> float:
        """Time of training on one image, from the second of two steps; 0 for an architecture that fails."""
        settings, spec, seconds = self.context.settings, self.context.spec, [0.0]
        recipe, data = settings.recipe(2), self.images(TRAIN)
        count = min(TIMED_IMAGES, recipe.batch_size, len(data))

        def on_epoch(done: int) -> None:
            synchronise(self.device)
            seconds.append(time.monotonic())

        with contextlib.suppress(Exception):  # it will be a row with its error
            net = candidate.build(spec, torch.Generator(), self.device)
            gradients = self._gradients(candidate, net, self._engine(net, 2 * count, count).eager())
            hooks = Hooks(order=lambda generator: [torch.arange(count)], on_epoch=on_epoch)
            fit(net, data, spec, recipe, generator=torch.Generator(), gradients=gradients, hooks=hooks)
        return (seconds[2] - seconds[1]) / count if len(seconds) == 3 else 0.0

    def _engine(self, net: nn.Module, images: int, batch_size: int) -> Engine:
        """How a training on so many images in all, epochs counted, will run."""
        work = Work(self._footprint(net), images, math.ceil(images / batch_size), has_batch_norm(net))
        return self.session.plan(work)

    def _footprint(self, net: nn.Module) -> Footprint:
        return self.session.footprint(net, self.context.spec.channels, self.context.spec.size)

    def _gradients(self, candidate: Candidate, net: nn.Module, engine: Engine) -> Gradients:
        spec = self.context.spec
        if candidate.builder is None:
            return self.session.gradients(engine, candidate.name, spec.shape)
        return self.session.gradients_of(engine, net, spec.channels, spec.size)


def job_generator(context: TrialContext, job: Job) -> torch.Generator:
    """What every random choice of a trial comes from, wherever it runs."""
    return make_generator(context.settings.seed, "trial", job.source, job.candidate, job.repeat)


def check_memory(
    candidates: Sequence[Candidate], spec: DatasetSpec, settings: RankingSettings, session: Session
) -> None:
    """Raise `InputError` where not even one image at a time fits under the memory limit."""
    engine = session.plan(None)
    if engine.memory_limit is not None:
        for candidate in candidates:
            cost = session.footprint(candidate.outline(spec), spec.channels, spec.size)
            engine.microbatch(cost, settings.on_proxy().batch_size)


def row_of(job: Job, context: TrialContext, score: float | None, error: str | None, seconds: float) -> Row:
    """What is kept of a trial; its parameters are left open."""
    candidate, source = context.candidates[job.candidate], context.sources[job.source]
    return {
        "source": job.source,
        "name": job.candidate,
        "repeat": job.repeat,
        "seed": context.settings.seed,
        **{choice: getattr(candidate.arch, choice, None) for choice in CHOICES},
        "parameters": None,
        "score": score,
        "accuracy": score if source.unit == "accuracy" else None,
        "seconds": seconds,
        "threads": torch.get_num_threads(),
        "error": error,
    }


def _check_logits(index: Tensor, logits: Tensor) -> None:
    if not logits.isfinite().all():
        raise Diverged("the logits are not finite: lower `lr`")


def _tensor(array: np.ndarray) -> Tensor:
    """A tensor over the array's own memory. Arrays from an object store are read-only, and nothing here writes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
