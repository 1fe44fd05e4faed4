"""Generative teaching, step by step (Such et al., ICML 2020, section 3). `gtn.py` holds the hyper-parameters."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, skip_init

from proxyset.data.images import ImageSet, one_hot
from proxyset.data.spec import DatasetSpec
from proxyset.methods.base import Context, Problem
from proxyset.methods.dataset_distillation import DatasetDistillation
from proxyset.methods.gtn import GTN
from proxyset.methods.moments import BETA1
from proxyset.methods.unrolled import Flat

GROUPS = 8  # of channels that are normalised together
SLOPE = 0.1  # of the leaky ReLU


class Generator(nn.Module):
    """Noise and label → image, N×(noise + classes) → N×C×S×S in normalised space.

    The authors' has BatchNorm, so that an image depends on those that are made with it; this one has GroupNorm.
    """

    def __init__(self, spec: DatasetSpec, noise: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.spec, self.width, self.first = spec, width, (spec.size + 3) // 4
        self.mean: Tensor
        self.std: Tensor
        for name in ("mean", "std"):  # part of the state, so that what a file holds says how its images are made
            self.register_buffer(name, torch.tensor(getattr(spec, name)).view(-1, 1, 1))
        self.norms = nn.ModuleList([nn.GroupNorm(GROUPS, width) for _ in range(2)])
        self.dense = skip_init(nn.Linear, noise + spec.classes, width * self.first**2, bias=False)
        self.inner = skip_init(nn.Conv2d, width, width, 3, padding=1, bias=False)
        self.outer = skip_init(nn.Conv2d, width, spec.channels, 3, padding=1, bias=False)
        for layer in (self.dense, self.inner, self.outer):
            nn.init.kaiming_normal_(layer.weight, SLOPE, generator=generator)

    def forward(self, codes: Tensor) -> Tensor:
        x = self.dense(codes).unflatten(1, (self.width, self.first, self.first))
        x = F.interpolate(F.leaky_relu(self.norms[0](x), SLOPE), (self.spec.size + 1) // 2)
        x = F.interpolate(F.leaky_relu(self.norms[1](self.inner(x)), SLOPE), self.spec.size)
        pixels = (self.outer(x).tanh() + 1) / 2  # between black and white
        return (pixels - self.mean) / self.std


class GenerativeTeaching(DatasetDistillation):
    """Distillation of a generator and its noise: learned are the codes, N×noise, and the generator's weights."""

    method: GTN
    beta1 = BETA1

    def __init__(self, method: GTN, problem: Problem, context: Context) -> None:
        net = Generator(problem.spec, method.noise, method.width, context.generator)
        self.generate, self.generated_by = Flat(net.to(context.engine.device)), context.generated_by
        super().__init__(method, problem, context)

    def first(self) -> list[Tensor]:
        noise = torch.randn((len(self.problem.labels), self.method.noise), generator=self.generator)
        return [noise, self.generate.weights()]

    def images(self, leaves: list[Tensor], rows: Tensor) -> Tensor:
        codes, weights = leaves
        labels = one_hot(self.problem.labels, self.spec.classes).to(self.device)[rows]
        return self.generate(weights, torch.cat([codes[rows], labels], 1))

    def network(self) -> nn.Module:
        """A learner whose weights are normalised, w = g v / ‖v‖, which keeps its unrolled training stable."""
        net = super().network()
        for layer in list(net.modules()):
            if isinstance(layer, nn.Linear | nn.Conv2d):
                parametrizations.weight_norm(layer)
        return net

    def result(self) -> ImageSet:
        net = self.generate.load(self.learned[1])
        self.generated_by.update({name: tensor.detach().cpu().clone() for name, tensor in net.state_dict().items()})
        return super().result()
