"""Sources that train nothing: what a network is made of, and how it answers before any training."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from torch import Tensor, nn

from proxyset.compute.footprint import measure_footprint
from proxyset.data.spec import normalise
from proxyset.nets.classifier import is_per_image
from proxyset.seeds import make_generator
from search.settings import RankingSettings
from search.sources.base import Free, Scope
from search.sources.trained import TRAIN

if TYPE_CHECKING:
    from search.space import Candidate
    from search.trial import Workbench

MINIBATCH = 128  # images that an untrained network is looked at with, as in the papers
EPSILON = 1e-5
UNPACKED = 2**13  # bytes of each image's code that are compared at once
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

    def images_passed(self, settings: RankingSettings) -> int:
        return self.images

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
        return jacobian_covariance(net, self.minibatch(bench), bench.at_once(net, self.images))


@dataclass(frozen=True)
class ActivationCodes(OnMinibatch):
    """NASWOT, how differently an untrained network's activations split different images: `naswot`."""

    def score(self, bench: "Workbench", candidate: "Candidate", generator: torch.Generator) -> float:
        net = candidate.build(bench.context.spec, generator, bench.device)
        return naswot(net, self.minibatch(bench), bench.at_once(net, self.images))


@dataclass(frozen=True)
class SynapticFlow(Free):
    """How much an untrained network lets through: `synflow`, as the logarithm of 1 + that, which ranks alike."""

    def images_passed(self, settings: RankingSettings) -> int:
        return 1

    def score(self, bench: "Workbench", candidate: "Candidate", generator: torch.Generator) -> float:
        spec = bench.context.spec
        net = candidate.build(spec, generator, "cpu")  # in float64, which not every device has; it is one image
        return math.log1p(synflow(net, spec.channels, spec.size))


def jacobian_covariance(net: nn.Module, images: Tensor, at_once: int | None = None) -> float:
    """How differently an untrained network responds to different images: higher is better. No labels, no training.

    With J the gradients of the summed logits at each of the N images (N×(C·H·W)), Σ the correlation matrix of its rows
    and σ its eigenvalues: −Σ_i [log(σ_i + k) + 1/(σ_i + k)], k = 1e-5 (Mellor, Turner, Storkey & Crowley, "Neural
    Architecture Search without Training", arXiv:2006.04647v1, section 3).

    Args:
        images: normalised, N×C×H×W.
        at_once: see `parts`.

    Returns:
        The score; NaN where some image's gradient is constant, which has no correlation, as in a network that does not
        look at its images.
    """
    rows = []
    for part in parts(net, images, at_once):
        part = part.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(net(part).sum(), part, allow_unused=True)
        if gradient is None:
            return math.nan
        rows.append(gradient.flatten(1).cpu().double())
    correlation = torch.cat(rows).corrcoef()
    if not correlation.isfinite().all():
        return math.nan
    eigenvalues = torch.linalg.eigvalsh(correlation).clamp(min=0) + EPSILON
    return -(eigenvalues.log() + 1 / eigenvalues).sum().item()


def naswot(net: nn.Module, images: Tensor, at_once: int | None = None) -> float:
    """How differently an untrained network's activations split different images: higher is better. No labels.

    The code of an image says, for every unit before an activation, whether it is positive. With c_i the codes and N_A
    their length, K_ij = N_A − (places in which c_i and c_j differ), and the score is log |det K| (Mellor, Turner,
    Storkey & Crowley, "Neural Architecture Search without Training", ICML 2021, equations 1 and 2). Units that do not
    reach the logits do not count. The paper knows ReLU only; other activation layers are taken in the same way.

    Args:
        net: with its activations as layers.
        images: normalised, N×C×H×W.
        at_once: see `parts`.

    Returns:
        The score; the least there is where all codes are equal, as in a network without such layers.
    """
    kernel = torch.zeros(len(images), len(images), dtype=torch.float64)
    for layer in zip(*(_codes(net, part) for part in parts(net, images, at_once)), strict=True):
        code, units = np.concatenate([packed for packed, _ in layer]), layer[0][1]
        for start in range(0, code.shape[1], UNPACKED):
            bits = np.unpackbits(code[:, start : start + UNPACKED], axis=1, count=min(8 * UNPACKED, units - 8 * start))
            signs = torch.from_numpy(bits).to(images.device).float() * 2 - 1
            kernel += (signs.shape[1] + (signs @ signs.T).cpu().double()) / 2
    return torch.linalg.slogdet(kernel + SINGULAR * torch.eye(len(kernel), dtype=kernel.dtype)).logabsdet.item()


def _codes(net: nn.Module, images: Tensor) -> list[tuple[np.ndarray, int]]:
    """For each activation that reaches the logits, the codes of the images, a bit per unit, and how many units.

    Packed, because all images' codes are held at once, and a layer can have a million units.
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
    codes = [
        (units.detach().flatten(1) > 0).cpu().numpy()
        for units, gradient in zip(inputs, reach, strict=True)
        if gradient is not None
    ]
    return [(np.packbits(code, axis=1), code.shape[1]) for code in codes]


def parts(net: nn.Module, images: Tensor, at_once: int | None) -> tuple[Tensor, ...]:
    """The images in parts of at most `at_once` (None: in one piece).

    In one piece, too, where what the network answers on an image may depend on the others.
    """
    return images.split(at_once if at_once is not None and is_per_image(net) else len(images))


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
