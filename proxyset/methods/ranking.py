"""What coresets compute: a training, features, and greedy picks by them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from proxyset.compute.clock import timed
from proxyset.compute.plan import Engine, Estimate
from proxyset.compute.session import Session
from proxyset.data.formation import fold
from proxyset.data.images import ImageSet
from proxyset.data.spec import DatasetSpec, normalise
from proxyset.errors import InputError
from proxyset.methods.base import Context, Problem
from proxyset.nets.build import build_net
from proxyset.train.fit import Hooks, batch, fit

if TYPE_CHECKING:
    from proxyset.methods.coreset import TrainingCoreset


def pick(problem: Problem, ranked: list[Tensor], formation: int = 1) -> ImageSet:
    """The first `ipc` images of each class's ranking, normalised; f² times as many, shrunk, for a formation of f."""
    tiles = formation**2
    picked = problem.real[torch.cat([index[: problem.ipc * tiles] for index in ranked])]
    targets = picked.targets
    if targets is not None and tiles > 1:
        targets = targets.unflatten(0, (-1, tiles))
    return ImageSet(fold(normalise(picked.images, problem.spec), formation), problem.labels, targets, formation)


def train_network(
    method: TrainingCoreset, problem: Problem, context: Context, events: ForgettingEvents | None = None
) -> nn.Module:
    """A network trained on the whole set as the method says; `events` watches every minibatch."""
    spec = problem.spec
    net = build_net(method.net, **spec.shape, generator=context.generator, device=context.engine.device)
    hooks = Hooks(
        on_batch=events.record if events is not None else None,
        on_epoch=lambda done: context.progress(done, method.epochs),
        extra=events.state() if events is not None else {},
    )
    fit(
        net,
        problem.real,
        spec,
        method.recipe(method.epochs),
        generator=context.generator,
        gradients=context.gradients(method.net, spec),
        hooks=hooks,
        checkpoint=context.checkpoint,
    )
    return net


def time_training(method: TrainingCoreset, problem: Problem, session: Session, engine: Engine) -> Estimate:
    """What `train_network` will take, from two timed minibatches."""
    spec, generator = problem.spec, torch.Generator()
    net = build_net(method.net, **spec.shape, generator=generator, device=engine.device)
    few = problem.real[torch.arange(min(method.batch_size, len(problem.real)))]
    gradients = session.gradients(engine.eager(), method.net, spec.shape)
    train = functools.partial(fit, generator=generator, gradients=gradients)
    seconds = timed(lambda: train(net, few, spec, method.recipe(1)), engine.device)
    return engine.estimate(seconds * method.epochs * len(problem.real) / len(few))


def scaled(features: Tensor) -> Tensor:
    """Every row brought to length 1."""
    return F.normalize(features, dim=1)


class ForgettingEvents:
    """Counts, for each image, how often training turned it from classified correctly to wrongly."""

    def __init__(self, labels: Tensor) -> None:
        self.labels = labels
        self.forgotten = torch.zeros(len(labels), dtype=torch.int64)
        self.correct = torch.zeros(len(labels), dtype=torch.bool)  # when last seen
        self.learned = torch.zeros(len(labels), dtype=torch.bool)  # at least once

    def state(self) -> dict[str, Tensor]:
        return {"forgotten": self.forgotten, "correct": self.correct, "learned": self.learned}

    def record(self, index: Tensor, logits: Tensor) -> None:
        """See one minibatch: positions and logits."""
        correct = logits.argmax(1).cpu() == self.labels[index]
        self.forgotten[index] += self.correct[index] & ~correct
        self.correct[index] = correct
        self.learned[index] |= correct

    def score(self, generator: torch.Generator) -> Tensor:
        """N float64: forgetting events, most for what was never learned (Toneva et al., section 3).

        That is one more than any count, so that the random fraction added to break ties still counts.
        """
        events = torch.where(self.learned, self.forgotten, self.forgotten.max() + 1).double()
        return events + torch.rand(len(events), generator=generator, dtype=torch.float64)


@torch.no_grad()
def embed(net: nn.Module | None, data: ImageSet, spec: DatasetSpec, device: torch.device) -> Tensor:
    """Features N×F of `data`: of `net` in evaluation mode, or the normalised pixels where there is no net."""
    if net is None:
        return normalise(data.images, spec).flatten(1)
    embedding = getattr(net, "embed", None)
    if embedding is None:
        raise InputError(
            f"{type(net).__name__} gives no features: it needs a method `embed` of images (N×C×H×W) to features (N×F)"
        )
    was_training = net.training
    net.eval()
    parts = torch.arange(len(data)).split(256)
    features = torch.cat([embedding(batch(data, index, spec, device)[0]) for index in parts])
    net.train(was_training)
    return features


def herd(features: Tensor, count: int) -> Tensor:
    """Greedy herding without replacement: pick k minimises ‖mean − (φ_k + Σ_{j<k} φ_j) / k‖ (iCaRL, Algorithm 4).

    Args:
        features: N×F of one class.

    Returns:
        `count` positions in the order of picking.
    """
    mean, total = features.mean(0), torch.zeros_like(features[0])
    taken = torch.zeros(len(features), dtype=torch.bool, device=features.device)
    picks = []
    for k in range(1, count + 1):
        distance = (mean - (features + total) / k).norm(dim=1).masked_fill(taken, float("inf"))
        pick = int(distance.argmin())
        picks.append(pick)
        taken[pick] = True
        total = total + features[pick]
    return torch.tensor(picks)


def k_center(features: Tensor, count: int) -> Tensor:
    """Greedy k-center: from the row nearest to the mean on, always the row farthest from all picks.

    Its largest distance to a pick is at most twice the best possible (Gonzalez 1985).

    Args:
        features: N×F of one class.

    Returns:
        `count` positions in the order of picking.
    """
    picks = [int((features - features.mean(0)).norm(dim=1).argmin())]
    distance = (features - features[picks[0]]).norm(dim=1)
    for _ in range(count - 1):
        distance[picks[-1]] = -1.0  # never again, even among duplicates
        picks.append(int(distance.argmax()))
        distance = torch.minimum(distance, (features - features[picks[-1]]).norm(dim=1))
    return torch.tensor(picks)
