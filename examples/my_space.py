"""A search space of your own: multilayer perceptrons of several sizes."""

from collections.abc import Callable, Iterator

from torch import nn

Builder = Callable[[int, int, int], nn.Module]


def space() -> Iterator[tuple[str, Builder]]:
    """Pairs of a name and a builder, which takes channels, image size and number of classes."""
    for width in (16, 64):
        for depth in (1, 2, 3):
            yield f"mlp-{width}x{depth}", perceptron(width, depth)


def perceptron(width: int, depth: int) -> Builder:
    """A builder of perceptrons with `depth` hidden layers of `width` units."""

    def build(channels: int, size: int, classes: int) -> nn.Module:
        layers: list[nn.Module] = [nn.Flatten()]
        inputs = channels * size**2
        for _ in range(depth):
            layers += [nn.Linear(inputs, width), nn.ReLU()]
            inputs = width
        return nn.Sequential(*layers, nn.Linear(inputs, classes))

    return build
