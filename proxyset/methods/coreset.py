"""Methods that pick real images: random, herding, k-center, k-means, forgetting. `ranking.py` has what they compute.

This file can be read without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from proxyset.methods.base import Context, Formed, Method, Problem
from proxyset.train.recipe import MOST_EPOCHS, Training

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from proxyset.compute.plan import Engine, Estimate, Work
    from proxyset.compute.session import Session
    from proxyset.data.images import ImageSet


class Coreset(Formed, Method):
    """Base of the methods that rank each class's real images and keep the head of the list.

    With a formation of f they keep f² times as many, shrunk into the stored images.
    """

    picks_real: ClassVar[bool] = True
    uses_targets: ClassVar[bool] = True

    def rank(self, problem: Problem, context: Context) -> list[Tensor]:
        """For each class the positions in `problem.real` of at least `ipc`·f² images, best first."""
        raise NotImplementedError

    def condense(self, problem: Problem, context: Context) -> ImageSet:
        """The picked images, with their soft targets where the real set has any."""
        from proxyset.methods.ranking import pick

        self.check(problem)
        return pick(problem, self.rank(problem, context), self.formation)


class Random(Coreset):
    """Images drawn at random without replacement, the same number from every class."""

    name: ClassVar[str] = "random"

    def rank(self, problem: Problem, context: Context) -> list[Tensor]:
        import torch

        return [index[torch.randperm(len(index), generator=context.generator)] for index in problem.classes]


class TrainingCoreset(Coreset, Training):
    """Base of the methods that first train a network on the whole set."""

    net: str = Field(
        "convnet", description="network trained on the whole set, or package.module:function, whose code is run"
    )
    epochs: int = Field(20, ge=1, le=MOST_EPOCHS, description="epochs of that training")
    augment: str = Field("none", description="augmentation in that training, such as crop_scale, or none")

    def trains(self) -> bool:
        return True

    def check(self, problem: Problem) -> None:
        from proxyset.data import augment
        from proxyset.nets.build import check_net

        super().check(problem)
        if self.trains():
            check_net(self.net, **problem.spec.shape)
            augment.operations(self.augment, problem.spec.flip)

    def total_steps(self, problem: Problem) -> int:
        return self.epochs if self.trains() else 0

    def work(self, problem: Problem, session: Session) -> Work | None:
        """The training, where there is one: with `memory_limit` and `precision` as everywhere."""
        if not self.trains():
            return None
        from proxyset.train.evaluate import training_work

        return training_work(session, self.net, problem.spec, self.recipe(self.epochs), len(problem.real))

    def estimate(self, problem: Problem, session: Session, engine: Engine) -> Estimate:
        from proxyset.methods.ranking import time_training

        return (
            time_training(self, problem, session, engine)
            if self.trains()
            else super().estimate(problem, session, engine)
        )


class FeatureCoreset(TrainingCoreset):
    """Base of the methods that pick by distances between features of the images of one class."""

    features: Literal["network", "pixels"] = Field("network", description="features of the trained network, or pixels")
    l2_normalise: bool = Field(True, description="scale every feature vector to length 1 (iCaRL, EEIL)")

    def trains(self) -> bool:
        return self.features == "network"

    def pick(self, features: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """Positions of `count` rows of `features` (N×F), best first."""
        raise NotImplementedError

    def rank(self, problem: Problem, context: Context) -> list[Tensor]:
        from proxyset.methods.ranking import train_network

        net = train_network(self, problem, context) if self.trains() else None
        return self.rank_by(net, problem, context.engine.device, context.generator)

    def rank_by(
        self, net: nn.Module | None, problem: Problem, device: torch.device, generator: torch.Generator
    ) -> list[Tensor]:
        """For each class the positions in `problem.real` of `ipc`·f² images, best first, by features of a network.

        Args:
            net: None: pixels. Continual learning ranks with the network that is being learned (iCaRL, EEIL).
        """
        from proxyset.methods.ranking import embed, scaled

        ranked = []
        for index in problem.classes:
            features = embed(net, problem.real[index], problem.spec, device)
            features = scaled(features) if self.l2_normalise else features
            ranked.append(index[self.pick(features, problem.ipc * self.tiles(), generator).cpu()])
        return ranked


class Herding(FeatureCoreset):
    """Picks whose running mean of features stays nearest to the mean of the class (Welling 2009; iCaRL, Alg. 4)."""

    name: ClassVar[str] = "herding"

    def pick(self, features: Tensor, count: int, generator: torch.Generator) -> Tensor:
        from proxyset.methods.ranking import herd

        return herd(features, count)


class KCenter(FeatureCoreset):
    """Picks that leave no image of the class far from its nearest pick (Sener & Savarese 2018, greedy 2-OPT)."""

    name: ClassVar[str] = "k-center"

    def pick(self, features: Tensor, count: int, generator: torch.Generator) -> Tensor:
        from proxyset.methods.ranking import k_center

        return k_center(features, count)


class KMeans(FeatureCoreset):
    """Picks nearest to the centres of k-means, so that they cover a class evenly (DREAM, Liu et al., ICCV 2023)."""

    name: ClassVar[str] = "k-means"

    def pick(self, features: Tensor, count: int, generator: torch.Generator) -> Tensor:
        from proxyset.methods.centres import nearest_to_centres

        return nearest_to_centres(features, count, generator)


class Forgetting(TrainingCoreset):
    """Images most often forgotten in training (Toneva et al. 2019); never learned ones come first, ties at random."""

    name: ClassVar[str] = "forgetting"

    def rank(self, problem: Problem, context: Context) -> list[Tensor]:
        from proxyset.methods.ranking import ForgettingEvents, train_network

        events = ForgettingEvents(problem.real.labels)
        train_network(self, problem, context, events)
        score = events.score(context.generator)
        return [index[score[index].argsort(descending=True)] for index in problem.classes]
