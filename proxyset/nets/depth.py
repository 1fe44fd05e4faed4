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
    """What to say of a network for images of `size` pixels; None where its depth suits them, or it is no ConvNet."""
    shallow = _shallow(net, size)
    if shallow is None:
        return None
    side = size // 2**shallow.depth
    return (
        f"a ConvNet of depth {shallow.depth} leaves maps of {side}×{side} of {size} pixels, and its head gets "
        f"{shallow.width * side**2:,} inputs: {suited(f'convnet-w{shallow.width}', size)} is meant for this size"
    )


def suited(net: str, size: int) -> str:
    """A ConvNet whose name leaves its depth open, with the depth that is meant for images of `size` pixels.

    Each block halves the maps. That depth leaves 4 to 7 pixels of them, as in the literature: 3 blocks for 32 pixels, 4
    for 64, 5 for 128. Up to 32 pixels the name stays as it is.
    """
    return net if size <= PAPER else f"{net}-d{(size // MEANT).bit_length() - 1}"


def _shallow(net: str | Arch, size: int) -> Arch | None:
    """The network, if it is a ConvNet of too few blocks for images of `size` pixels."""
    if isinstance(net, str):
        if NETS.knows(net):
            return None
        try:
            net = Arch.parse(net, size=size)
        except InputError:  # a user's own network, or none
            return None
    fits = size <= PAPER or net.pooling == "none" or size // 2**net.depth <= LARGEST
    return None if fits else net
