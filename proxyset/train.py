"""The only training loop of the project, and the accuracy of what it trained."""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from proxyset import augment
from proxyset.checkpoint import Checkpoint, State
from proxyset.data import DatasetSpec, ImageSet, normalise
from proxyset.kernels import Kernels, Loss, cross_entropy, eager_kernels

BatchHook = Callable[[Tensor, Tensor], None]
Order = Callable[[torch.Generator], Iterable[Tensor]]  # the positions of each minibatch of one epoch


def fit(
    net: nn.Module,
    data: ImageSet,
    spec: DatasetSpec,
    *,
    epochs: int,
    lr: float,
    generator: torch.Generator,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    batch_size: int = 256,
    milestones: Sequence[int] = (),
    operations: tuple[str, ...] = (),
    loss: Loss = cross_entropy,
    kernels: Kernels | None = None,
    order: Order | None = None,
    on_batch: BatchHook | None = None,
    on_epoch: Callable[[int], None] | None = None,
    checkpoint: Checkpoint | None = None,
    extra: State | None = None,
) -> None:
    """Train `net` in place with SGD.

    Args:
        data: images on any device; they are normalised batch by batch on the device of `net`.
        milestones: epochs (from 0) at whose start the learning rate is multiplied by 0.1.
        operations: augmentation; per batch one operation with its own parameters for each image.
        generator: draws the order and the augmentation.
        loss: what is minimised, of the augmented images, their logits and labels (default: the cross-entropy); a mean
            over the images, because minibatches may be split.
        kernels: how gradients are computed (None: eagerly, in micro-batches that fit the cache).
        order: draws the minibatches of an epoch (default: every image once, shuffled, `batch_size` at a time).
        on_batch: called with the positions (CPU) and the logits of every batch, before its update.
        on_epoch: called after each epoch with the number of epochs done.
        checkpoint: where to go on from, and to offer the state to after every epoch.
        extra: tensors of the caller's that belong to the state; refilled in place when going on.
    """
    device = next(net.parameters()).device
    if data.images.is_floating_point():
        data = data.to(device)  # a synthetic set is small
    optimiser = torch.optim.SGD(net.parameters(), lr=lr, momentum=momentum, weight_decay=weight_decay)
    extra = extra or {}
    kernels = kernels or eager_kernels(net, device, spec.channels, spec.size)
    saved = checkpoint.restore() if checkpoint is not None else None
    if saved is not None:
        _set_state(saved, net, optimiser, generator, extra)
    net.train()
    parameters = list(net.parameters())
    for epoch in range(checkpoint.step if checkpoint is not None else 0, epochs):
        for group in optimiser.param_groups:
            group["lr"] = lr * 0.1 ** sum(epoch >= milestone for milestone in milestones)
        batches = order(generator) if order else torch.randperm(len(data), generator=generator).split(batch_size)
        for index in batches:
            images, labels = batch(data, index, spec, device)
            images = augment.apply(augment.draw(operations, generator, len(index)), images)
            logits: list[Tensor] = []
            gradients = kernels.gradients(net, images, labels, loss=loss, logits=logits)
            if on_batch is not None:
                on_batch(index, torch.cat(logits))
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            optimiser.step()
        if checkpoint is not None:
            checkpoint.offer(_get_state(net, optimiser, generator, extra))
        if on_epoch is not None:
            on_epoch(epoch + 1)


def _get_state(net: nn.Module, optimiser: torch.optim.Optimizer, generator: torch.Generator, extra: State) -> State:
    """Everything that the next epoch depends on, as named tensors."""
    momentum = {f"momentum.{i}": optimiser.state[p].get("momentum_buffer") for i, p in enumerate(net.parameters())}
    return (
        {f"net.{name}": tensor for name, tensor in net.state_dict().items()}
        | {name: tensor for name, tensor in momentum.items() if tensor is not None}
        | {f"extra.{name}": tensor for name, tensor in extra.items()}
        | {"generator": generator.get_state()}
    )


def _set_state(
    saved: State, net: nn.Module, optimiser: torch.optim.Optimizer, generator: torch.Generator, extra: State
) -> None:
    net.load_state_dict({name: saved[f"net.{name}"] for name in net.state_dict()})
    for i, parameter in enumerate(net.parameters()):
        if f"momentum.{i}" in saved:
            optimiser.state[parameter]["momentum_buffer"] = saved[f"momentum.{i}"].to(parameter.device)
    for name, tensor in extra.items():
        tensor.copy_(saved[f"extra.{name}"])
    generator.set_state(saved["generator"])


def halfway(epochs: int) -> tuple[int, ...]:
    """The milestones of the paper's evaluation: the learning rate drops at half of the epochs; one has no half."""
    return (epochs // 2,) if epochs > 1 else ()


def batch(data: ImageSet, index: Tensor, spec: DatasetSpec, device: torch.device) -> tuple[Tensor, Tensor]:
    """Images (normalised) and labels at `index`, on `device`."""
    index = index.to(data.images.device)
    return normalise(data.images[index].to(device), spec), data.labels[index].to(device)


@torch.no_grad()
def accuracy(net: nn.Module, data: ImageSet, spec: DatasetSpec, batch_size: int = 256) -> float:
    """Share of `data` that `net`, in evaluation mode, classifies correctly (0..1)."""
    return (predict(net, data, spec, batch_size).cpu() == data.labels.cpu()).float().mean().item()


@torch.no_grad()
def predict(net: nn.Module, data: ImageSet, spec: DatasetSpec, batch_size: int = 256) -> Tensor:
    """The class that `net`, in evaluation mode, gives each image: N int64."""
    device = next(net.parameters()).device
    was_training = net.training
    net.eval()
    parts = torch.arange(len(data)).split(batch_size)
    classes = [net(batch(data, index, spec, device)[0]).argmax(1) for index in parts]
    net.train(was_training)
    return torch.cat(classes)
