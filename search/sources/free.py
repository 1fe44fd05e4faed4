"""Sources that train nothing: what a network is made of, and how it answers before any training."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn

from proxyset.compute.footprint import measure_footprint
from proxyset.data.spec import normalise
from proxyset.seeds import make_generator
from search.sources.base import Free, Scope
from search.sources.trained import TRAIN

if TYPE_CHECKING:
    from search.space import Candidate
    from search.trial import Workbench

MINIBATCH = 128  # images that an untrained network is looked at with, as in the papers
EPSILON = 1e-5
SINGULAR = 1e-6  # on the diagonal, so that equal codes have the least score and not −∞
ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.Sigmoid, nn.Tanh, nn.GELU, nn.SiLU, nn.ELU, nn.Hardswish)
NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)


@dataclass(frozen=True)
class ParameterCount(Free):
    """Larger is better."""

    repeats = False

    def score(self, bench: "Workbench", candidate: "Candidate", generator: torch.Generator) -> float:
        return float(candidate.parameters(bench.context.spec))


@dataclass(frozen=True)
class MultiplyAdds(Free):
    """Multiply-adds of a network's convolutions and products on one image: more is better."""

    repeats = False

    def score(self, bench: "Workbench", candidate: "Candidate", generator: torch.Generator) -> float:
        spec = bench.context.spec
        # measured anew: networks of a user's own may look alike and differ in what they do
        operations = measure_footprint(candidate.outline(spec), spec.channels, spec.size).flops
        return operations / 2 or math.nan  # none are counted of a network that cannot run on the meta device


@dataclass(frozen=True)
class OnMinibatch(Free):
    """A source that looks at real images, the same for every architecture; their labels are not looked at."""

    @classmethod
    def make(cls, name: str, scope: Scope) -> Self:
        return cls(name, min(scope.whole, MINIBATCH))

    def minibatch(self, bench: "Workbench") -> Tensor:
        """The images, normalised: N×C×H×W."""
        data = bench.images(TRAIN)
        generator = make_generator(bench.context.settings.seed, "jacobian")
        index = torch.randperm(len(data), generator=generator)[: self.images]
        return normalise(data.images[index.to(bench.device)], bench.context.spec)


@dataclass(frozen=True)
class JacobianCovariance(OnMinibatch):
    """How differently an untrained network responds to different images: `jacobian_covariance`."""

    def score(self, bench: "Workbench", candidate: "Candidate", generator: torch.Generator) -> float:
        net = candidate.build(bench.context.spec, generator, bench.device)
        return jacobian_covariance(net, self.minibatch(bench))


@dataclass(frozen=True)
class ActivationCodes(OnMinibatch):
    """NASWOT, how differently an untrained network's activations split different images: `naswot`."""

    def score(self, bench: "Workbench", candidate: "Candidate", generator: torch.Generator) -> float:
        return naswot(candidate.build(bench.context.spec, generator, bench.device), self.minibatch(bench))


@dataclass(frozen=True)
class SynapticFlow(Free):
    """How much an untrained network lets through: `synflow`, as the logarithm of 1 + that, which ranks alike."""

    def score(self, bench: "Workbench", candidate: "Candidate", generator: torch.Generator) -> float:
        spec = bench.context.spec
        net = candidate.build(spec, generator, "cpu")  # in float64, which not every device has; it is one image
        return math.log1p(synflow(net, spec.channels, spec.size))


def jacobian_covariance(net: nn.Module, images: Tensor) -> float:
    """How differently an untrained network responds to different images: higher is better. No labels, no training.

    With J the gradients of the summed logits at each of the N images (N×(C·H·W)), Σ the correlation matrix of its rows
    and σ its eigenvalues: −Σ_i [log(σ_i + k) + 1/(σ_i + k)], k = 1e-5 (Mellor, Turner, Storkey & Crowley, "Neural
    Architecture Search without Training", arXiv:2006.04647v1, section 3).

    Args:
        images: normalised, N×C×H×W.

    Returns:
        The score; NaN where some image's gradient is constant, which has no correlation, as in a network that does not
        look at its images.
    """
    images = images.detach().requires_grad_()
    (jacobian,) = torch.autograd.grad(net(images).sum(), images, allow_unused=True)
    if jacobian is None:
        return math.nan
    correlation = jacobian.flatten(1).cpu().double().corrcoef()
    if not correlation.isfinite().all():
        return math.nan
    eigenvalues = torch.linalg.eigvalsh(correlation).clamp(min=0) + EPSILON
    return -(eigenvalues.log() + 1 / eigenvalues).sum().item()


def naswot(net: nn.Module, images: Tensor) -> float:
    """How differently an untrained network's activations split different images: higher is better. No labels.

    The code of an image says, for every unit before an activation, whether it is positive. With c_i the codes and N_A
    their length, K_ij = N_A − (places in which c_i and c_j differ), and the score is log |det K| (Mellor, Turner,
    Storkey & Crowley, "Neural Architecture Search without Training", ICML 2021, equations 1 and 2). Units that do not
    reach the logits do not count. The paper knows ReLU only; other activation layers are taken in the same way.

    Args:
        net: with its activations as layers.
        images: normalised, N×C×H×W.

    Returns:
        The score; the least there is where all codes are equal, as in a network without such layers.
    """
    inputs: list[Tensor] = []

    def note(module: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor]:
        inputs.append(given[0] if given[0].requires_grad else given[0].detach().requires_grad_())
        return (inputs[-1],)

    hooks = [module.register_forward_pre_hook(note) for module in net.modules() if isinstance(module, ACTIVATIONS)]
    try:
        total = net(images).sum()
    finally:
        for hook in hooks:
            hook.remove()
    reach = torch.autograd.grad(total, inputs, allow_unused=True) if inputs else ()
    kernel = torch.zeros(len(images), len(images), dtype=torch.float64)
    for units, gradient in zip(inputs, reach, strict=True):
        if gradient is not None:
            signs = (units.detach().flatten(1) > 0).float() * 2 - 1
            kernel += (signs.shape[1] + (signs @ signs.T).cpu().double()) / 2
    return torch.linalg.slogdet(kernel + SINGULAR * torch.eye(len(kernel), dtype=kernel.dtype)).logabsdet.item()


def synflow(net: nn.Module, channels: int, size: int) -> float:
    """How much flows through a network whose weights are made positive: higher is better. No images.

    R = the sum of the logits of an image of ones; the score is Σ |θ · ∂R/∂θ| over the weights θ of convolutions and
    linear layers (Tanaka, Kunin, Yamins & Ganguli, "Pruning neural networks without any data by iteratively conserving
    synaptic flow", NeurIPS 2020, equation 3; as a score of architectures Abdelfattah, Mehrotra, Dudziak & Lane, ICLR
    2021). Norms are left out, as there: they would undo what the weights let through. In float64, because deep networks
    let through more than float32 holds.

    Args:
        net: any network on the CPU; it is changed.
        channels, size: of the images.
    """
    net = net.double()
    for module in list(net.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, NORMS):
                setattr(module, name, nn.Identity())
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.abs_()
    weights = [module.weight for module in net.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    flow = net(torch.ones(1, channels, size, size, dtype=torch.float64)).sum()
    gradients = torch.autograd.grad(flow, weights, allow_unused=True)
    return sum((w * g).abs().sum().item() for w, g in zip(weights, gradients, strict=True) if g is not None)
