"""Gradients as functions for `torch.compile`: of the weights, and of images through a gradient of the weights."""

import copy
import inspect
import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, grad_and_value
from torch.nn import functional as F

from proxyset.compute.plan import Engine

LOG = logging.getLogger("proxyset")

Weights = dict[str, Tensor]
Distance = Callable[[list[Tensor], list[Tensor]], Tensor]
"""Gradients on real and on synthetic images, one per parameter → a scalar."""

# Without it (torch before 2.12) eight functions compiled from one place are the most before torch goes on eagerly.
_APART = {"isolate_recompiles": True} if "isolate_recompiles" in inspect.signature(torch.compile).parameters else {}


class Compiled:
    """The compiled gradients of networks of one structure.

    Once something could not be compiled (`failed`), every method returns None and the caller goes on eagerly.
    """

    def __init__(self, engine: Engine, net: nn.Module) -> None:
        self.engine = engine
        self.failed = False
        self._structure = _fusing(copy.deepcopy(net).to("meta"))
        self._functions: dict[Any, Callable[..., Any]] = {}

    def of_weights(
        self,
        net: nn.Module,
        wanted: Weights,
        images: Tensor,
        answers: Tensor,
        size: int,
        logits: list[Tensor] | None,
    ) -> Weights | None:
        """∇ of the mean cross-entropy with respect to the weights `wanted`, by name.

        Args:
            size: images in a micro-batch.
            logits: is given the logits, N×classes.
        """
        count = len(images)
        weights = _split(net, wanted)
        # Every micro-batch has the same shape, so one is compiled: the last is filled up with images of no weight.
        missing = -count % size
        images, answers = _filled(images, missing), _filled(answers, missing)
        share = _filled(torch.full((count,), 1 / count, device=images.device), missing)
        total: Weights = {}
        for part, answer, weight in zip(images.split(size), answers.split(size), share.split(size), strict=True):
            arguments = (*weights, _packed(part), answer, weight)
            key = "weights", tuple(wanted), part.shape, answer.dtype
            result = self._call(key, grad(self._loss, has_aux=True), arguments)
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
            synthetic, _ = grad(self._loss, has_aux=True)(wanted, others, images, answers, share)
            return distance(target, [synthetic[name] for name in wanted])

        arguments = (_packed(images.detach()), *_split(net, wanted), answers, [_packed(g) for g in target])
        key = "match", distance, images.shape, answers.dtype
        result = self._call(key, grad_and_value(far), arguments)
        return None if result is None else (result[1].detach(), result[0])

    def _loss(
        self, wanted: Weights, others: Weights, images: Tensor, answers: Tensor, share: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The cross-entropies of the images summed with the weights `share`, and the logits: what is compiled."""
        with self.engine.autocast():
            out = functional_call(self._structure, wanted | others, (images,))
        return (F.cross_entropy(out.float(), answers, reduction="none") * share).sum(), out

    def _call(self, key: Any, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Call what `function` was compiled to under `key`; None, for good, where that fails."""
        if self.engine.device.type == "cuda":
            torch.compiler.cudagraph_mark_step_begin()  # what the last call returned has been used
        if key not in self._functions:
            graphs = {"mode": "reduce-overhead"} if self.engine.device.type == "cuda" else {}
            if not _APART:
                torch._dynamo.config.cache_size_limit = 64
            self._functions[key] = torch.compile(function, dynamic=False, **graphs, **_APART)  # type: ignore[call-overload]
        try:
            return self._functions[key](*arguments)
        except Exception as error:  # whatever the compiler, or the network under it, raises
            self.failed = True
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            LOG.warning("not compiled, goes on eagerly: %s", reason)
            return None


class _Pool(nn.Module):
    """Average pooling without overlap as a mean over two axes, which the compiler fuses with what is before it."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = (length // self.side for length in x.shape[2:])
        x = x[:, :, : rows * self.side, : columns * self.side]
        return x.unflatten(3, (columns, self.side)).unflatten(2, (rows, self.side)).mean((3, 5))


def _fusing(net: nn.Module) -> nn.Module:
    """`net` with average pooling in the form above."""
    for module in net.modules():
        for name, child in module.named_children():
            if not isinstance(child, nn.AvgPool2d) or child.padding or child.ceil_mode or child.divisor_override:
                continue
            if child.kernel_size == child.stride and isinstance(child.stride, int):
                setattr(module, name, _Pool(child.stride))
    return net


def _split(net: nn.Module, wanted: Weights) -> tuple[Weights, Weights]:
    """The tensors of a network that gradients are wanted of, and all others, both packed."""
    tensors = {name: _packed(t.detach()) for name, t in [*net.named_parameters(), *net.named_buffers()]}
    return {name: tensors.pop(name) for name in wanted}, tensors


def _packed(tensor: Tensor) -> Tensor:
    """With the channels innermost: convolutions then need not reorder what the compiler has fused.

    Always a copy, because a tensor of one channel counts as such whatever its strides, and other strides are compiled
    again.
    """
    if tensor.ndim != 4:
        return tensor
    return torch.empty_like(tensor, memory_format=torch.channels_last).copy_(tensor)


def _filled(tensor: Tensor, missing: int) -> Tensor:
    return torch.cat([tensor, tensor.new_zeros(missing, *tensor.shape[1:])]) if missing else tensor
