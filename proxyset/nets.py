"""The networks of the paper: ConvNets by five choices, MLP, LeNet, AlexNet, VGG-11 and ResNet-18.

Every network has `embed` (images to features, N×F) and `classifier` (features to logits).
"""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from proxyset.settings import InputError, nearest

Norm = Literal["none", "batch", "layer", "instance", "group"]
Activation = Literal["sigmoid", "relu", "leakyrelu"]
Pooling = Literal["none", "max", "avg"]


@dataclass(frozen=True)
class Arch:
    """A ConvNet: `depth` blocks of [conv 3×3, norm, activation, 2×2 pooling] of `width` channels, then a linear head.

    `str(arch)` is its name, such as `convnet-w128-d3-relu-instance-avg`; `Arch.parse` reads it back.
    """

    width: int = 128
    depth: int = 3
    norm: Norm = "instance"
    activation: Activation = "relu"
    pooling: Pooling = "avg"

    def __post_init__(self) -> None:
        for name, choices in (("norm", Norm), ("activation", Activation), ("pooling", Pooling)):
            if getattr(self, name) not in get_args(choices):
                raise InputError(
                    f"unknown {name} {getattr(self, name)!r}: {nearest(getattr(self, name), get_args(choices))}"
                )
        if self.width < 1 or self.depth < 1:
            raise InputError(f"width and depth must be at least 1, got {self.width} and {self.depth}")
        if self.norm == "group" and self.width % 4:
            raise InputError(f"group norm has 4 groups, so the width must be a multiple of 4, got {self.width}")

    def __str__(self) -> str:
        norm = "nonorm" if self.norm == "none" else self.norm
        pooling = "nopool" if self.pooling == "none" else self.pooling
        return f"convnet-w{self.width}-d{self.depth}-{self.activation}-{norm}-{pooling}"

    @classmethod
    def parse(cls, name: str, *, size: int = 32) -> "Arch":
        """Read a name such as `convnet`, `convnet-w32` or `convnet-w32-d2-sigmoid-nonorm-max`; missing parts default.

        A missing depth is 3, or 2 for images under 16 pixels: there a third block would normalise over 2×2 maps, whose
        near-constant channels make the gradients explode (DSA on 8×8 digits then diverges).
        """
        parts: dict[str, int | str] = {}
        tokens = {"nonorm": ("norm", "none"), "nopool": ("pooling", "none")}
        for field, choices in (("norm", Norm), ("activation", Activation), ("pooling", Pooling)):
            tokens |= {choice: (field, choice) for choice in get_args(choices) if choice != "none"}
        head, *rest = name.lower().split("-")
        if head != "convnet":
            raise InputError(f"{name!r} is not a ConvNet: its name starts with 'convnet'")
        for token in rest:
            key: str
            value: int | str
            if token[:1] in ("w", "d") and token[1:].isdigit():
                key, value = ("width" if token[0] == "w" else "depth"), int(token[1:])
            elif token in tokens:
                key, value = tokens[token]
            else:
                raise InputError(
                    f"unknown part {token!r} of network {name!r}: {nearest(token, [*tokens, 'w128', 'd3'])}"
                )
            if key in parts:
                raise InputError(f"network {name!r} names its {key} twice")
            parts[key] = value
        return cls(**({"depth": 3 if size >= 16 else 2} | parts))  # type: ignore[arg-type]


SPACE_720 = {
    "width": (32, 64, 128, 256),
    "depth": (1, 2, 3, 4),
    "norm": get_args(Norm),
    "activation": get_args(Activation),
    "pooling": get_args(Pooling),
}


def all_archs() -> Iterator[Arch]:
    """The paper's 720 ConvNets, in a fixed order."""
    names = [field.name for field in fields(Arch)]
    for choice in itertools.product(*(SPACE_720[name] for name in names)):
        yield Arch(**dict(zip(names, choice, strict=True)))


