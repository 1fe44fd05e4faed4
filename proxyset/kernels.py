"""What runs in a step: gradients of the weights, and of images through them, eager or compiled, in micro-batches."""

import contextlib
import copy
import functools
import inspect
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, grad_and_value
from torch.nn import functional as F

from proxyset.engine import LOG, Engine, Footprint, footprint, keep_freed_memory
from proxyset.matching import DISTANCES
from proxyset.nets import has_batch_norm, is_per_image, outline

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Images as the network saw them, its logits, labels → a scalar, the mean over the images."""

Weights = dict[str, Tensor]

FAILED: set[Engine] = set()
"""Engines that were to compile and went on eagerly; what is built so says it."""

# Without it (torch before 2.12) eight functions compiled from one place are the most before torch goes on eagerly.
_APART = {"isolate_recompiles": True} if "isolate_recompiles" in inspect.signature(torch.compile).parameters else {}


def cross_entropy(images: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits.float(), labels)


class Kernels:
    """The gradients of networks of one structure, computed as an engine says.

    A gradient over a minibatch is a sum over its images, so it is taken over micro-batches that fit the cache. Where
    images may see each other (BatchNorm, or code that is not known: `nets.is_per_image`) it stays in one piece.
    """

    def __init__(self, engine: Engine, net: nn.Module, cost: Footprint) -> None:
        """
        Args:
            net: a network, or the outline, of this structure; weights come with every call.
            cost: its `footprint`; where all is zero, minibatches stay in one piece.
        """
        self.engine = engine
        self._cost = cost
        self._whole = not is_per_image(net) or not cost.activations
        self._functions: dict[Any, Callable[..., Any]] = {}
        self.compiled = engine.compiled and not has_batch_norm(net)  # see `Work`
        if self.compiled:
            self._structure = _fusing(copy.deepcopy(net).to("meta"))

    def gradients(
        self,
        net: nn.Module,
        images: Tensor,
        labels: Tensor,
        *,
        loss: Loss = cross_entropy,
        matched: bool = False,
        logits: list[Tensor] | None = None,
    ) -> list[Tensor | None]:
        """∇_θ of the mean loss over a minibatch, for each parameter of `net` (None where it has no part in the loss).

        Args:
            matched: leave out (None) the gradients of parameters with one axis: biases and norm affines.
            logits: is given the logits of the minibatch, N×classes.
        """
        parameters = list(net.parameters())
        chosen = [p.requires_grad and (p.ndim > 1 or not matched) for p in parameters]
        if self.compiled and loss is cross_entropy:
            names = [name for name, _ in net.named_parameters()]
            wanted: Weights = {name: p for name, p, its in zip(names, parameters, chosen, strict=True) if its}
            found = self._compiled_gradients(net, wanted, images, labels, logits)
            if found is not None:
                return [found.get(name) for name in names]
        size = self._microbatch(len(images))
        leaves = [p for p, its in zip(parameters, chosen, strict=True) if its]
        total: list[Tensor | None] = [None] * len(leaves)
        for part, answers in zip(images.split(size), labels.split(size), strict=True):
            with self._precision():
                out = net(part)
            share = loss(part, out, answers)
            if len(part) < len(images):
                share = share * (len(part) / len(images))
            if logits is not None:
                logits.append(out.detach())
            gradients = torch.autograd.grad(share, leaves, allow_unused=True)
            total = [g if t is None else t if g is None else t + g for t, g in zip(total, gradients, strict=True)]
        ready = iter(total)
        return [next(ready) if its else None for its in chosen]

    def match(
        self, net: nn.Module, real: Sequence[Tensor | None], images: Tensor, labels: Tensor, distance: str
    ) -> tuple[Tensor, Tensor]:
        """D(∇_θ L of synthetic images, `real`) and its gradient with respect to these images.

        Args:
            real: as `gradients` returns them; what is None there is not matched.
            images: synthetic, augmented, N×C×H×W.
            distance: one of `DISTANCES`.
        """
        parameters: Weights = dict(net.named_parameters())
        wanted = {name: p for (name, p), g in zip(parameters.items(), real, strict=True) if g is not None}
        target = [gradient for gradient in real if gradient is not None]
        if self.compiled:
            measure = DISTANCES[distance]

            def far(images: Tensor, wanted: Weights, others: Weights, labels: Tensor, target: list[Tensor]) -> Tensor:
                share = torch.full((len(images),), 1 / len(images), device=images.device)
                own, _ = grad(self._loss, has_aux=True)(wanted, others, images, labels, share)
                return measure(target, [own[name] for name in wanted])

            arguments = (_packed(images.detach()), *_split(net, wanted), labels, [_packed(g) for g in target])
            found = self._call(("match", distance, images.shape), grad_and_value(far), arguments)
            if found is not None:
                return found[1].detach(), found[0]
        images = images.detach().requires_grad_()
        with self._precision():
            out = net(images)
        own = torch.autograd.grad(cross_entropy(images, out, labels), list(wanted.values()), create_graph=True)
        value = DISTANCES[distance](target, own)
        return value.detach(), torch.autograd.grad(value, images)[0]

    def _compiled_gradients(
        self, net: nn.Module, wanted: Weights, images: Tensor, labels: Tensor, logits: list[Tensor] | None
    ) -> Weights | None:
        """As `gradients`; None where that cannot be compiled."""
        count, size = len(images), self._microbatch(len(images))
        weights = _split(net, wanted)
        # Every micro-batch has the same shape, so one is compiled: the last is filled up with images of no weight.
        missing = -count % size
        images, labels = _filled(images, missing), _filled(labels, missing)
        share = _filled(torch.full((count,), 1 / count, device=images.device), missing)
        total: Weights = {}
        for part, answers, weight in zip(images.split(size), labels.split(size), share.split(size), strict=True):
            arguments = (*weights, _packed(part), answers, weight)
            found = self._call(("gradients", tuple(wanted), part.shape), grad(self._loss, has_aux=True), arguments)
            if found is None:
                if logits is not None:
                    logits.clear()
                return None
            if logits is not None:
                logits.append(found[1][: count - sum(map(len, logits))].clone())
            for name, gradient in found[0].items():
                total[name] = total[name].add_(gradient) if name in total else gradient.clone()
        return total

    def _loss(
        self, wanted: Weights, others: Weights, images: Tensor, labels: Tensor, share: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The cross-entropies of the images summed with the weights `share`, and the logits: what is compiled."""
        with self._precision():
            out = functional_call(self._structure, wanted | others, (images,))
        return (F.cross_entropy(out.float(), labels, reduction="none") * share).sum(), out

    def _microbatch(self, count: int) -> int:
        return count if self._whole else self.engine.microbatch(self._cost, count)

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
            self._give_up((str(error).strip() or type(error).__name__).splitlines()[0])
            return None

    def _give_up(self, reason: str) -> None:
        self.compiled = False
        FAILED.add(self.engine)
        LOG.warning("not compiled, goes on eagerly: %s", reason)

    def _precision(self) -> AbstractContextManager[Any]:
        """bf16 for convolutions and products; sums, norms and distances stay in fp32."""
        if self.engine.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.engine.device.type, torch.bfloat16)


@functools.lru_cache(maxsize=32)
def kernels(engine: Engine, name: str, *, channels: int, size: int, classes: int, condensing: bool = False) -> Kernels:
    """The kernels of the network called `name`; compiled once in a process, however many networks are made of it."""
    net = outline(name, channels=channels, size=size, classes=classes, condensing=condensing)
    return Kernels(engine, net, footprint(net, channels, size))


def eager_kernels(net: nn.Module, device: torch.device, channels: int, size: int) -> Kernels:
    """For any network, a user's too: eager, in micro-batches that fit the cache."""
    if device.type == "cpu":
        keep_freed_memory()
    return Kernels(Engine(device), net, footprint(net, channels, size))


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
