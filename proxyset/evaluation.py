"""How good a training set is: train fresh networks on it, test them on the real test split (paper, section 4.1)."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from pydantic import Field

from proxyset.augment import ALL, operations
from proxyset.data import DatasetSpec, ImageSet
from proxyset.engine import Work, footprint, plan
from proxyset.kernels import kernels
from proxyset.nets import build_net, has_batch_norm, outline
from proxyset.progress import Progress, silent
from proxyset.seeds import make_generator
from proxyset.settings import Compute, InputError, Settings
from proxyset.train import accuracy, fit, halfway


class Evaluation(Settings):
    """The evaluation protocol; the defaults are the paper's."""

    nets: int = Field(20, ge=1, description="fresh networks to train (paper: 20 per set)")
    epochs: int | None = Field(
        None,
        ge=1,
        description="training epochs (None: 1000 with augmentation, 300 without, as in the paper's code)",
    )
    augment: str = Field(
        ALL,
        description="augmentation while training, such as crop_scale, or none; flip only where it is allowed",
    )
    lr: float = Field(0.01, gt=0, description="learning rate; times 0.1 at half of the epochs")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of SGD")
    weight_decay: float = Field(5e-4, ge=0, description="weight decay")
    batch_size: int = Field(256, ge=1, description="minibatch size")

    def resolved_epochs(self) -> int:
        return self.epochs or (300 if self.augment == "none" else 1000)


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


def evaluate(
    train: ImageSet | Callable[[int], ImageSet],
    test: ImageSet,
    spec: DatasetSpec,
    protocol: Evaluation | None = None,
    *,
    net: str = "convnet",
    seed: int = 0,
    compute: Compute | None = None,
    progress: Progress = silent,
) -> Score:
    """Train fresh networks on `train` and measure each on `test`.

    Args:
        train: the set, or a function from the network's number to its set (for a new random draw each time).
        test: real images that no method has seen.
        protocol: epochs, augmentation and the rest; None: the paper's.
        seed: the networks' weights, orders and augmentations derive from it.
        compute: device, precision and the rest (None: left to `engine.plan`).

    Raises:
        InputError: there are no test images.
    """
    protocol = protocol or Evaluation()
    if not len(test):
        raise InputError(f"{spec.name} has no test images to evaluate on")
    transforms = operations(protocol.augment, spec.flip)
    epochs = protocol.resolved_epochs()
    started = time.monotonic()
    structure = outline(net, **spec.shape)
    cost = footprint(structure, spec.channels, spec.size)
    data = train(0) if callable(train) else train
    images = protocol.nets * epochs * len(data)
    work = Work(cost, images, images / min(protocol.batch_size, len(data)), has_batch_norm(structure))
    engine = plan(compute or Compute(), work)
    accuracies = []
    for number in range(protocol.nets):
        if callable(train) and number:
            data = train(number)
        generator = make_generator(seed, "evaluate", net, number)
        model = build_net(net, **spec.shape, generator=generator, device=engine.device)
        fit(
            model,
            data,
            spec,
            epochs=epochs,
            lr=protocol.lr,
            momentum=protocol.momentum,
            weight_decay=protocol.weight_decay,
            batch_size=protocol.batch_size,
            milestones=halfway(epochs),
            operations=transforms,
            generator=generator,
            kernels=kernels(engine, net, **spec.shape),
            on_epoch=lambda done, n=number: progress(n * epochs + done, protocol.nets * epochs),  # type: ignore[misc]
        )
        accuracies.append(accuracy(model, test, spec, engine.microbatch(cost, 256)))
    return Score(net, tuple(accuracies), time.monotonic() - started)
