"""What every network of this package is, and what can be told of any network by its layers."""

from torch import Tensor, nn

DRAWING = (nn.modules.dropout._DropoutNd, nn.RReLU)
"""Layers that draw from torch's global generator while a network trains."""


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


def is_per_image(net: nn.Module) -> bool:
    """Whether what a network answers on one image cannot depend on the others, so that minibatches may be split.

    That is known of torch's own layers but BatchNorm, and said by other modules with `per_image = True`.
    """
    return not has_batch_norm(net) and all(
        type(module).__module__.startswith("torch.nn.") or getattr(module, "per_image", False)
        for module in net.modules()
    )


def draws(net: nn.Module) -> bool:
    """Whether what a network answers while it trains is left to chance."""
    return any(isinstance(module, DRAWING) for module in net.modules())


def hold_draws(net: nn.Module) -> None:
    """Let a network draw nothing until it trains again, so that what it answers follows from its weights."""
    for module in net.modules():
        if isinstance(module, DRAWING):
            module.eval()


def has_batch_norm(net: nn.Module) -> bool:
    return bool(batch_norms(net))


def batch_norms(net: nn.Module) -> list[nn.Module]:
    return [module for module in net.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
