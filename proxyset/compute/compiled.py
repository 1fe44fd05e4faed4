"""Gradients as functions for `torch.compile`: of the weights, and of images through a gradient of the weights."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, grad_and_value

from proxyset.compute.functions import Functions, Weights, filled, fusing, packed, split
from proxyset.compute.losses import EACH, Loss, cross_entropy
from proxyset.compute.plan import Engine

Distance = Callable[[list[Tensor], list[Tensor]], Tensor]
"""Gradients on real and on synthetic images, one per parameter → a scalar."""


class Compiled(Functions):
    """The compiled gradients of networks of one structure.

    Once something could not be compiled (`failed`), every method returns None and the caller goes on eagerly.
    """

    def __init__(self, engine: Engine, net: nn.Module) -> None:
        super().__init__(engine)
        self._structure = fusing(net)

    def of_weights(
        self,
        net: nn.Module,
        wanted: Weights,
        images: Tensor,
        answers: Tensor,
        *,
        size: int,
        loss: Loss,
        logits: list[Tensor] | None,
    ) -> Weights | None:
        """∇ of the mean loss with respect to the weights `wanted`, by name.

        Args:
            size: images in a micro-batch.
            loss: one of `EACH`.
            logits: is given the logits, N×classes.
        """
        count = len(images)
        weights = split(net, wanted)
        # Every micro-batch has the same shape, so one is compiled: the last is filled up with images of no weight.
        missing = -count % size
        images, answers = filled(images, missing), filled(answers, missing)
        share = filled(torch.full((count,), 1 / count, device=images.device), missing)
        total: Weights = {}
        for part, answer, weight in zip(images.split(size), answers.split(size), share.split(size), strict=True):
            arguments = (*weights, packed(part), answer, weight)
            key = "weights", tuple(wanted), part.shape, answer.dtype, loss
            result = self.call(key, grad(partial(self._loss, EACH[loss]), has_aux=True), arguments)
            if result is None:
                if logits is not None:
                    logits.clear()
                return None
            if logits is not None:
                logits.append(result[1][: count - sum(map(len, logits))].clone())
            for name, gradient in result[0].items():
                total[name] = total[name].add_(gradient) if name in total else gradient.clone()
        return total

    def match(
        self, net: nn.Module, wanted: Weights, target: list[Tensor], images: Tensor, answers: Tensor, distance: Distance
    ) -> tuple[Tensor, Tensor] | None:
        """The distance of ∇_wanted on `images` to `target`, and its gradient with respect to the images."""

        def far(images: Tensor, wanted: Weights, others: Weights, answers: Tensor, target: list[Tensor]) -> Tensor:
            share = torch.full((len(images),), 1 / len(images), device=images.device)
            synthetic, _ = grad(partial(self._loss, EACH[cross_entropy]), has_aux=True)(
                wanted, others, images, answers, share
            )
            return distance(target, [synthetic[name] for name in wanted])

        arguments = (packed(images.detach()), *split(net, wanted), answers, [packed(g) for g in target])
        key = "match", distance, images.shape, answers.dtype
        result = self.call(key, grad_and_value(far), arguments)
        # clones, because the next call overwrites what a CUDA graph gave
        return None if result is None else (result[1].detach().clone(), result[0].clone())

    def _loss(
        self,
        each: Callable[[Tensor, Tensor], Tensor],
        wanted: Weights,
        others: Weights,
        images: Tensor,
        answers: Tensor,
        share: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """The losses of the images summed with the weights `share`, and the logits: what is compiled."""
        with self.engine.autocast():
            out = functional_call(self._structure, wanted | others, (images,))
        return (each(out.float(), answers) * share).sum(), out
