"""What `torch.compile` makes of functions of images and weights, and the forms in which it does so best."""

import copy
import inspect
import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from proxyset.compute.plan import Engine

LOG = logging.getLogger("proxyset")

Weights = dict[str, Tensor]

# Without it (torch before 2.12) eight functions compiled from one place are the most before torch goes on eagerly.
_APART = {"isolate_recompiles": True} if "isolate_recompiles" in inspect.signature(torch.compile).parameters else {}


class Functions:
    """Compiled functions by key. Once something could not be compiled (`failed`), `call` gives None for good."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.failed = False
        self._functions: dict[Any, Callable[..., Any]] = {}

    def call(self, key: Any, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Call what `function` was compiled to under `key`; None, for good, where that fails."""
        if self.failed:
            return None
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


def fusing(net: nn.Module) -> nn.Module:
    """The structure of `net`, without weights, with average pooling in the form above."""
    net = copy.deepcopy(net).to("meta")
    for module in net.modules():
        for name, child in module.named_children():
            if not isinstance(child, nn.AvgPool2d) or child.padding or child.ceil_mode or child.divisor_override:
                continue
            if child.kernel_size == child.stride and isinstance(child.stride, int):
                setattr(module, name, _Pool(child.stride))
    return net


def split(net: nn.Module, wanted: Weights) -> tuple[Weights, Weights]:
    """The tensors of a network that gradients are wanted of, and all others, both packed."""
    tensors = {name: packed(t.detach()) for name, t in [*net.named_parameters(), *net.named_buffers()]}
    return {name: tensors.pop(name) for name in wanted}, tensors


def packed(tensor: Tensor) -> Tensor:
    """With the channels innermost: convolutions then need not reorder what the compiler has fused.

    Always a copy, because a tensor of one channel counts as such whatever its strides, and other strides are compiled
    again.
    """
    if tensor.ndim != 4:
        return tensor
    return torch.empty_like(tensor, memory_format=torch.channels_last).copy_(tensor)


def filled(tensor: Tensor, missing: int) -> Tensor:
    return torch.cat([tensor, tensor.new_zeros(missing, *tensor.shape[1:])]) if missing else tensor
