"""Networks by name: the families here, and your own."""

import functools
import inspect
import math
from typing import Any

import torch
from torch import nn

from proxyset.data.spec import Shape
from proxyset.errors import InputError, nearest
from proxyset.nets import families
from proxyset.nets.arch import Arch
from proxyset.nets.cells import Cell, cell_network, check_cell_size, is_cell
from proxyset.nets.families import Builder
from proxyset.registry import Registry, describe

NETS: Registry[Builder] = Registry(
    "network",
    "proxyset.nets",
    {
        "mlp": families.mlp,
        "lenet": families.lenet,
        "alexnet": families.alexnet,
        "vgg11": families.vgg11,
        "vgg11-batch": functools.partial(families.vgg11, norm="batch"),
        "resnet18": families.resnet18,
        "resnet18-batch": functools.partial(families.resnet18, norm="batch"),
        "resnet18-pooled": functools.partial(families.resnet18, pooled=True),
        "resnet18-batch-pooled": functools.partial(families.resnet18, norm="batch", pooled=True),
    },
)
"""Networks by name besides the ConvNets. `NETS.register(name, builder)` adds one: a function of channels, size and
classes to a module; one that also takes `condensing` is told whether its gradients will be matched."""


def build_net(
    name: str | Arch,
    *,
    channels: int,
    size: int,
    classes: int,
    generator: torch.Generator,
    device: torch.device | str = "cpu",
    condensing: bool = False,
) -> nn.Module:
    """A freshly initialised network in training mode.

    Args:
        name: an `Arch`, its name, the architecture string of a NAS-Bench-201 cell, a name in `NETS`, or
            `package.module:function` with a builder of your own.
        channels, size, classes: what goes in and how many logits come out.
        generator: draws the initial weights; the global generator is left alone.
        condensing: build the variant for gradient matching (ResNet: stride 1 and 2×2 average pooling in place of
            every stride of 2).

    Raises:
        InputError: unknown name, or the network cannot take images of this size.
    """
    shape: Shape = {"channels": channels, "size": size, "classes": classes}
    builder = _builder(name, shape, condensing)
    if not _is_ours(name):
        return build_foreign(builder, shape, generator, device)
    with torch.device("meta"):
        net = builder(channels, size, classes)
    net = net.to_empty(device="cpu")
    initialise(net, generator)
    return net.to(device).train()


def build_foreign(
    builder: Builder, shape: Shape, generator: torch.Generator, device: torch.device | str = "cpu"
) -> nn.Module:
    """A network of a user's builder in training mode.

    Such builders draw their weights from the global generator, which is seeded from `generator` for that time and put
    back.

    Raises:
        InputError: the builder raises.
    """
    seed = int(torch.randint(2**62, (), generator=generator))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            net = builder(shape["channels"], shape["size"], shape["classes"])
        except InputError:
            raise
        except Exception as error:  # whatever a user's builder raises
            raise InputError(f"the network cannot be built: {describe(error)}") from None
    if not isinstance(net, nn.Module):
        raise InputError(f"the network's builder must return an nn.Module, got {type(net).__name__}")
    return net.to(device).train()


def outline(name: str | Arch, *, channels: int, size: int, classes: int, condensing: bool = False) -> nn.Module:
    """The network without weights, on the meta device: its shapes and its parameter count, at no cost.

    A user's network is built on the CPU where its builder cannot work on the meta device.

    Raises:
        InputError: as `build_net`.
    """
    shape: Shape = {"channels": channels, "size": size, "classes": classes}
    builder = _builder(name, shape, condensing)
    if not _is_ours(name):
        return build_foreign(builder, shape, torch.Generator().manual_seed(0), "meta")
    with torch.device("meta"):  # no memory and, above all, no draws from the global generator
        return builder(channels, size, classes)


def full_name(name: str, size: int) -> str:
    """The name of a network with every part spelled out, for images of `size` pixels."""
    return name if NETS.knows(name) or is_cell(name) else str(Arch.parse(name, size=size))


def check_net(name: str | Arch, *, channels: int, size: int, classes: int) -> None:
    """Raise `InputError` if the network is unknown or cannot take such images."""
    if isinstance(name, str) and is_cell(name):  # without an outline, of which 15,625 would take minutes
        Cell.parse(name)
        check_cell_size(size)
    else:
        outline(name, channels=channels, size=size, classes=classes)


def _builder(name: str | Arch, shape: Shape, condensing: bool) -> Builder:
    if isinstance(name, Arch) or (name.lower().split("-")[0] == "convnet" and not NETS.knows(name)):
        arch = Arch.parse(name, size=shape["size"]) if isinstance(name, str) else name
        return functools.partial(families.convnet, arch)
    if is_cell(name):
        return functools.partial(cell_network, Cell.parse(name))
    if not NETS.knows(name):
        raise InputError(f"unknown network {name!r}: {nearest(name, [*NETS, 'convnet'])}")
    builder = NETS[name]
    return functools.partial(builder, condensing=condensing) if _takes(builder, "condensing") else builder


def _takes(builder: Any, argument: str) -> bool:
    try:
        return argument in inspect.signature(builder).parameters
    except (TypeError, ValueError):  # a builtin without a signature
        return False


def _is_ours(name: str | Arch) -> bool:
    """Whether the weights can be drawn by `initialise`: the families of this package."""
    builder: Any = None if isinstance(name, Arch) or not NETS.knows(name) else NETS[name]
    builder = builder.func if isinstance(builder, functools.partial) else builder
    return builder is None or getattr(builder, "__module__", "") == families.__name__


def initialise(net: nn.Module, generator: torch.Generator) -> None:
    """torch's default initialisation (Kaiming uniform, a = √5), drawn from `generator`; norms to identity."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_uniform_(module.weight, a=math.sqrt(5), generator=generator)
            if module.bias is not None:
                bound = 1 / math.sqrt(module.weight[0].numel())
                nn.init.uniform_(module.bias, -bound, bound, generator=generator)
        elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm):
            reset = getattr(module, "reset_running_stats", None)
            if reset is not None:
                reset()
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif next(module.parameters(recurse=False), None) is not None:
            raise TypeError(f"do not know how to initialise {type(module).__name__} from a generator")
