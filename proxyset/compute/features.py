"""Features of networks: of images without a gradient, and gradients of images through them; eager or compiled."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value

from proxyset.compute.footprint import Footprint
from proxyset.compute.functions import Functions, filled, fusing, packed, split
from proxyset.compute.plan import Engine
from proxyset.nets.classifier import has_batch_norm, is_per_image

View = Callable[[nn.Module], nn.Module]
"""From a network to a module of images N×C×H×W to features N×F, which has the network as a part."""
Head = Callable[..., Tensor]
"""Features N×F and further tensors → a scalar."""


class Embedding(nn.Module):
    """The features that the classifier of a network sees (its `embed`)."""

    per_image = True

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        return self.net.embed(images)  # type: ignore[operator]


class Features:
    """The features of networks of one structure, computed as an engine says.

    Images pass in micro-batches that fit the cache, but for networks in which images see each other (BatchNorm).
    """

    def __init__(self, engine: Engine, net: nn.Module, cost: Footprint, view: View = Embedding) -> None:
        """
        Args:
            net: a network, or the outline, of this structure; weights come with every call.
            cost: its footprint.
        """
        self.engine, self._cost, self._view = engine, cost, view
        self._whole = not is_per_image(net) or not cost.activations
        compiles = engine.compiled and not has_batch_norm(net)
        self._compiled = _CompiledFeatures(engine, view(copy.deepcopy(net))) if compiles else None

    @property
    def failed(self) -> bool:
        """Whether the features were to be compiled, could not be, and go on eagerly."""
        return self._compiled is not None and self._compiled.failed

    @torch.no_grad()
    def of(self, net: nn.Module, images: Tensor, most: int = 0) -> Tensor:
        """φ(images), N×F float32, without a gradient.

        Args:
            most: as many images as ever pass in the same work: what is compiled for them serves fewer.
        """
        compiles = self._compiled is not None and not self._compiled.failed
        size, view = self.microbatch(max(len(images), most if compiles else 0)), self._view(net)
        parts = []
        for part in images.split(size):
            features = self._compiled.of(view, part, size) if self._compiled is not None else None
            parts.append(self._eager(view, part) if features is None else features)
        return torch.cat(parts)

    def backward(self, net: nn.Module, images: Tensor, cotangent: Tensor) -> Tensor:
        """∂⟨φ(images), cotangent⟩ / ∂images, N×C×H×W.

        Args:
            cotangent: N×F.
        """
        size = self.microbatch(len(images))
        pairs = zip(images.split(size), cotangent.split(size), strict=True)
        return torch.cat([self.through(net, part, _inner, share)[1] for part, share in pairs])

    def through(self, net: nn.Module, images: Tensor, head: Head, *more: Tensor) -> tuple[Tensor, Tensor]:
        """head(φ(images), *more) and its gradient with respect to the images.

        In one pass where the images are no more than two micro-batches; more of them pass twice, part by part.
        """
        view = self._view(net)
        if len(images) > 2 * self.microbatch(len(images)):
            return self._in_parts(net, images, head, more)
        if self._compiled is not None:
            result = self._compiled.through(view, images, head, more)
            if result is not None:
                return result
        images = images.detach().requires_grad_()
        value = head(self._eager(view, images), *more)
        return value.detach(), torch.autograd.grad(value, images)[0]

    def _in_parts(self, net: nn.Module, images: Tensor, head: Head, more: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        features = self.of(net, images).requires_grad_()
        value = head(features, *more)
        return value.detach(), self.backward(net, images, torch.autograd.grad(value, features)[0])

    def microbatch(self, count: int) -> int:
        """Images that pass at a time."""
        return count if self._whole else self.engine.microbatch(self._cost, count)

    def _eager(self, view: nn.Module, images: Tensor) -> Tensor:
        with self.engine.autocast():
            features = view(images)
        return features.float()


def _inner(features: Tensor, cotangent: Tensor) -> Tensor:
    return (features * cotangent).sum()


class _CompiledFeatures(Functions):
    """The same, compiled; every method gives None where that failed."""

    def __init__(self, engine: Engine, view: nn.Module) -> None:
        super().__init__(engine)
        self._structure = fusing(view)

    def of(self, view: nn.Module, images: Tensor, size: int) -> Tensor | None:
        """
        Args:
            size: images in a micro-batch; a smaller one is filled up, because every shape is compiled for itself.
        """
        whole = packed(filled(images, size - len(images)))
        result = self.call(("of", whole.shape), self._features, (split(view, {})[1], whole))
        return None if result is None else result[: len(images)].clone()

    def through(
        self, view: nn.Module, images: Tensor, head: Head, more: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor] | None:
        def far(images: Tensor, weights: dict[str, Tensor], more: tuple[Tensor, ...]) -> Tensor:
            return head(self._features(weights, images), *more)

        arguments = (packed(images.detach()), split(view, {})[1], tuple(tensor.detach() for tensor in more))
        key = "through", head, images.shape, tuple(tensor.shape for tensor in more)
        result = self.call(key, grad_and_value(far), arguments)
        return None if result is None else (result[1].detach().clone(), result[0].clone())

    def _features(self, weights: dict[str, Any], images: Tensor) -> Tensor:
        with self.engine.autocast():
            features = functional_call(self._structure, weights, (images,))
        return features.float()
