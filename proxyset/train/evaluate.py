"""How good a training set is: train fresh networks on it, test them on the real test split (paper, section 4.1)."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from proxyset.compute.plan import Work
from proxyset.compute.session import Session
from proxyset.data.advice import no_test_images
from proxyset.data.images import ImageSet
from proxyset.data.spec import DatasetSpec
from proxyset.nets.build import build_net, outline
from proxyset.nets.classifier import has_batch_norm
from proxyset.progress import Progress, shown
from proxyset.seeds import make_generator
from proxyset.train.fit import Hooks, batch, fit
from proxyset.train.protocols import Evaluation
from proxyset.train.recipe import Recipe


@dataclass(frozen=True)
class Score:
    """Test accuracies (0..1) of `len(accuracies)` networks that were trained from scratch, and what it took."""

    net: str
    accuracies: tuple[float, ...]
    seconds: float

    @property
    def mean(self) -> float:
        return float(np.mean(self.accuracies))

    @property
    def std(self) -> float:
        """Over the networks, as the paper reports it (population standard deviation)."""
        return float(np.std(self.accuracies))

    def to_dict(self) -> dict[str, object]:
        return asdict(self) | {"mean": self.mean, "std": self.std, "n": len(self.accuracies)}

    def __str__(self) -> str:
        return f"{100 * self.mean:.1f} ± {100 * self.std:.1f} % ({len(self.accuracies)} × {self.net})"


def evaluate(
    train: ImageSet | Callable[[int], ImageSet],
    test: ImageSet,
    spec: DatasetSpec,
    protocol: Evaluation | None = None,
    *,
    net: str = "convnet",
    seed: int = 0,
    session: Session | None = None,
    progress: Progress | bool | None = None,
) -> Score:
    """Train fresh networks on `train` and measure each on `test`.

    Args:
        train: the set, or a function from the network's number to its set (for a new random draw each time).
        test: real images that no method has seen.
        protocol: epochs, augmentation and the rest; None: the paper's. Tested is the network after the last epoch.
        seed: the networks' weights, orders and augmentations derive from it.
        session: where it runs (None: decided here).
        progress: see `proxyset.progress.shown`.

    Raises:
        InputError: there are no test images.
    """
    protocol, session = protocol or Evaluation(), session or Session()
    if not len(test):
        raise no_test_images(spec.name)
    show, started = shown(progress, f"{spec.name} on {net}"), time.monotonic()
    data = train(0) if callable(train) else train
    recipe = protocol.resolved(len(data), data.formation)
    engine = session.plan(training_work(session, net, spec, recipe, data.trained_on, protocol.nets))
    size = engine.microbatch(session.footprint(outline(net, **spec.shape), spec.channels, spec.size), 256)
    accuracies = []
    for number in range(protocol.nets):
        if callable(train) and number:
            data = train(number)
        generator = make_generator(seed, "evaluate", net, number)
        model = build_net(net, **spec.shape, generator=generator, device=session.device)
        before = number * recipe.epochs
        hooks = Hooks(on_epoch=lambda done, n=before: show(n + done, protocol.nets * recipe.epochs))  # type: ignore[misc]
        gradients = session.gradients(engine, net, spec.shape)
        fit(model, data, spec, recipe, generator=generator, gradients=gradients, hooks=hooks)
        accuracies.append(accuracy(model, test, spec, size))
    return Score(net, tuple(accuracies), time.monotonic() - started)


def training_work(session: Session, net: str, spec: DatasetSpec, recipe: Recipe, images: int, repeats: int = 1) -> Work:
    """How much there is to do in training a network by name `repeats` times on so many images."""
    structure = outline(net, **spec.shape)
    passed = repeats * recipe.epochs * images
    cost = session.footprint(structure, spec.channels, spec.size)
    return Work(cost, passed, passed / min(recipe.batch_size, max(1, images)), has_batch_norm(structure))


@torch.no_grad()
def accuracy(net: nn.Module, data: ImageSet, spec: DatasetSpec, batch_size: int = 256) -> float:
    """Share of `data` that `net`, in evaluation mode, classifies correctly (0..1)."""
    return (predict(net, data, spec, batch_size).cpu() == data.labels.cpu()).float().mean().item()


def mean_loss(net: nn.Module, data: ImageSet, spec: DatasetSpec, batch_size: int = 256) -> float:
    """Mean cross-entropy (nats) of what `net`, in evaluation mode, answers on `data`."""
    return F.cross_entropy(_logits(net, data, spec, batch_size), data.labels.to(_device(net))).item()


def predict(net: nn.Module, data: ImageSet, spec: DatasetSpec, batch_size: int = 256) -> Tensor:
    """The class that `net`, in evaluation mode, gives each image: N int64."""
    return _logits(net, data, spec, batch_size).argmax(1)


@torch.no_grad()
def _logits(net: nn.Module, data: ImageSet, spec: DatasetSpec, batch_size: int) -> Tensor:
    """N×classes, of the network in evaluation mode."""
    was_training = net.training
    net.eval()
    parts = torch.arange(len(data)).split(batch_size)
    logits = [net(batch(data, index, spec, _device(net))[0]) for index in parts]
    net.train(was_training)
    return torch.cat(logits)


def _device(net: nn.Module) -> torch.device:
    return next(net.parameters()).device
