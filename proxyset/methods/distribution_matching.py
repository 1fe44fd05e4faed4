"""Distribution matching, step by step: DM (Zhao & Bilen, WACV 2023, equation 6). `dm.py` holds the hyper-parameters."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from proxyset.checkpoint import State
from proxyset.data import augment
from proxyset.data.formation import unfold
from proxyset.data.images import ImageSet
from proxyset.data.spec import normalise
from proxyset.methods.base import Context, Problem
from proxyset.methods.centres import nearest_to_centres
from proxyset.methods.dm import DM
from proxyset.methods.feature_distances import head, real_side
from proxyset.methods.initial import draw, initial_images, stored
from proxyset.methods.synthesis import cosine
from proxyset.methods.views import VIEWS
from proxyset.nets.build import build_net
from proxyset.nets.classifier import hold_draws

AT_ONCE = 1024  # images that are normalised together in a search for centres


@dataclass(frozen=True)
class RealSide:
    """What the real images of some classes say, which pass through the network together.

    Attributes:
        labels: of the classes.
        drawn: ω of each class, which its synthetic images get as well.
        features: what the distance takes of theirs.
        right: for each class the share that the network classifies correctly; empty where that plays no part.
    """

    labels: list[int]
    drawn: list[augment.Transform | None]
    features: tuple[Tensor, ...]
    right: list[Tensor]


class DistributionMatching:
    """The state of one condensation: synthetic images S and their momentum."""

    def __init__(self, method: DM, problem: Problem, context: Context) -> None:
        self.method, self.problem, self.spec = method, problem, problem.spec
        self.generator, self.device = context.generator, context.engine.device
        self.real, self.classes = context.engine.place(problem.real), problem.classes
        self.operations = augment.operations(method.augment, self.spec.flip)
        self.images = initial_images(problem, method.init, method.formation, self.generator).to(self.device)
        self.velocity = torch.zeros_like(self.images)
        self.features = context.features(method.net, self.spec, VIEWS[method.features])
        self.head = head(method.distance, method.weight_classes > 0)
        self.centres: list[Tensor] = []  # for each class its images nearest to the centres, where they are used
        self.trained = method.trained_networks(problem, context) if method.trains() else []

    def step(self, number: int) -> float:
        """One step of SGD with momentum on the images of every class; returns the mean distance per class.

        The images stay as they were, and the distance is NaN or infinite, where the step is not finite.
        """
        net = self.network()
        if self.method.real_batches == "k-means" and number % self.method.refresh == 0:
            self.find_centres(net)
        gradient, loss = torch.zeros_like(self.images), torch.zeros((), device=self.device)
        sides = [self.real_side(net, labels) for labels in self.groups()]
        right = [share for side in sides for share in side.right]
        accuracy = torch.stack(right).mean() if right else None  # over all classes, however they are grouped
        for side in sides:
            value, rows, image_gradient = self.match(net, side, accuracy)
            gradient[rows] = image_gradient
            loss += value
        velocity = self.method.momentum_img * self.velocity + gradient
        images = self.images - self.lr(number) * velocity
        if not images.isfinite().all():
            return float("nan")
        if loss.isfinite():
            self.velocity, self.images = velocity, images
        return loss.item() / self.spec.classes

    def lr(self, number: int) -> float:
        """The learning rate of the images at a step."""
        lr = self.method.image_lr(self.problem.ipc)
        if self.method.schedule_img == "constant":
            return lr
        return lr * cosine(number, self.method.iterations)

    def network(self) -> nn.Module:
        """ϕ_ϑ of this step: fresh, a snapshot, or weights between the two."""
        method, shape = self.method, self.spec.shape
        net = build_net(method.net, **shape, generator=self.generator, device=self.device, condensing=True)
        hold_draws(net)
        if not self.trained:
            return net
        chosen = self.trained[int(torch.randint(len(self.trained), (), generator=self.generator))]
        share = float(torch.rand((), generator=self.generator)) if method.networks == "between" else 1.0
        with torch.no_grad():
            for name, tensor in net.state_dict().items():
                if tensor.is_floating_point():
                    tensor.lerp_(chosen[name].to(self.device), share)
        return net

    def groups(self) -> list[list[int]]:
        """The classes that pass through the network together: as many as a micro-batch takes, or all of them where
        images see each other (BatchNorm).
        """
        each = max(*(min(count, self.method.batch_real) for count in self.problem.counts), self.per_class)
        classes = list(range(self.spec.classes))
        together = max(1, self.features.microbatch(each * len(classes)) // each)
        return [classes[start : start + together] for start in range(0, len(classes), together)]

    @property
    def per_class(self) -> int:
        """Synthetic images of a class as they are trained on."""
        return self.problem.ipc * self.method.tiles()

    def real_side(self, net: nn.Module, labels: list[int]) -> RealSide:
        """A minibatch of each class, augmented and embedded."""
        drawn, real = [], []
        for label in labels:
            drawn.append(augment.draw(self.operations, self.generator))  # ω ~ Ω, one for both sides
            real.append(augment.apply(drawn[-1], normalise(self.real_images(label), self.spec)))
        most = len(labels) * max(min(count, self.method.batch_real) for count in self.problem.counts)
        features = self.features.of(net, torch.cat(real), most).split([len(part) for part in real])
        right = self.right(net, labels, features) if self.method.weight_classes else []
        return RealSide(labels, drawn, real_side(features, self.frequencies(features[0].shape[1])), right)

    def match(self, net: nn.Module, side: RealSide, accuracy: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Σ_c D of some classes, the rows of their synthetic images, and ∂D / ∂images there.

        Args:
            accuracy: of the network on the real images, where the cross-entropy is weighted by it.
        """
        ipc = self.problem.ipc
        rows = torch.cat([torch.arange(ipc, device=self.device) + label * ipc for label in side.labels])
        leaf = self.images[rows].requires_grad_()
        full = torch.cat(
            [
                augment.apply(shared, unfold(images, self.method.formation))
                for shared, images in zip(side.drawn, leaf.split(ipc), strict=True)
            ]
        )
        more = side.features if accuracy is None else side.features + self.class_side(net, side.labels, accuracy)
        distance, cotangent = self.features.through(net, full, self.head, *more)
        (gradient,) = torch.autograd.grad(full, leaf, cotangent)  # back through augmentation and formation
        return distance, rows, gradient

    def frequencies(self, length: int) -> Tensor | None:
        """Gaussian ones for features of some length, drawn anew for every comparison; None where there are none."""
        if self.method.distance != "characteristic":
            return None
        drawn = torch.randn(length, self.method.frequencies, generator=self.generator)
        return drawn.to(self.device)

    def right(self, net: nn.Module, labels: Sequence[int], features: Sequence[Tensor]) -> list[Tensor]:
        """For each class the share of its real images that the network classifies correctly."""
        classifier: nn.Linear = net.classifier  # type: ignore[assignment]
        length = classifier.in_features  # the last of all features are those that the classifier sees
        return [
            (classifier(part[:, -length:]).argmax(1) == label).float().mean().detach()
            for label, part in zip(labels, features, strict=True)
        ]

    def class_side(self, net: nn.Module, labels: Sequence[int], accuracy: Tensor) -> tuple[Tensor, ...]:
        """What `class_loss` takes: the classifier, the labels, and the weight of an image times the accuracy."""
        classifier: nn.Linear = net.classifier  # type: ignore[assignment]
        share = self.method.weight_classes * accuracy / self.per_class
        repeated = torch.tensor(labels, device=self.device).repeat_interleave(self.per_class)
        return classifier.weight, classifier.bias, repeated, share

    def real_images(self, label: int) -> Tensor:
        """A minibatch of a class."""
        if self.centres:
            index = self.centres[label]
        else:
            index = draw(self.classes[label], self.method.batch_real, self.generator)
        return self.real.images[index.to(self.real.images.device)].to(self.device)

    def find_centres(self, net: nn.Module) -> None:
        """For each class the images nearest to its k-means centres, by the features of a network (DREAM)."""
        self.centres = []
        for index in self.classes:
            images = self.real.images[index.to(self.real.images.device)]
            parts = [normalise(part.to(self.device), self.spec) for part in images.split(AT_ONCE)]
            features = torch.cat([self.features.of(net, part, AT_ONCE) for part in parts])
            count = min(self.method.batch_real, len(index))
            self.centres.append(index[nearest_to_centres(features, count, self.generator).cpu()])

    def result(self) -> ImageSet:
        return stored(self.problem, self.images, self.method.formation)

    def state(self) -> State:
        centres = {f"centres.{label}": index for label, index in enumerate(self.centres)}
        images = {"images": self.images, "velocity": self.velocity}
        return images | centres | {"generator": self.generator.get_state()}

    def set_state(self, saved: State) -> None:
        self.images, self.velocity = saved["images"].to(self.device), saved["velocity"].to(self.device)
        found = any(name.startswith("centres.") for name in saved)
        self.centres = [saved[f"centres.{label}"] for label in range(self.spec.classes)] if found else []
        self.generator.set_state(saved["generator"])
