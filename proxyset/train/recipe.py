"""How a network is trained, as one value."""

from typing import Any, Literal

from pydantic import Field

from proxyset.settings import Settings

MOST_EPOCHS = 1_000_000  # more cannot be meant
ALL = "color_crop_cutout_flip_scale_rotate"  # the paper's augmentation (DSA, section 4.1)


class Training(Settings):
    """How a network is trained, whatever the number of epochs; the defaults are the paper's evaluation."""

    optimiser: Literal["sgd", "adam", "adamw"] = Field("sgd", description="torch's optimiser of that name")
    lr: float = Field(0.01, gt=0, description="learning rate at the start")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of sgd")
    weight_decay: float = Field(5e-4, ge=0, description="weight decay")
    schedule: Literal["constant", "step", "cosine"] = Field(
        "step", description="of the learning rate: step multiplies it by 0.1 at half of the epochs, cosine ends at 0"
    )
    batch_size: int = Field(256, ge=1, description="images in a minibatch")
    augment: str = Field(
        ALL,
        description="augmentation while training, such as crop_scale, or none, or package.module:NAME, whose code is "
        "run; flip only where it keeps the label",
    )
    loss: Literal["cross-entropy", "squared-error"] = Field(
        "cross-entropy", description="cross-entropy, or the squared distance between logits and targets"
    )

    def recipe(self, epochs: int, **changes: Any) -> "Recipe":
        """This for a number of epochs, with some fields changed."""
        values = {name: getattr(self, name) for name in Training.model_fields}
        return Recipe(**values | {"epochs": epochs} | changes)


class Recipe(Training):
    """All that it takes to train a network."""

    epochs: int = Field(ge=1, le=MOST_EPOCHS, description="passes over the images")
    milestones: tuple[int, ...] | None = Field(
        None,
        description="epochs (from 0) at whose start `step` multiplies the learning rate by 0.1 (default: the half)",
    )
    cutmix: float = Field(0.0, ge=0, le=1, description="share of the minibatches whose images are mixed by CutMix")

    def drops(self) -> tuple[int, ...]:
        """The milestones: as given, or half of the epochs; a single epoch has no half."""
        if self.milestones is not None:
            return self.milestones
        return (self.epochs // 2,) if self.epochs > 1 else ()
