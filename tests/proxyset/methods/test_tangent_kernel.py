"""The closed form of the tangent kernel against gradients of wide networks, and against its definition."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev
from torch.nn import functional as F

from proxyset.methods.tangent_kernel import tangent_kernel

STD, BIAS = math.sqrt(2), 0.1


class Wide(nn.Module):
    """σ_w·W x / √n + σ_b·b in every layer, all of W and b standard normal."""

    def __init__(self, inputs: int, width: int, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        sizes = [inputs, *[width] * hidden, 1]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for before, after in pairwise(sizes):
            self.weights.append(torch.randn(after, before, generator=generator, dtype=torch.float64))
            self.biases.append(torch.randn(after, generator=generator, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = x.relu() if number else x
            x = STD * x @ weight.T / math.sqrt(weight.shape[1]) + BIAS * bias
        return x[:, 0]


class WideConvolutional(nn.Module):
    """Likewise with 3×3 convolutions, zeros beyond the border, and a fully connected layer at the end."""

    def __init__(self, shape: torch.Size, width: int, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        channels, height, across = shape
        sizes = [channels, *[width] * hidden]
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for before, after in pairwise(sizes):
            self.weights.append(torch.randn(after, before, 3, 3, generator=generator, dtype=torch.float64))
            self.biases.append(torch.randn(after, generator=generator, dtype=torch.float64))
        self.last = nn.Parameter(torch.randn(width * height * across, generator=generator, dtype=torch.float64))
        self.bias = nn.Parameter(torch.randn(1, generator=generator, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        for weight, bias in zip(self.weights, self.biases, strict=True):
            scale = STD / math.sqrt(weight[0].numel())
            x = (scale * F.conv2d(x, weight, padding=1) + BIAS * bias[:, None, None]).relu()
        return STD * x.flatten(1) @ self.last / math.sqrt(self.last.numel()) + BIAS * self.bias


def empirical(net: nn.Module, images: Tensor) -> Tensor:
    """⟨∂f(x)/∂θ, ∂f(z)/∂θ⟩ of every pair."""
    weights = {name: parameter.detach() for name, parameter in net.named_parameters()}
    jacobian = jacrev(lambda weights: functional_call(net, weights, (images,)))(weights)
    rows = torch.cat([part.flatten(1) for part in jacobian.values()], 1)
    return rows @ rows.T


@pytest.mark.parametrize(("hidden", "width"), [(1, 2048), (2, 1024), (3, 512)])
def test_wide_networks_have_this_kernel(hidden: int, width: int) -> None:
    images = torch.randn(5, 1, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    nets = [Wide(9, width, hidden, torch.Generator().manual_seed(seed)) for seed in range(16)]
    mean = torch.stack([empirical(net, images.flatten(1)) for net in nets]).mean(0)
    closed = tangent_kernel(images, images, hidden)
    assert ((mean - closed).abs() / closed.diagonal().mean()).max() < 0.05


@pytest.mark.parametrize(("hidden", "width"), [(1, 1024), (2, 256)])
def test_wide_convolutional_networks_have_this_kernel(hidden: int, width: int) -> None:
    images = torch.randn(4, 2, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    generators = [torch.Generator().manual_seed(seed) for seed in range(48)]
    nets = [WideConvolutional(images.shape[1:], width, hidden, generator) for generator in generators]
    mean = torch.stack([empirical(net, images) for net in nets]).mean(0)
    closed = tangent_kernel(images, images, hidden, convolutional=True)
    assert ((mean - closed).abs() / closed.diagonal().mean()).max() < 0.05
    dense = tangent_kernel(images, images, hidden)
    assert ((dense - closed).abs() / closed.diagonal().mean()).max() > 0.05


def test_it_is_symmetric_positive_and_differentiable_where_images_are_equal() -> None:
    images = torch.rand(6, 2, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    images[1] = images[0]
    kernel = tangent_kernel(images, images, 2)
    torch.testing.assert_close(kernel, kernel.T)
    assert torch.linalg.eigvalsh(kernel)[0] > -1e-9
    leaf = images.clone().requires_grad_()
    tangent_kernel(leaf, leaf, 2).sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.isfinite().all()
    across = tangent_kernel(images[:2], images, 2)
    torch.testing.assert_close(across, kernel[:2])


@pytest.mark.parametrize("convolutional", [False, True])
def test_gradient(convolutional: bool) -> None:
    one, other = (torch.randn(3, 1, 2, 3, generator=torch.Generator().manual_seed(seed)).double() for seed in (2, 3))
    assert torch.autograd.gradcheck(lambda x: tangent_kernel(x, other, 2, convolutional), one.requires_grad_())
