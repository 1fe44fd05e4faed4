"""Gradient matching, step by step: Algorithm 1 of DSA (Zhao & Bilen, ICML 2021); without augmentation, DC's.

`dsa.py` holds the hyper-parameters, `shared_classes.py` shares out the classes to several devices.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from proxyset.checkpoint import State
from proxyset.compute.gradients import Gradients
from proxyset.data import augment
from proxyset.data.formation import unfold
from proxyset.data.images import ImageSet
from proxyset.data.spec import normalise
from proxyset.methods.base import Context, Problem
from proxyset.methods.distances import DISTANCES
from proxyset.methods.dsa import DC, Mode
from proxyset.methods.initial import draw, initial_images, stored
from proxyset.methods.shared_classes import SharedClasses
from proxyset.nets.build import build_net
from proxyset.nets.classifier import batch_norms, has_batch_norm, hold_draws
from proxyset.train.fit import fit
from proxyset.train.recipe import Recipe

BATCH_NORM_IMAGES = 16  # real images per class from which BatchNorm statistics are taken before each inner step


@dataclass(frozen=True)
class Drawn:
    """What chance decides of one class's minibatches.

    Attributes:
        label: the class.
        real, picked: positions of its real and of its synthetic images.
        on_real, on_synthetic: augmentations; None: none.
    """

    label: int
    real: Tensor
    picked: Tensor
    on_real: augment.Transform | None
    on_synthetic: augment.Transform | None


class GradientMatching:
    """The state of one condensation: synthetic images S, their momentum, and the current network θ."""

    net: nn.Module  # θ; there is none before the first step

    def __init__(self, method: DC, problem: Problem, context: Context) -> None:
        self.method, self.spec = method, problem.spec
        self.generator, self.device = context.generator, context.engine.device
        self.real = context.engine.place(problem.real)
        self.classes = problem.classes
        self.operations = augment.operations(method.augment, self.spec.flip)
        self.lr = method.image_lr()
        self.inner_steps, self.net_epochs = method.schedule(problem.ipc)
        self.problem, self.formation = problem, method.formation
        self.labels = problem.labels.to(self.device)
        self.images = initial_images(problem, method.init, method.formation, self.generator).to(self.device)
        self.velocity = torch.zeros_like(self.images)
        self.places = torch.arange(len(self.images), device=self.device).view(self.spec.classes, problem.ipc)
        self.gradients: Gradients = context.gradients(method.net, self.spec, condensing=True)
        self.recipe = self._network_recipe()
        self.shared = SharedClasses(self, context) if len(context.session.devices) > 1 else None

    def step(self, number: int) -> float:
        """Algorithm 1 at k = number // T, t = number % T; returns the mean distance per class."""
        t = number % self.inner_steps
        if t == 0:
            self.new_network()  # θ_0 ~ P_θ0
        loss = self.update_images()  # S_c ← sgd(D(∇L^S, ∇L^T)) for every class
        if loss < float("inf") and t < self.inner_steps - 1:  # the last update of θ would be thrown away
            self.update_network(self.net_epochs)  # θ_{t+1} ← sgd(L(θ_t, A(S)))
        return loss

    def _real_images(self, index: Tensor) -> Tensor:
        return self.real.images[index.to(self.real.images.device)].to(self.device)

    def new_network(self) -> None:
        self.net = build_net(
            self.method.net, **self.spec.shape, generator=self.generator, device=self.device, condensing=True
        )

    def update_images(self) -> float:
        """One step of SGD with momentum on the images of every class; returns the mean distance per class.

        The images stay as they were, and the distance is NaN or infinite, where the step is not finite.
        """
        self._freeze()
        gradient = torch.zeros_like(self.images)
        loss = torch.zeros((), device=self.device)
        drawn = [self.draw_class(label) for label in range(self.spec.classes)]
        for each, (distance, image_gradient) in zip(drawn, self._matched(drawn), strict=True):
            gradient[each.picked] = image_gradient
            loss += distance
        mean = loss.item() / self.spec.classes
        velocity = self.method.momentum_img * self.velocity + gradient
        images = self.images - self.lr * velocity
        if not images.isfinite().all():  # a finite loss can still come with a step that overflows
            return float("nan")
        if mean < float("inf"):
            self.velocity, self.images = velocity, images
        return mean

    def _matched(self, drawn: Sequence[Drawn]) -> list[tuple[Tensor, Tensor]]:
        if self.shared is not None:
            return self.shared.matched(self.net, self.images, drawn)
        return [self.match_class(each) for each in drawn]

    def draw_class(self, label: int) -> Drawn:
        """The minibatches of a class and their augmentation ω ~ Ω, the same for both where it is Siamese."""
        method = self.method
        real = draw(self.classes[label], method.batch_real, self.generator)
        picked = draw(self.places[label], method.batch_synthetic, self.generator)
        shared = augment.draw(self.operations, self.generator) if self._siamese() else None
        on_real = self._drawn(method.augment_real, shared, len(real))
        return Drawn(
            label,
            real,
            picked,
            on_real,
            self._drawn(method.augment_synthetic, shared, len(picked) * self.formation**2),
        )

    def match_class(self, drawn: Drawn) -> tuple[Tensor, Tensor]:
        """D(∇L^S_c, ∇L^T_c) of one class, and ∂D / ∂images of its synthetic batch. Nothing is left to chance here."""
        real = normalise(self._real_images(drawn.real), self.spec)
        real_labels = torch.full((len(real),), drawn.label, device=self.device)
        synthetic = self.images[drawn.picked].requires_grad_()

        real = _augmented(real, drawn.on_real)
        augmented = _augmented(unfold(synthetic, self.formation), drawn.on_synthetic)
        labels = torch.full((len(augmented),), drawn.label, device=self.device)
        most = min(self.method.batch_real, max(self.problem.counts))
        matched = self.method.distance == "layerwise"  # which leaves out biases and norm affines
        real_gradients = self.gradients.of_weights(self.net, real, real_labels, matched=matched, most=most)
        distance, gradient = self.gradients.match(
            self.net, real_gradients, augmented, labels, DISTANCES[self.method.distance]
        )
        (image_gradient,) = torch.autograd.grad(augmented, synthetic, gradient)  # back to what is stored
        return distance, image_gradient

    def _siamese(self) -> bool:
        return "siamese" in (self.method.augment_real, self.method.augment_synthetic)

    def _drawn(self, mode: Mode, shared: augment.Transform | None, count: int) -> augment.Transform | None:
        """The augmentation of `count` images."""
        if mode == "independent":
            return augment.draw(self.operations, self.generator, count)
        return shared if mode == "siamese" else None

    @torch.no_grad()
    def _freeze(self) -> None:
        """Take BatchNorm's statistics from real images of all classes, and hold them while matching."""
        self.net.train()
        if has_batch_norm(self.net):
            hold_draws(self.net)
            index = torch.cat([draw(index, BATCH_NORM_IMAGES, self.generator) for index in self.classes])
            self.net(normalise(self._real_images(index), self.spec))
        self.hold()

    def hold(self) -> None:
        """From here on the network takes the statistics that it has, and draws nothing."""
        hold_draws(self.net)
        for module in batch_norms(self.net):
            module.eval()

    def update_network(self, epochs: int) -> None:
        """Train θ on the synthetic set, augmented in the ordinary way (each image by its own draw)."""
        data = ImageSet(self.images, self.labels, formation=self.formation)
        recipe = self.recipe.model_copy(update={"epochs": epochs})
        if epochs:
            fit(self.net, data, self.spec, recipe, generator=self.generator, gradients=self.gradients)

    def _network_recipe(self) -> Recipe:
        """Plain SGD, as in the authors' code: no momentum, no weight decay, one learning rate."""
        method = self.method
        return Recipe(
            epochs=max(1, self.net_epochs),
            lr=method.lr_net,
            momentum=0.0,
            weight_decay=0.0,
            schedule="constant",
            batch_size=method.batch_net,
            augment=method.augment if method.augment_net else "none",
        )

    def result(self) -> ImageSet:
        return stored(self.problem, self.images, self.formation)

    def state(self) -> State:
        network = {f"net.{name}": tensor for name, tensor in self.net.state_dict().items()}
        images = {"images": self.images, "velocity": self.velocity}
        return images | network | {"generator": self.generator.get_state()}

    def set_state(self, saved: State) -> None:
        self.new_network()
        self.net.load_state_dict({name: saved[f"net.{name}"] for name in self.net.state_dict()})
        self.images, self.velocity = saved["images"].to(self.device), saved["velocity"].to(self.device)
        self.generator.set_state(saved["generator"])


def _augmented(images: Tensor, transform: augment.Transform | None) -> Tensor:
    return images if transform is None else augment.apply(transform, images)
