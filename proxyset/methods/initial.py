"""The images that a learned method starts from: real ones, noise, or those of another proxy set."""

import torch
from torch import Tensor

from proxyset.data.formation import fold
from proxyset.data.images import ImageSet
from proxyset.data.spec import normalise
from proxyset.errors import InputError
from proxyset.methods.base import Problem
from proxyset.seeds import sample


def initial_images(problem: Problem, init: str, formation: int, generator: torch.Generator) -> Tensor:
    """classes·ipc×C×S×S in normalised space on the CPU, ordered by class: stored images.

    Args:
        init: "real" (with a formation f² real images shrunk into each) or "noise"; `problem.start` goes before it.

    Raises:
        InputError: `init` names a file, and the problem has no start: `ProxySpec` and `build` read it.
    """
    spec = problem.spec
    if problem.start is not None:
        return problem.start.images.clone()
    if init not in ("real", "noise"):
        raise InputError(f"`init={init}` names a proxy set, but the problem has none as its `start`")
    if init == "noise":
        return torch.randn((spec.classes * problem.ipc, *_image(problem)), generator=generator)
    picked = [draw(index, problem.ipc * formation**2, generator) for index in problem.classes]
    return fold(normalise(problem.real.images[torch.cat(picked)], spec), formation)


def stored(problem: Problem, images: Tensor, formation: int, targets: Tensor | None = None) -> ImageSet:
    """Learned images as a method returns them: on the CPU, with the labels that are wanted."""
    return ImageSet(images.detach().cpu(), problem.labels, targets, formation)


def draw(index: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` of the positions without replacement, or all of them where there are fewer."""
    if len(index) <= count:
        return index
    return index[sample(len(index), count, generator).to(index.device)]


def _image(problem: Problem) -> tuple[int, int, int]:
    return problem.spec.channels, problem.spec.size, problem.spec.size
