"""Kernel ridge regression on features, step by step (FRePo, Zhou et al., NeurIPS 2022, Algorithm 1).

`krr.py` holds the hyper-parameters. Where the paper leaves something open, this follows its authors' code.
"""

import torch
from torch import Tensor, nn

from proxyset.checkpoint import State
from proxyset.data import augment
from proxyset.data.formation import unfold
from proxyset.data.images import ImageSet, one_hot
from proxyset.data.spec import normalise
from proxyset.methods.base import Context, Problem
from proxyset.methods.initial import draw
from proxyset.methods.krr import KRR
from proxyset.methods.learned_set import LearnedSet
from proxyset.methods.moments import lamb
from proxyset.methods.pool import NetworkPool
from proxyset.methods.regression import centred, half_squared_error, margin, predict, scale
from proxyset.methods.synthesis import cosine
from proxyset.nets.build import build_net


class KernelRidge:
    """The state of one condensation: synthetic images and targets, their moments, and the pool of networks."""

    def __init__(self, method: KRR, problem: Problem, context: Context) -> None:
        self.method, self.problem, self.spec = method, problem, problem.spec
        self.generator, self.device = context.generator, context.engine.device
        self.real = context.engine.place(problem.real)
        self.operations = augment.operations(method.augment, self.spec.flip)
        self.set = LearnedSet(method, problem, self.generator, self.device, scale(self.spec.classes))
        self.features = context.features(method.net, self.spec)
        self.gradients = context.gradients(method.net, self.spec, condensing=True)
        self.pool = NetworkPool(self.new_network, method.pool, method.pool_steps, method.lr_net)

    def new_network(self) -> nn.Module:
        shape = self.spec.shape
        return build_net(self.method.net, **shape, generator=self.generator, device=self.device, condensing=True)

    def step(self, number: int) -> float:
        """One step of images and targets, then one of the network that gave the features.

        Returns:
            ½ mean over the real batch of the squared error. Images and targets stay as they were, and it is NaN, where
            the step is not finite.
        """
        place = self.pool.draw(self.generator)
        index = draw(torch.arange(len(self.real)), self.method.batch_real, self.generator)
        loss, *gradients = self.match(self.pool.members[place].net, index)
        if not (loss.isfinite() and self.set.step(lamb, gradients, number, self.lr(number))):
            return float("nan")
        self.train_network(place)
        return loss.item()

    def lr(self, number: int) -> float:
        """The learning rate of images and targets at a step."""
        return self.method.image_lr() * cosine(number, self.method.iterations)

    def match(self, net: nn.Module, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The loss on a real batch, and its gradients with respect to the stored images and the targets."""
        net.eval()  # BatchNorm takes the statistics of the network's training
        index = index.to(self.real.images.device)
        labels = self.real.labels[index].to(self.device)
        shared = augment.draw(self.operations, self.generator)  # ω ~ Ω, one for both
        real = augment.apply(shared, normalise(self.real.images[index].to(self.device), self.spec))
        leaf = self.set.images.clone().requires_grad_()
        full = augment.apply(shared, unfold(leaf, self.method.formation))
        support = self.features.of(net, full.detach()).requires_grad_()
        targets = self.set.targets.clone().requires_grad_()
        prediction = predict(support, targets, self.features.of(net, real), self.method.ridge)
        error = half_squared_error(prediction, centred(one_hot(labels, self.spec.classes)))
        cotangent, gradient = torch.autograd.grad(error - margin(targets), (support, targets))
        through = self.features.backward(net, full.detach(), cotangent)
        (image_gradient,) = torch.autograd.grad(full, leaf, through)  # back through augmentation and formation
        return error.detach(), image_gradient, gradient

    def train_network(self, place: int) -> None:
        """One step of a network on the synthetic set."""
        images = self.set.full()
        index = draw(torch.arange(len(images)), self.method.batch_net, self.generator).to(self.device)
        self.pool.train(place, self.gradients, images[index], self.set.targets[index])

    def result(self) -> ImageSet:
        return self.set.result()

    def state(self) -> State:
        pool = {f"pool.{name}": tensor for name, tensor in self.pool.state().items()}
        return self.set.state() | pool | {"generator": self.generator.get_state()}

    def set_state(self, saved: State) -> None:
        self.set.set_state(saved)
        self.pool.set_state(
            {name.removeprefix("pool."): tensor for name, tensor in saved.items() if name.startswith("pool.")}
        )
        self.generator.set_state(saved["generator"])
