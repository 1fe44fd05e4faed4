"""A fresh network after each task, trained on what is kept of all tasks."""

from continual.schemes.base import Scheme
from continual.trainer import Phase
from proxyset.nets.classifier import Classifier
from proxyset.train.recipe import Recipe


class Afresh(Scheme):
    """Base of the schemes that forget nothing between tasks but the network."""

    phase: str
    """Names the random numbers of the training."""

    def recipe(self, stage: int) -> Recipe:
        """How the network after `stage` is trained."""
        raise NotImplementedError

    def learn(self, stage: int) -> None:
        self.memory.add(stage)
        self.net = self.trainer.fresh(stage)
        data = self.memory.rehearsal(self.stream.seen(stage))
        self.trainer.train(self.net, data, Phase(stage, self.phase, self.recipe(stage)))

    def trainings(self, stage: int) -> list[tuple[Recipe, int]]:
        return [(self.recipe(stage), self.memory.trained_on(stage))]

    def rebuild(self, stages: int) -> Classifier:
        return self.trainer.fresh(stages - 1)
