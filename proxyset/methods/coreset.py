"""Methods that pick real images: random, herding, k-center, forgetting."""

import functools
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from proxyset.checkpoint import Checkpoint
from proxyset.data import DatasetSpec, ImageSet, normalise
from proxyset.engine import Engine, Estimate, timed
from proxyset.kernels import kernels
from proxyset.methods.base import Method
from proxyset.nets import build_net, check_net
from proxyset.progress import Progress, silent
from proxyset.train import batch, fit, halfway


class Coreset(Method):
    """Base of the methods that rank each class's real images and keep the head of the list."""

    picks_real: ClassVar[bool] = True

    def rank(
        self,
        real: ImageSet,
        spec: DatasetSpec,
        ipc: int,
        generator: torch.Generator,
        engine: Engine,
        progress: Progress,
        checkpoint: Checkpoint | None,
    ) -> list[Tensor]:
        """For each class the positions in `real` of at least `ipc` images, best first."""
        raise NotImplementedError

    def condense(
        self,
        real: ImageSet,
        spec: DatasetSpec,
        ipc: int,
        *,
        generator: torch.Generator,
        engine: Engine,
        progress: Progress = silent,
        checkpoint: Checkpoint | None = None,
    ) -> ImageSet:
        self.check(real, spec, ipc)
        ranked = self.rank(real, spec, ipc, generator, engine, progress, checkpoint)
        picked = real[torch.cat([index[:ipc] for index in ranked])]
        return ImageSet(normalise(picked.images, spec), picked.labels)


class Random(Coreset):
    """Images drawn at random without replacement, the same number from every class."""

    name: ClassVar[str] = "random"

    def rank(
        self,
        real: ImageSet,
        spec: DatasetSpec,
        ipc: int,
        generator: torch.Generator,
        engine: Engine,
        progress: Progress,
        checkpoint: Checkpoint | None,
    ) -> list[Tensor]:
        classes = real.indices_by_class(spec.classes)
        return [index[torch.randperm(len(index), generator=generator)] for index in classes]


class TrainingCoreset(Coreset):
    """Base of the methods that first train a network on the whole set."""

    net: str = Field("convnet", description="network trained on the whole set")
    epochs: int = Field(20, ge=1, description="epochs of that training")
    lr: float = Field(0.01, gt=0, description="its learning rate; times 0.1 at half of the epochs")
    momentum: float = Field(0.9, ge=0, lt=1, description="its momentum")
    weight_decay: float = Field(5e-4, ge=0, description="its weight decay")
    batch_real: int = Field(256, ge=1, description="its minibatch size")

    def trains(self) -> bool:
        return True

    def check(self, real: ImageSet, spec: DatasetSpec, ipc: int) -> None:
        super().check(real, spec, ipc)
        if self.trains():
            check_net(self.net, **spec.shape)

    def estimate(self, real: ImageSet, spec: DatasetSpec, ipc: int, engine: Engine) -> Estimate:
        if not self.trains():
            return Estimate()
        generator = torch.Generator()
        net = self._net(spec, generator, engine)
        few = real[torch.arange(min(self.batch_real, len(real)))]
        own = kernels(engine.eager(), self.net, **spec.shape)
        train = functools.partial(
            fit, epochs=1, lr=self.lr, generator=generator, batch_size=self.batch_real, kernels=own
        )
        seconds = timed(lambda: train(net, few, spec), engine.device)
        return engine.estimate(seconds * self.epochs * len(real) / len(few))

    def _net(self, spec: DatasetSpec, generator: torch.Generator, engine: Engine) -> nn.Module:
        return build_net(self.net, **spec.shape, generator=generator, device=engine.device)

    def _train(
        self,
        real: ImageSet,
        spec: DatasetSpec,
        generator: torch.Generator,
        engine: Engine,
        progress: Progress,
        checkpoint: Checkpoint | None,
        events: "ForgettingEvents | None" = None,
    ) -> nn.Module:
        net = self._net(spec, generator, engine)
        fit(
            net,
            real,
            spec,
            epochs=self.epochs,
            lr=self.lr,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            batch_size=self.batch_real,
            kernels=kernels(engine, self.net, **spec.shape),
            milestones=halfway(self.epochs),
            generator=generator,
            on_batch=events.record if events is not None else None,
            on_epoch=lambda done: progress(done, self.epochs),
            checkpoint=checkpoint,
            extra=events.state() if events is not None else None,
        )
        return net


