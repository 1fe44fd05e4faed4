"""One trial: an architecture and a source to a score. Knows nothing of how trials are spread over machines."""

import contextlib
import math
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from proxyset.augment import operations
from proxyset.data import DatasetSpec, ImageSet, normalise
from proxyset.engine import synchronise
from proxyset.seeds import make_generator
from proxyset.train import accuracy, fit, halfway
from search.settings import Schedule
from search.space import CHOICES, Candidate

Kind = Literal["proxy", "early-stop", "params", "jacobian", "whole"]
Arrays = tuple[np.ndarray, np.ndarray]

JACOBIAN_IMAGES = 128
TIMED_IMAGES = 100
EPSILON = 1e-5


@dataclass(frozen=True)
class Source:
    """Where a ranking comes from.

    Attributes:
        name: as in the tables.
        images: how many images it needs to keep: of the proxy set, or of the whole set.
        seconds: what building it took, besides the trials.
        batch, batches: early-stop's minibatch and how many of them count as an epoch.
        sha256, file: of the proxy set.
    """

    name: str
    kind: Kind
    images: int = 0
    seconds: float = 0.0
    batch: int = 0
    batches: int = 0
    sha256: str = ""
    file: str = ""


@dataclass(frozen=True)
class Job:
    """One trial to run: `source` scores `candidate`, for the `repeat`-th time."""

    source: str
    candidate: str
    repeat: int = 0


@dataclass(frozen=True)
class Context:
    """What all trials share. Images are numpy arrays, which an object store hands to every worker without a copy."""

    spec: DatasetSpec
    training: Schedule
    seed: int
    sets: dict[str, Arrays]
    sources: dict[str, Source]
    candidates: dict[str, Candidate]


Row = dict[str, Any]
"""A finished trial: source, name, repeat, seed, the five choices (None for a user's), parameters, score (what the
source ranks by), accuracy (0..1, of the test split; None where nothing is trained), seconds, error (None without one).
"""


class Diverged(Exception):
    """The network's outputs or weights are no longer numbers."""


def pack(data: ImageSet) -> Arrays:
    return data.images.numpy(), data.labels.numpy()


class Workbench:
    """Runs trials on one device; made once per worker, so that the images are brought there once."""

    def __init__(self, context: Context, device: torch.device | str = "cpu") -> None:
        self.context = context
        self.device = torch.device(device)
        self._sets: dict[str, ImageSet] = {}

    def images(self, name: str) -> ImageSet:
        """A training set or `test`, on the device."""
        if name not in self._sets:
            # a copy would cost memory in every worker; the arrays are read-only and nothing here writes to them
            images, labels = (_tensor(array) for array in self.context.sets[name])
            self._sets[name] = ImageSet(images, labels).to(self.device)
        return self._sets[name]

    def run(self, job: Job) -> Row:
        """The row of one trial. An architecture that fails is a row with its error, not a failed run.

        Every random choice comes from the run's seed and the job, so a trial gives the same bits wherever it runs.
        """
        context, started = self.context, time.monotonic()
        candidate = context.candidates[job.candidate]
        source = context.sources[job.source]
        score, error = None, None
        try:
            score = self._score(source, candidate, job)
            if not math.isfinite(score):
                score, error = None, f"the score is {score}"
        except Exception as problem:  # out of memory, divergence, whatever a user's network raises
            error = " ".join(f"{type(problem).__name__}: {problem}".split())
        if error is not None and self.device.type == "cuda":
            torch.cuda.empty_cache()
        return row_of(job, context, score, error, time.monotonic() - started)

    def images_seen(self, job: Job) -> int:
        """How many images a job trains on in all, epochs counted; what it costs."""
        source, training = self.context.sources[job.source], self.context.training
        if source.kind in ("params", "jacobian"):
            return 0
        if source.kind == "early-stop":
            return training.epochs * source.batch * source.batches
        epochs = training.whole_epochs if source.kind == "whole" else training.epochs
        return epochs * source.images

    def seconds_per_image(self, candidate: Candidate) -> float:
        """Time of training on one image, from the second of two steps; 0 for an architecture that fails."""
        training, seconds = self.context.training, [0.0]
        count = min(TIMED_IMAGES, training.batch_size, len(self.images("train")))

        def order(generator: torch.Generator) -> Iterable[Tensor]:
            return [torch.arange(count)]

        def on_epoch(done: int) -> None:
            synchronise(self.device)
            seconds.append(time.monotonic())

        generator = torch.Generator()
        with contextlib.suppress(Exception):  # it will be a row with its error
            net = candidate.build(self.context.spec, generator, self.device)
            spec, data = self.context.spec, self.images("train")
            fit(net, data, spec, epochs=2, lr=0.0, generator=generator, order=order, on_epoch=on_epoch)
        return (seconds[2] - seconds[1]) / count if len(seconds) == 3 else 0.0

    def _score(self, source: Source, candidate: Candidate, job: Job) -> float:
        spec = self.context.spec
        if source.kind == "params":
            return float(candidate.parameters(spec))
        generator = make_generator(self.context.seed, "trial", job.source, job.candidate, job.repeat)
        net = candidate.build(spec, generator, self.device)
        if source.kind == "jacobian":
            return jacobian_covariance(net, self._minibatch())
        self._train(net, source, generator)
        return accuracy(net, self.images("test"), spec)

    def _minibatch(self) -> Tensor:
        """The same real images (their labels are not looked at) for every architecture."""
        data = self.images("train")
        generator = make_generator(self.context.seed, "jacobian")
        index = torch.randperm(len(data), generator=generator)[:JACOBIAN_IMAGES]
        return normalise(data.images[index.to(self.device)], self.context.spec)

    def _train(self, net: nn.Module, source: Source, generator: torch.Generator) -> None:
        training, spec = self.context.training, self.context.spec
        data = self.images(source.name if source.kind == "proxy" else "train")
        epochs = training.whole_epochs if source.kind == "whole" else training.epochs
        fit(
            net,
            data,
            spec,
            epochs=epochs,
            lr=training.lr,
            momentum=training.momentum,
            weight_decay=training.weight_decay,
            batch_size=training.batch_size,
            milestones=halfway(epochs),
            operations=operations(training.augment, spec.flip),
            generator=generator,
            order=some_batches(len(data), source.batch, source.batches) if source.kind == "early-stop" else None,
            on_batch=_check_logits,
        )
        if not all(parameter.isfinite().all() for parameter in net.parameters()):
            raise Diverged("the weights are not finite: lower --lr")