class Classifier(nn.Module):
    """A network as a feature extractor and a linear head."""

    per_image = True

    def __init__(self, body: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.classifier = classifier

    def embed(self, images: Tensor) -> Tensor:
        """Images N×C×H×W to features N×F, as the head sees them."""
        return self.body(images).flatten(1)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.embed(images))


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
        name: an `Arch`, its name, or one of `NETS`.
        channels, size, classes: what goes in and how many logits come out.
        generator: draws the initial weights; the global generator is left alone.
        condensing: build the variant for gradient matching (ResNet: stride 1 and 2×2 average pooling in place of
            every stride of 2).

    Raises:
        InputError: unknown name, or the network cannot take images of this size.
    """
    net = outline(name, channels=channels, size=size, classes=classes, condensing=condensing)
    net = net.to_empty(device="cpu")
    initialise(net, generator)
    return net.to(device).train()


def outline(name: str | Arch, *, channels: int, size: int, classes: int, condensing: bool = False) -> nn.Module:
    """The network without weights, on the meta device: its shapes and its parameter count, at no cost.

    Raises:
        InputError: as `build_net`.
    """
    if isinstance(name, str) and name.lower() in NETS:
        build: Callable[[], nn.Module] = lambda: NETS[name.lower()](channels, size, classes, condensing)  # noqa: E731
    elif isinstance(name, str) and name.lower().split("-")[0] != "convnet":
        raise InputError(f"unknown network {name!r}: {nearest(name, [*NETS, 'convnet'])}")
    else:
        arch = Arch.parse(name, size=size) if isinstance(name, str) else name
        build = lambda: _convnet(arch, channels, size, classes)  # noqa: E731
    with torch.device("meta"):  # no memory and, above all, no draws from the global generator
        return build()


def full_name(name: str, size: int) -> str:
    """The name of a network with every part spelled out, for images of `size` pixels."""
    return name.lower() if name.lower() in NETS else str(Arch.parse(name, size=size))


def check_net(name: str | Arch, *, channels: int, size: int, classes: int) -> None:
    """Raise `InputError` if the network is unknown or cannot take such images."""
    outline(name, channels=channels, size=size, classes=classes)


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


def is_per_image(net: nn.Module) -> bool:
    """Whether what a network answers on one image cannot depend on the others, so that minibatches may be split.

    That is known of torch's own layers but BatchNorm, and said by other modules with `per_image = True`.
    """
    return not has_batch_norm(net) and all(
        type(module).__module__.startswith("torch.nn.") or getattr(module, "per_image", False)
        for module in net.modules()
    )


def has_batch_norm(net: nn.Module) -> bool:
    return bool(batch_norms(net))


def batch_norms(net: nn.Module) -> list[nn.Module]:
    return [module for module in net.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]


# The families.


def _convnet(arch: Arch, channels: int, size: int, classes: int) -> nn.Module:
    padded = _padded(size)
    if arch.pooling != "none":
        _require(f"{arch} ({arch.depth} poolings)", size, 2**arch.depth if padded < 2**arch.depth else 0)
    layers: list[nn.Module] = []
    for block in range(arch.depth):
        pad = 1 + (padded - size) // 2 if block == 0 else 1
        layers += [nn.Conv2d(channels if block == 0 else arch.width, arch.width, 3, padding=pad)]
        layers += [*_norm(arch.norm, arch.width, padded), _activation(arch.activation)]
        if arch.pooling != "none":
            layers.append(nn.MaxPool2d(2) if arch.pooling == "max" else nn.AvgPool2d(2))
            padded //= 2
    return Classifier(nn.Sequential(*layers), nn.Linear(arch.width * padded**2, classes))


def _mlp(channels: int, size: int, classes: int, condensing: bool) -> nn.Module:
    body = nn.Sequential(nn.Flatten(), nn.Linear(channels * size**2, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU())
    return Classifier(body, nn.Linear(128, classes))


def _lenet(channels: int, size: int, classes: int, condensing: bool) -> nn.Module:
    _require("lenet", size, 16)
    padding = 2 if size == 28 else 0
    side = ((size + 2 * padding - 4) // 2 - 4) // 2
    conv = [nn.Conv2d(channels, 6, 5, padding=padding), nn.ReLU(), nn.MaxPool2d(2)]
    conv += [nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    linear = [nn.Linear(16 * side**2, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU()]
    return Classifier(nn.Sequential(*conv, *linear), nn.Linear(84, classes))


def _alexnet(channels: int, size: int, classes: int, condensing: bool) -> nn.Module:
    padded = _padded(size)
    plan = [(128, 5, True), (192, 5, True), (256, 3, False), (192, 3, False), (192, 3, True)]
    layers: list[nn.Module] = []
    before, pad = channels, (padded - size) // 2
    for width, kernel, pool in plan:
        layers += [nn.Conv2d(before, width, kernel, padding=kernel // 2 + pad), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if pool else []
        before, pad = width, 0
    return Classifier(nn.Sequential(*layers), nn.Linear(192 * (padded // 8) ** 2, classes))


def _vgg11(norm: Norm) -> Callable[[int, int, int, bool], nn.Module]:
    def build(channels: int, size: int, classes: int, condensing: bool) -> nn.Module:
        padded = _padded(size)
        _require("vgg11 (5 poolings)", size, 32 if padded < 32 else 0)
        layers: list[nn.Module] = []
        before, pad = channels, 1 + (padded - size) // 2
        for part in (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"):
            if isinstance(part, str):
                layers.append(nn.MaxPool2d(2))
                continue
            layers += [nn.Conv2d(before, part, 3, padding=pad), *_norm(norm, part, 0), nn.ReLU()]
            before, pad = part, 1
        return Classifier(nn.Sequential(*layers), nn.Linear(512 * (padded // 32) ** 2, classes))

    return build


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut (He et al. 2016); `pool` replaces a stride of 2 by 2×2 average pooling."""

    per_image = True

    def __init__(self, before: int, width: int, stride: int, norm: Norm, pool: bool) -> None:
        super().__init__()
        shrink: list[nn.Module] = [nn.AvgPool2d(2)] if pool and stride == 2 else []
        stride = 1 if pool else stride
        first = [
            nn.Conv2d(before, width, 3, stride, 1, bias=False),
            *_norm(norm, width, 0),
            nn.ReLU(),
            *shrink,
        ]
        self.residual = nn.Sequential(*first, nn.Conv2d(width, width, 3, 1, 1, bias=False), *_norm(norm, width, 0))
        self.shortcut = nn.Sequential()
        if before != width:
            self.shortcut = nn.Sequential(
                nn.Conv2d(before, width, 1, stride, bias=False), *shrink, *_norm(norm, width, 0)
            )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.residual(x) + self.shortcut(x))


