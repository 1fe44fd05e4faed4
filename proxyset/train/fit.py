"""The only training loop of the project."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from proxyset.checkpoint import Checkpoint, State
from proxyset.compute.gradients import LOSSES, Gradients, Loss, eager_gradients
from proxyset.data import augment
from proxyset.data.images import ImageSet
from proxyset.data.spec import DatasetSpec, normalise
from proxyset.nets.classifier import draws
from proxyset.train.mixing import cutmix
from proxyset.train.optimiser import Optimiser
from proxyset.train.recipe import Recipe

Order = Callable[[torch.Generator], Iterable[Tensor]]
"""Draws the minibatches of one epoch: the positions of each."""


@dataclass(frozen=True)
class Hooks:
    """What a caller adds to the training.

    Attributes:
        answers: what the loss gets for each image, N×anything, in place of the labels or soft targets of the data.
        order: draws the minibatches of an epoch (None: every image once, shuffled, `recipe.batch_size` at a time).
        loss: of the augmented images, their logits and answers, in place of the recipe's; a mean over the images,
            because minibatches may be split.
        on_batch: called with the positions (CPU) and the logits of every minibatch, before its update.
        on_epoch: called after each epoch with the number of epochs done.
        extra: tensors of the caller's that belong to the state; refilled in place when going on.
    """

    answers: Tensor | None = None
    order: Order | None = None
    loss: Loss | None = None
    on_batch: Callable[[Tensor, Tensor], None] | None = None
    on_epoch: Callable[[int], None] | None = None
    extra: State = field(default_factory=dict)


def fit(
    net: nn.Module,
    data: ImageSet,
    spec: DatasetSpec,
    recipe: Recipe,
    *,
    generator: torch.Generator,
    gradients: Gradients | None = None,
    hooks: Hooks = Hooks(),
    checkpoint: Checkpoint | None = None,
) -> None:
    """Train `net` in place.

    Args:
        data: images on any device; they are normalised batch by batch on the device of `net`. Soft targets, where there
            are any, are what the loss compares the logits with. Tiles of a formation are images of their own.
        generator: draws the order and the augmentation.
        gradients: how gradients are computed (None: eagerly in fp32, in micro-batches that fit the cache).
        checkpoint: where to go on from, and to offer the state to after every epoch.
    """
    device = next(net.parameters()).device
    data = data.unfold()
    if data.images.is_floating_point():
        data = data.to(device)  # a synthetic set is small
    optimiser = Optimiser(net, recipe)
    saved = checkpoint.restore() if checkpoint is not None else None
    if saved is not None:
        _set_state(saved, net, optimiser, generator, hooks.extra)
    names = augment.operations(recipe.augment, spec.flip)
    gradients = gradients or eager_gradients(net, device, spec.channels, spec.size)
    loss = hooks.loss or LOSSES[recipe.loss]
    net.train()
    for epoch in range(checkpoint.step if checkpoint is not None else 0, recipe.epochs):
        for index in _batches(hooks.order, len(data), recipe.batch_size, generator):
            images, answers = batch(data, index, spec, device)
            answers = answers if hooks.answers is None else hooks.answers[index].to(device)
            images = augment.apply(augment.draw(names, generator, len(index)), images)
            if recipe.cutmix:
                images, answers = cutmix(images, answers, spec.classes, recipe.cutmix, generator)
            logits: list[Tensor] = []
            with _seeded(net, generator, device):
                computed = gradients.of_weights(net, images, answers, loss=loss, logits=logits)
            if hooks.on_batch is not None:
                hooks.on_batch(index, torch.cat(logits))
            optimiser.step(computed)
        optimiser.end_epoch()
        if checkpoint is not None:
            checkpoint.offer(_get_state(net, optimiser, generator, hooks.extra))
        if hooks.on_epoch is not None:
            hooks.on_epoch(epoch + 1)


@contextlib.contextmanager
def _seeded(net: nn.Module, generator: torch.Generator, device: torch.device) -> Iterator[None]:
    """What layers draw, where there are such, follows from the generator; the global one stays where it was."""
    if not draws(net):
        yield
        return
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        yield


def batch(data: ImageSet, index: Tensor, spec: DatasetSpec, device: torch.device) -> tuple[Tensor, Tensor]:
    """Images (normalised) and answers (labels or soft targets) at `index`, on `device`."""
    index = index.to(data.images.device)
    return normalise(data.images[index].to(device), spec), data.answers[index].to(device)


def _batches(order: Order | None, count: int, batch_size: int, generator: torch.Generator) -> Iterable[Tensor]:
    return order(generator) if order else torch.randperm(count, generator=generator).split(batch_size)


def _get_state(net: nn.Module, optimiser: Optimiser, generator: torch.Generator, extra: State) -> State:
    """Everything that the next epoch depends on, as named tensors."""
    return (
        {f"net.{name}": tensor for name, tensor in net.state_dict().items()}
        | {f"optimiser.{name}": tensor for name, tensor in optimiser.state().items()}
        | {f"extra.{name}": tensor for name, tensor in extra.items()}
        | {"generator": generator.get_state()}
    )


def _set_state(saved: State, net: nn.Module, optimiser: Optimiser, generator: torch.Generator, extra: State) -> None:
    net.load_state_dict({name: saved[f"net.{name}"] for name in net.state_dict()})
    prefix = "optimiser."
    optimiser.set_state({name[len(prefix) :]: tensor for name, tensor in saved.items() if name.startswith(prefix)})
    for name, tensor in extra.items():
        tensor.copy_(saved[f"extra.{name}"])
    generator.set_state(saved["generator"])
