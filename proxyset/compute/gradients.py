"""What runs in a step: gradients of the weights, and of images through them, eager or compiled, in micro-batches."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from proxyset.compute.compiled import Compiled, Distance, Weights
from proxyset.compute.footprint import Footprint, measure_footprint
from proxyset.compute.losses import EACH, LOSSES, Loss, cross_entropy
from proxyset.compute.memory import keep_freed_memory
from proxyset.compute.plan import Engine
from proxyset.nets.classifier import has_batch_norm, is_per_image

__all__ = ["LOSSES", "Gradients", "Loss", "cross_entropy", "eager_gradients"]


class Gradients:
    """The gradients of networks of one structure, computed as an engine says.

    A gradient over a minibatch is a sum over its images, so it is taken over micro-batches that fit the cache. Where
    images may see each other (BatchNorm, or code that is not known: `is_per_image`) it stays in one piece.
    """

    def __init__(self, engine: Engine, net: nn.Module, cost: Footprint) -> None:
        """
        Args:
            net: a network, or the outline, of this structure; weights come with every call.
            cost: its footprint; where all is zero, minibatches stay in one piece.
        """
        self.engine = engine
        self._cost = cost
        self._whole = not is_per_image(net) or not cost.activations
        self._compiled = Compiled(engine, net) if engine.compiled and not has_batch_norm(net) else None  # see `Work`

    @property
    def failed(self) -> bool:
        """Whether the gradients were to be compiled, could not be, and go on eagerly."""
        return self._compiled is not None and self._compiled.failed

    def of_weights(
        self,
        net: nn.Module,
        images: Tensor,
        answers: Tensor,
        *,
        loss: Loss = cross_entropy,
        matched: bool = False,
        logits: list[Tensor] | None = None,
        most: int = 0,
    ) -> list[Tensor | None]:
        """∇_θ of the mean loss over a minibatch, for each parameter of `net` (None where it has no part in the loss).

        Args:
            answers: labels (N int64), or probabilities (N×classes float32).
            matched: leave out (None) the gradients of parameters with one axis: biases and norm affines.
            logits: is given the logits of the minibatch, N×classes.
            most: images of the largest minibatch of the same work: what is compiled for it serves all.
        """
        wanted = [p.requires_grad and (p.ndim > 1 or not matched) for p in net.parameters()]
        if self._compiles() and loss in EACH:
            assert self._compiled is not None
            named = dict(net.named_parameters())
            chosen: Weights = {name: p for (name, p), yes in zip(named.items(), wanted, strict=True) if yes}
            size = self._microbatch(max(len(images), most))
            computed = self._compiled.of_weights(net, chosen, images, answers, size=size, loss=loss, logits=logits)
            if computed is not None:
                return [computed.get(name) for name in named]
        return self._eager(net, wanted, images, answers, loss, logits)

    def _eager(
        self,
        net: nn.Module,
        wanted: Sequence[bool],
        images: Tensor,
        answers: Tensor,
        loss: Loss,
        logits: list[Tensor] | None,
    ) -> list[Tensor | None]:
        size = self._microbatch(len(images))
        leaves = [p for p, yes in zip(net.parameters(), wanted, strict=True) if yes]
        total: list[Tensor | None] = [None] * len(leaves)
        for part, answer in zip(images.split(size), answers.split(size), strict=True):
            with self.engine.autocast():
                out = net(part)
            share = loss(part, out, answer)
            if len(part) < len(images):
                share = share * (len(part) / len(images))
            if logits is not None:
                logits.append(out.detach())
            gradients = torch.autograd.grad(share, leaves, allow_unused=True)
            total = [g if t is None else t if g is None else t + g for t, g in zip(total, gradients, strict=True)]
        ready = iter(total)
        return [next(ready) if yes else None for yes in wanted]

    def match(
        self, net: nn.Module, real: Sequence[Tensor | None], images: Tensor, answers: Tensor, distance: Distance
    ) -> tuple[Tensor, Tensor]:
        """D(∇_θ L of synthetic images, `real`) and its gradient with respect to these images.

        Args:
            real: as `of_weights` returns them; what is None there is not matched.
            images: synthetic, augmented, N×C×H×W.
            answers: their labels, or probabilities.
        """
        wanted: Weights = {name: p for (name, p), g in zip(net.named_parameters(), real, strict=True) if g is not None}
        target = [gradient for gradient in real if gradient is not None]
        if self._compiles():
            assert self._compiled is not None
            result = self._compiled.match(net, wanted, target, images, answers, distance)
            if result is not None:
                return result
        images = images.detach().requires_grad_()
        with self.engine.autocast():
            out = net(images)
        loss = cross_entropy(images, out, answers)
        synthetic = list(torch.autograd.grad(loss, list(wanted.values()), create_graph=True))
        value = distance(target, synthetic)
        return value.detach(), torch.autograd.grad(value, images)[0]

    def _compiles(self) -> bool:
        return self._compiled is not None and not self._compiled.failed

    def _microbatch(self, count: int) -> int:
        return count if self._whole else self.engine.microbatch(self._cost, count)


def eager_gradients(net: nn.Module, device: torch.device, channels: int, size: int) -> Gradients:
    """For any network: eager, in fp32, in micro-batches that fit the cache."""
    if device.type == "cpu":
        keep_freed_memory()
    return Gradients(Engine(device), net, measure_footprint(net, channels, size))
