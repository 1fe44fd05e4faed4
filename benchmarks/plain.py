"""DSA's inner step with nothing but eager torch, class by class: what the engine is timed against and tested with."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from proxyset.data import augment


def plain_gradients(net: nn.Module, images: Tensor, label: int, create_graph: bool = False) -> list[Tensor]:
    """∇_θ of the mean cross-entropy on images of one class, for the weights that the distance looks at."""
    loss = F.cross_entropy(net(images), torch.full((len(images),), label, device=images.device))
    weights = [p for p in net.parameters() if p.ndim > 1]
    return list(torch.autograd.grad(loss, weights, create_graph=create_graph))


def plain_match(net: nn.Module, target: list[Tensor], synthetic: Tensor, label: int, transform: Any) -> Tensor:
    """The gradient of D(∇L^S, `target`) with respect to the synthetic images of one class (paper, equation 3)."""
    synthetic = synthetic.clone().requires_grad_()
    own = plain_gradients(net, augment.apply(transform, synthetic), label, create_graph=True)
    distance = torch.zeros((), device=synthetic.device)
    for real, fake in zip(target, own, strict=True):
        a, b = real.flatten(1), fake.flatten(1)
        distance = distance + (1 - (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1) + 1e-6)).sum()
    return torch.autograd.grad(distance, synthetic)[0]


def plain_epoch(net: nn.Module, images: Tensor, labels: Tensor, operations: Any, generator: torch.Generator) -> None:
    """One epoch of SGD on the synthetic set in minibatches of 256, augmented in the ordinary way."""
    optimiser = torch.optim.SGD(net.parameters(), lr=0.01)
    for index in torch.randperm(len(images), generator=generator).split(256):
        index = index.to(images.device)
        batch = augment.apply(augment.draw(operations, generator, len(index)), images[index])
        optimiser.zero_grad()
        F.cross_entropy(net(batch), labels[index]).backward()
        optimiser.step()
