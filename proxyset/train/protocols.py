"""Evaluation protocols: how the networks are trained that say how good a training set is."""

import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from proxyset.settings import short
from proxyset.train.recipe import MOST_EPOCHS, Recipe, Training

AUGMENTED, PLAIN = 1000, 300  # epochs with and without augmentation in the paper's code

ProtocolName = Literal["paper", "strong", "equal-updates"]
PAPER: ProtocolName = "paper"
EQUAL: ProtocolName = "equal-updates"
STRONG: dict[str, Any] = {
    "optimiser": "adamw",
    "lr": 0.001,
    "weight_decay": 0.01,
    "schedule": "cosine",
    "epochs": 2000,
    "cutmix": 0.5,
}
"""AdamW, its rates and cosine are RDED's for ConvNets (Sun et al. 2024, official code), CutMix in every other minibatch
IDC's (Kim et al. 2022). Mixed images take longer to fit: for up to 10 images per class of ImageNet IDC trains for 2,000
epochs, and studies of soft labels for up to 3,000. IDC leaves out cutout beside CutMix; here augmentation stays that
of every protocol."""
VALUES: dict[str, dict[str, Any]] = {PAPER: {}, "strong": STRONG, EQUAL: {}}


class Evaluation(Training):
    """The paper's evaluation protocol (DSA, section 4.1), or another by name. What is given goes before its values.

    `equal-updates` trains on a set with a formation for as many updates, of as many images each, as the paper's
    protocol makes of a set with as many stored images and no formation: see `resolved`. All others train for as many
    epochs as ever, so that a formation of f gets f² times the images in an epoch.
    """

    protocol: ProtocolName = Field(
        PAPER,
        description="paper: the DSA paper's; strong: AdamW, cosine, CutMix, 2000 epochs; equal-updates: the paper's, "
        "but sets with a formation get no more updates than others",
    )
    nets: int = Field(20, ge=1, le=10_000, description="fresh networks to train (paper: 20 per set)")
    epochs: int | None = Field(
        None,
        ge=1,
        le=MOST_EPOCHS,
        description="training epochs, with equal-updates those of a set without a formation (default: 1000 with "
        "augmentation, 300 without, as in the paper's code)",
    )
    cutmix: float = Field(0.0, ge=0, le=1, description="share of the minibatches whose images are mixed by CutMix")

    @model_validator(mode="before")
    @classmethod
    def _values_of_the_protocol(cls, values: Any) -> Any:
        name = values.get("protocol", PAPER) if isinstance(values, dict) else None
        return VALUES[name] | values if isinstance(name, str) and name in VALUES else values

    def recipe(self, epochs: int, **changes: Any) -> Recipe:
        return super().recipe(epochs, **{"cutmix": self.cutmix} | changes)

    def resolved(self, stored: int = 1, formation: int = 1) -> Recipe:
        """How each network is trained on a set.

        With equal updates and a formation of f that is max(1, round(E / f²)) epochs, for the E of the protocol. With B
        images in a minibatch, the N stored images would make ⌈N / B⌉ minibatches; their N·f² tiles come in f² times as
        many, of N / ⌈N / B⌉ images. So updates and images passed are those of N images without a formation, but for the
        rounding of E / f².

        Args:
            stored: images in the set.
            formation: f: each of them holds f×f tiles.
        """
        epochs = self.epochs or (PLAIN if self.augment == "none" else AUGMENTED)
        if self.protocol != EQUAL or formation == 1:
            return self.recipe(epochs)
        batches = math.ceil(stored / self.batch_size)
        return self.recipe(max(1, round(epochs / formation**2)), batch_size=math.ceil(stored / batches))


def describe_protocol(values: Mapping[str, Any]) -> str:
    """The name of a protocol as scores keep it, and what differs from it: "paper", "strong but for lr 0.01".

    Older scores have no name. They are the paper's where their values are.
    """
    name = values.get("protocol", PAPER)
    if not isinstance(name, str) or name not in VALUES:
        return short(name)
    usual = Evaluation(protocol=name)
    expected = usual.model_dump() | {"epochs": usual.resolved().epochs}
    if values.get("augment") == "none":
        expected["epochs"] = usual.model_copy(update={"augment": "none"}).resolved().epochs
    given = expected | dict(values)
    del expected["nets"], expected["protocol"]
    other = [f"{key} {_plain(given[key])}" for key, value in expected.items() if given[key] != value]
    return f"{name} but for {', '.join(other)}" if other else name


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else short(value)


def same_protocol(one: Mapping[str, Any], two: Mapping[str, Any]) -> bool:
    """Whether two protocols, as scores keep them, are the same; older ones leave out what there was no choice of."""
    before = {"protocol": PAPER, "cutmix": 0.0}
    return before | dict(one) == before | dict(two)