class FeatureCoreset(TrainingCoreset):
    """Base of the methods that pick by distances between features of the images of one class."""

    features: Literal["network", "pixels"] = Field("network", description="features of the trained network, or pixels")
    l2_normalise: bool = Field(True, description="scale every feature vector to length 1 (iCaRL, EEIL)")

    def trains(self) -> bool:
        return self.features == "network"

    def pick(self, features: Tensor, count: int) -> Tensor:
        """Positions of `count` rows of `features` (N×F), best first."""
        raise NotImplementedError

    def rank(
        self,
        real: ImageSet,
        spec: DatasetSpec,
        ipc: int,
        generator: torch.Generator,
        engine: Engine,
        progress: Progress,
        checkpoint: Checkpoint | None,
    ) -> list[Tensor]:
        net = self._train(real, spec, generator, engine, progress, checkpoint) if self.trains() else None
        return self.rank_by(net, real, spec, ipc, engine.device)

    def rank_by(
        self, net: nn.Module | None, real: ImageSet, spec: DatasetSpec, ipc: int, device: torch.device
    ) -> list[Tensor]:
        """For each class the positions in `real` of `ipc` images, best first, by the features of a network at hand
        (None: pixels); continual learning ranks with the network that is being learned (iCaRL, EEIL).
        """
        ranked = []
        for index in real.indices_by_class(spec.classes):
            features = embed(net, real[index], spec, device)
            if self.l2_normalise:
                features = F.normalize(features, dim=1)
            ranked.append(index[self.pick(features, ipc).cpu()])
        return ranked


class Herding(FeatureCoreset):
    """Picks whose running mean of features stays nearest to the mean of the class (Welling 2009; iCaRL, Alg. 4)."""

    name: ClassVar[str] = "herding"

    def pick(self, features: Tensor, count: int) -> Tensor:
        return herd(features, count)


class KCenter(FeatureCoreset):
    """Picks that leave no image of the class far from its nearest pick (Sener & Savarese 2018, greedy 2-OPT)."""

    name: ClassVar[str] = "k-center"

    def pick(self, features: Tensor, count: int) -> Tensor:
        return k_center(features, count)


class Forgetting(TrainingCoreset):
    """Images most often forgotten in training (Toneva et al. 2019); never learned ones come first, ties at random."""

    name: ClassVar[str] = "forgetting"

    def rank(
        self,
        real: ImageSet,
        spec: DatasetSpec,
        ipc: int,
        generator: torch.Generator,
        engine: Engine,
        progress: Progress,
        checkpoint: Checkpoint | None,
    ) -> list[Tensor]:
        events = ForgettingEvents(real.labels)
        self._train(real, spec, generator, engine, progress, checkpoint, events)
        score = events.score() + torch.rand(len(real), generator=generator, dtype=torch.float64)
        return [index[score[index].argsort(descending=True)] for index in real.indices_by_class(spec.classes)]


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

    def score(self) -> Tensor:
        """N float64: forgetting events; infinite for what was never learned, as in Toneva et al., section 3.

        Infinity is one more than any count, so that a fraction added to break ties still counts.
        """
        return torch.where(self.learned, self.forgotten, self.forgotten.max() + 1).double()


@torch.no_grad()
def embed(net: nn.Module | None, data: ImageSet, spec: DatasetSpec, device: torch.device) -> Tensor:
    """Features N×F of `data`: of `net` in evaluation mode, or the normalised pixels where there is no net."""
    if net is None:
        return normalise(data.images, spec).flatten(1)
    was_training = net.training
    net.eval()
    parts = torch.arange(len(data)).split(256)
    features = torch.cat([net.embed(batch(data, index, spec, device)[0]) for index in parts])  # type: ignore[operator]
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
