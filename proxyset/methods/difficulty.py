"""How hard real images are for networks that were trained on them: entropy, length of the error, of the gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

from proxyset.data.images import ImageSet, one_hot
from proxyset.data.spec import DatasetSpec
from proxyset.methods.base import Context, Problem
from proxyset.methods.snapshots import take
from proxyset.methods.students import answers
from proxyset.nets.build import build_net
from proxyset.progress import part_of
from proxyset.train.fit import batch

if TYPE_CHECKING:
    from proxyset.methods.scored import DifficultyCoreset

AT_ONCE = 256  # images that pass forward
GRADIENTS = 16  # images whose gradients are held at a time: each is as large as the network


def mean_score(method: DifficultyCoreset, problem: Problem, context: Context) -> Tensor:
    """The mean over the method's networks of what it measures, for every real image; another seed takes others."""
    spec, device = problem.spec, context.engine.device
    net = build_net(method.net, **spec.shape, generator=torch.Generator(), device=device)
    total = torch.zeros(len(problem.real))
    first = int(torch.randint(2**31, (), generator=context.generator))
    courses, progress = method.trainings_from(problem, first), part_of(context.progress, "networks")
    for number, course in enumerate(courses):
        net.load_state_dict(take(course, problem, context).states[-1])
        total += method.measure(net, problem)
        progress(number + 1, len(courses))
    return total / len(courses)


def answer_entropy(net: nn.Module, data: ImageSet, spec: DatasetSpec) -> Tensor:
    """−Σ_c p_c ln p_c of a network's answers: N."""
    found = answers(net, data, spec, AT_ONCE)
    return -torch.special.xlogy(found, found).sum(1)


def error_length(net: nn.Module, data: ImageSet, spec: DatasetSpec) -> Tensor:
    """EL2N: ‖p − y‖₂ of a network's answers: N."""
    found = answers(net, data, spec, AT_ONCE)
    right = data.targets if data.targets is not None else one_hot(data.labels, spec.classes)
    return (found - right).norm(dim=1)


def gradient_length(net: nn.Module, data: ImageSet, spec: DatasetSpec) -> Tensor:
    """GraNd: ‖∇_θ L(x, y)‖₂ of the cross-entropy, for every image on its own: N."""
    net.eval()
    weights = {name: parameter.detach() for name, parameter in net.named_parameters()}
    buffers, device = dict(net.named_buffers()), next(net.parameters()).device

    def loss(weights: dict[str, Tensor], image: Tensor, answer: Tensor) -> Tensor:
        logits = functional_call(net, {**weights, **buffers}, (image[None],))
        return F.cross_entropy(logits, answer[None])

    gradients = vmap(grad(loss), in_dims=(None, 0, 0))
    lengths = []
    for index in torch.arange(len(data)).split(GRADIENTS):
        images, right = batch(data, index, spec, device)
        squares = [each.flatten(1).square().sum(1) for each in gradients(weights, images, right).values()]
        lengths.append(torch.stack(squares).sum(0).sqrt().cpu())
    return torch.cat(lengths)


def histogram_weights(entropy: Tensor, width: float, bins: str) -> Tensor:
    """The weight of every image, from the bin of log10 of the entropy that it is in (Na et al., 2021, section 4.2).

    Args:
        entropy: N.
        width: of a bin, in powers of ten.
        bins: "tails", "equal" or "inverse": see `Entropy`.

    Returns:
        N float64: the weight of the image's bin, shared by the images in it.
    """
    place = (entropy.double().clamp(min=1e-10).log10() / width).floor()
    _, bin_of, heights = place.unique(return_inverse=True, return_counts=True)
    heights = heights.double()
    weights = {"tails": heights.max() - heights + 1, "equal": torch.ones_like(heights), "inverse": 1 / heights}[bins]
    return (weights / heights)[bin_of]
