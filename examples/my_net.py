"""A network of your own: channels, image size and classes to a module."""

from torch import nn

from proxyset.nets.classifier import Classifier


def small(channels: int, size: int, classes: int) -> nn.Module:
    """Two convolutions with pooling, and a linear head."""
    body = nn.Sequential(
        nn.Conv2d(channels, 16, 3, padding=1),
        nn.GroupNorm(4, 16),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.ReLU(),
        nn.AvgPool2d(2),
    )
    return Classifier(body, nn.Linear(16 * (size // 4) ** 2, classes))
