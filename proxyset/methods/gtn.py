"""Generative Teaching Networks (Such et al., ICML 2020): settings.

`generative_teaching.py` holds the algorithm. This file can be read without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from proxyset.methods.base import Context, Problem
from proxyset.methods.dd import Unrolling

if TYPE_CHECKING:
    from proxyset.methods.generative_teaching import GenerativeTeaching


class GTN(Unrolling):
    """A generative teaching network: a generator learns to make the images from noise, and the noise is learned too.

    Everything is learned through the training of networks on the images, as by `dd`: by SGD without the authors'
    learned momentum, from the loss after the last step and not after each, and with a rate that halves. The set holds
    the images of the learned noise; `proxyset export --draw` draws more from the generator.
    """

    name: ClassVar[str] = "gtn"

    init: Literal["noise"] = Field("noise", description="the noise that the generator makes the first images of")
    lr_img: float = Field(0.01, gt=0, description="learning rate of the generator, its noise and the rates (Adam)")
    noise: int = Field(64, ge=1, le=4096, description="numbers that an image is made of, beside its label")
    width: int = Field(64, ge=8, le=1024, multiple_of=8, description="channels of the generator (authors: 128 and 64)")

    def start(self, problem: Problem, context: Context) -> GenerativeTeaching:
        from proxyset.methods.generative_teaching import GenerativeTeaching

        return GenerativeTeaching(self, problem, context)