def _resnet18(norm: Norm) -> Callable[[int, int, int, bool], nn.Module]:
    def build(channels: int, size: int, classes: int, condensing: bool) -> nn.Module:
        _require("resnet18 (its last stage is 1/8 of the image and normalised over it)", size, 16)
        layers: list[nn.Module] = [
            nn.Conv2d(channels, 64, 3, 1, 1, bias=False),
            *_norm(norm, 64, 0),
            nn.ReLU(),
        ]
        before = 64
        for width, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
            layers.append(BasicBlock(before, width, stride, norm, condensing))
            layers.append(BasicBlock(width, width, 1, norm, condensing))
            before = width
        return Classifier(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1)), nn.Linear(512, classes))

    return build


NETS: dict[str, Callable[[int, int, int, bool], nn.Module]] = {
    "mlp": _mlp,
    "lenet": _lenet,
    "alexnet": _alexnet,
    "vgg11": _vgg11("instance"),
    "vgg11-batch": _vgg11("batch"),
    "resnet18": _resnet18("instance"),
    "resnet18-batch": _resnet18("batch"),
}
"""Networks by name besides the ConvNets: (channels, size, classes, condensing) to a module. Add your own here."""


def _padded(size: int) -> int:
    """28-pixel images are padded to 32 by the first convolution, as in the paper's code."""
    return 32 if size == 28 else size


def _require(net: str, size: int, least: int) -> None:
    if size < least:
        raise InputError(f"network {net} needs images of at least {least} pixels, got {size}")


def _norm(norm: Norm, width: int, side: int) -> list[nn.Module]:
    match norm:
        case "batch":
            return [nn.BatchNorm2d(width)]
        case "layer":
            return [nn.LayerNorm([width, side, side])]
        case "instance":
            return [nn.GroupNorm(width, width)]
        case "group":
            return [nn.GroupNorm(4, width)]
    return []


def _activation(activation: Activation) -> nn.Module:
    return {"sigmoid": nn.Sigmoid, "relu": nn.ReLU, "leakyrelu": nn.LeakyReLU}[activation]()
