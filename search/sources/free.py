"""Sources that train nothing: parameter count, and the covariance of an untrained network's Jacobian."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from proxyset.data.spec import normalise
from proxyset.seeds import make_generator
from search.sources.base import Free
from search.sources.trained import TRAIN

if TYPE_CHECKING:
    from search.space import Candidate
    from search.trial import Workbench

JACOBIAN_IMAGES = 128
EPSILON = 1e-5


@dataclass(frozen=True)
class ParameterCount(Free):
    """Larger is better."""

    repeats = False

    def score(self, bench: "Workbench", candidate: "Candidate", generator: torch.Generator) -> float:
        return float(candidate.parameters(bench.context.spec))


@dataclass(frozen=True)
class JacobianCovariance(Free):
    """How differently an untrained network responds to different images: `jacobian_covariance`."""

    def score(self, bench: "Workbench", candidate: "Candidate", generator: torch.Generator) -> float:
        net = candidate.build(bench.context.spec, generator, bench.device)
        return jacobian_covariance(net, self._minibatch(bench))

    def _minibatch(self, bench: "Workbench") -> Tensor:
        """The same real images (their labels are not looked at) for every architecture."""
        data = bench.images(TRAIN)
        generator = make_generator(bench.context.settings.seed, "jacobian")
        index = torch.randperm(len(data), generator=generator)[: self.images]
        return normalise(data.images[index.to(bench.device)], bench.context.spec)


def jacobian_covariance(net: nn.Module, images: Tensor) -> float:
    """How differently an untrained network responds to different images: higher is better. No labels, no training.

    With J the gradients of the summed logits at each of the N images (N×(C·H·W)), Σ the correlation matrix of its rows
    and σ its eigenvalues: −Σ_i [log(σ_i + k) + 1/(σ_i + k)], k = 1e-5 (Mellor, Turner, Storkey & Crowley, "Neural
    Architecture Search without Training", arXiv:2006.04647v1, section 3).

    Args:
        images: normalised, N×C×H×W.

    Returns:
        The score; NaN where some image's gradient is constant, which has no correlation.
    """
    images = images.detach().requires_grad_()
    (jacobian,) = torch.autograd.grad(net(images).sum(), images)
    correlation = jacobian.flatten(1).double().cpu().corrcoef()
    if not correlation.isfinite().all():
        return math.nan
    eigenvalues = torch.linalg.eigvalsh(correlation).clamp(min=0) + EPSILON
    return -(eigenvalues.log() + 1 / eigenvalues).sum().item()