def row_of(job: Job, context: Context, score: float | None, error: str | None, seconds: float) -> Row:
    candidate, source = context.candidates[job.candidate], context.sources[job.source]
    try:
        parameters = candidate.parameters(context.spec)
    except Exception:  # a user's builder that failed in the trial may fail here as well
        parameters = None
    return {
        "source": job.source,
        "name": job.candidate,
        "repeat": job.repeat,
        "seed": context.seed,
        **{choice: getattr(candidate.arch, choice, None) for choice in CHOICES},
        "parameters": parameters,
        "score": score,
        "accuracy": None if source.kind in ("params", "jacobian") else score,
        "seconds": seconds,
        "error": error,
    }


def some_batches(length: int, batch: int, batches: int) -> Callable[[torch.Generator], Iterable[Tensor]]:
    """An order for `fit` whose epoch is only `batches` minibatches of a fresh shuffle of `length` images."""
    return lambda generator: torch.randperm(length, generator=generator).split(batch)[:batches]


def jacobian_covariance(net: nn.Module, images: Tensor) -> float:
    """How differently an untrained network responds to different images: higher is better. No labels, no training.

    With J the gradients of the summed logits at each of the N images (N×(C·H·W)), Σ the correlation matrix of its rows
    and σ its eigenvalues: −Σ_i [log(σ_i + k) + 1/(σ_i + k)], k = 1e-5 (Mellor, Turner, Storkey & Crowley, "Neural
    Architecture Search without Training", arXiv:2006.04647v1, section 3).

    Args:
        images: normalised, N×C×H×W.

    Returns:
        The score; NaN where some image's gradient is constant, which has no correlation.
    """
    images = images.detach().requires_grad_()
    (jacobian,) = torch.autograd.grad(net(images).sum(), images)
    correlation = jacobian.flatten(1).double().cpu().corrcoef()
    if not correlation.isfinite().all():
        return math.nan
    eigenvalues = torch.linalg.eigvalsh(correlation).clamp(min=0) + EPSILON
    return -(eigenvalues.log() + 1 / eigenvalues).sum().item()


def _check_logits(index: Tensor, logits: Tensor) -> None:
    if not logits.isfinite().all():
        raise Diverged("the logits are not finite: lower --lr")


def _tensor(array: np.ndarray) -> Tensor:
    """A tensor over the array's own memory. Arrays from an object store are read-only, and nothing here writes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
