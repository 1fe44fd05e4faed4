"""Joint training: after each task a fresh network on all data of all tasks so far. The ceiling."""

from continual.schemes.afresh import Afresh
from continual.settings import Learning
from proxyset.train.recipe import Recipe


class Joint(Afresh):
    """A fresh network on all data of the tasks so far, trained as stage 1 of EEIL."""

    phase = "joint"

    @classmethod
    def describe(cls, learning: Learning, memory: str) -> str:
        return f"joint: a fresh network on all data of the tasks so far, {learning.epochs} epochs"

    def recipe(self, stage: int) -> Recipe:
        return self.learning.stage_recipe()
