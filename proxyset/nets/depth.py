"""Whether a ConvNet is deep enough for the size of the images."""

from collections.abc import Callable

from proxyset.data.spec import DatasetSpec
from proxyset.errors import InputError
from proxyset.nets.arch import Arch
from proxyset.nets.build import NETS

PAPER = 32  # pixels; up to these the paper compares all depths
LARGEST = 8  # pixels of the last maps; the paper's default has 4
MEANT = 4


def say_if_shallow(say: Callable[[str], None], net: str | Arch, spec: DatasetSpec) -> None:
    """Say in one line where a ConvNet of few blocks would get a huge linear head from large images.

    Args:
        say: is given the line, such as `Session.say_once`.
    """
    line = depth_advice(net, spec.size)
    if line is not None:
        say(line)


def depth_advice(net: str | Arch, size: int) -> str | None:
    """What to say of a network for images of `size` pixels; None where its depth suits them, or it is no ConvNet.

    Each block halves the maps. The depth that is advised leaves 4 to 7 pixels of them, as in the literature: 3 blocks
    for 32 pixels, 4 for 64, 5 for 128.
    """
    if isinstance(net, str):
        if NETS.knows(net):
            return None
        try:
            net = Arch.parse(net, size=size)
        except InputError:  # a user's own network, or none
            return None
    side = size // 2**net.depth
    if size <= PAPER or net.pooling == "none" or side <= LARGEST:
        return None
    deep = (size // MEANT).bit_length() - 1
    return (
        f"a ConvNet of depth {net.depth} leaves maps of {side}×{side} of {size} pixels, and its head gets "
        f"{net.width * side**2:,} inputs: convnet-d{deep} is meant for this size"
    )
