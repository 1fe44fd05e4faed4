"""Evaluation protocols: how the networks are trained that say how good a training set is."""

from pydantic import Field

from proxyset.train.recipe import MOST_EPOCHS, Recipe, Training

AUGMENTED, PLAIN = 1000, 300  # epochs with and without augmentation in the paper's code


class Evaluation(Training):
    """The paper's evaluation protocol (DSA, section 4.1)."""

    nets: int = Field(20, ge=1, le=10_000, description="fresh networks to train (paper: 20 per set)")
    epochs: int | None = Field(
        None,
        ge=1,
        le=MOST_EPOCHS,
        description="training epochs (default: 1000 with augmentation, 300 without, as in the paper's code)",
    )

    def resolved(self) -> Recipe:
        """How each network is trained."""
        return self.recipe(self.epochs or (PLAIN if self.augment == "none" else AUGMENTED))
