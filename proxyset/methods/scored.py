"""Methods that pick real images by how networks answer for them: entropy, EL2N, GraNd.

`difficulty.py` has what they compute. This file can be read without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from proxyset.methods.base import Context, Problem
from proxyset.methods.coreset import Coreset, TrainingCoreset
from proxyset.train.recipe import MOST_EPOCHS

if TYPE_CHECKING:
    from torch import Tensor, nn

    from proxyset.compute.plan import Engine, Estimate
    from proxyset.compute.session import Session
    from proxyset.methods.snapshots import Course


class Entropy(TrainingCoreset):
    """Images drawn by the entropy of a trained network's answers, for architecture search (Na et al., 2021).

    All images are counted in bins of log10 of the entropy. In each class, an image is drawn by the weight of its bin,
    shared equally among all images of that bin.
    """

    name: ClassVar[str] = "entropy"

    bin_width: float = Field(0.5, gt=0, description="of the histogram, in powers of ten (the authors', for CIFAR-10)")
    bins: Literal["tails", "equal", "inverse"] = Field(
        "tails",
        description="weight of a bin of h images: most h + 1 − h (the authors' P1), 1 (P2), or 1 / h (P3)",
    )

    def rank(self, problem: Problem, context: Context) -> list[Tensor]:
        from proxyset.methods.difficulty import answer_entropy, histogram_weights
        from proxyset.methods.ranking import train_network

        net = train_network(self, problem, context)
        entropy = answer_entropy(net, problem.real, problem.spec)
        weights = histogram_weights(entropy, self.bin_width, self.bins)
        return [index[weights[index].multinomial(len(index), generator=context.generator)] for index in problem.classes]


class DifficultyCoreset(Coreset):
    """Base of the methods that rank by how far early networks are from the right answer (Paul et al., NeurIPS 2021)."""

    net: str = Field(
        "convnet", description="networks trained on the whole set, or package.module:function, whose code is run"
    )
    epochs: int = Field(10, ge=1, le=MOST_EPOCHS, description="epochs after which they are asked (paper: 10 to 20)")
    trainings: int = Field(10, ge=1, le=1000, description="networks whose answers are averaged (paper: 10)")
    keep: Literal["hardest", "easiest"] = Field(
        "hardest", description="which images come first; the paper keeps the hardest, of large sets"
    )

    def check(self, problem: Problem) -> None:
        from proxyset.nets.build import check_net

        super().check(problem)
        check_net(self.net, **problem.spec.shape)

    def trainings_from(self, problem: Problem, first: int = 0) -> list[Course]:
        """The trainings, numbered from `first` on; each is kept for other builds."""
        from proxyset.methods.snapshots import course_of

        numbers = range(first, first + self.trainings)
        return [course_of(problem, self.net, self.epochs, number=number, whole=True) for number in numbers]

    def measure(self, net: nn.Module, problem: Problem) -> Tensor:
        """How far a network is from the answer, for every real image: N float32 on the CPU."""
        raise NotImplementedError

    def rank(self, problem: Problem, context: Context) -> list[Tensor]:
        from proxyset.methods.difficulty import mean_score

        score = mean_score(self, problem, context)
        first = self.keep == "hardest"
        return [index[score[index].argsort(descending=first, stable=True)] for index in problem.classes]

    def estimate(self, problem: Problem, session: Session, engine: Engine) -> Estimate:
        from proxyset.compute.plan import Estimate
        from proxyset.methods.snapshots import training_seconds

        courses = self.trainings_from(problem)
        images = len(courses) * self.epochs * len(problem.real)
        return Estimate(seconds=training_seconds(courses[0], problem, session, images))


class EL2N(DifficultyCoreset):
    """By the length of the error of the answers, ‖softmax(net(x)) − y‖₂, averaged over networks."""

    name: ClassVar[str] = "el2n"

    def measure(self, net: nn.Module, problem: Problem) -> Tensor:
        from proxyset.methods.difficulty import error_length

        return error_length(net, problem.real, problem.spec)


class GraNd(DifficultyCoreset):
    """By the length of the gradient of the loss by all weights, ‖∇_θ L(x, y)‖₂, averaged over networks."""

    name: ClassVar[str] = "grand"

    def measure(self, net: nn.Module, problem: Problem) -> Tensor:
        from proxyset.methods.difficulty import gradient_length

        return gradient_length(net, problem.real, problem.spec)
