"""Learning one task after another with a memory: EEIL (Castro et al. 2018), or afresh from the memory (GDumb)."""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from continual.losses import distillation
from continual.memory import Memory
from continual.recipe import Learning, Phase
from continual.sources import JOINT, Show, hide
from continual.stream import Stream
from proxyset.augment import operations
from proxyset.checkpoint import State
from proxyset.data import ImageSet, normalise
from proxyset.nets import Classifier, build_net
from proxyset.seeds import make_generator
from proxyset.train import Loss, Order, fit, predict


class GrowingHead(nn.Module):
    """A linear head in parts, one for the classes of each step: what a part answers never changes when another joins.

    One wider matrix would not promise that: a matrix product may round differently at another width.
    """

    per_image = True

    def __init__(self, first: nn.Linear) -> None:
        super().__init__()
        self.parts = nn.ModuleList([first])

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([part(features) for part in self.parts], 1)

    def sizes(self) -> list[int]:
        """Classes of each part."""
        return [part.out_features for part in self.parts if isinstance(part, nn.Linear)]

    def grow(self, classes: int, generator: torch.Generator) -> None:
        """Add a freshly initialised part for `classes` new classes."""
        first = self.parts[0]
        assert isinstance(first, nn.Linear)
        part = nn.utils.skip_init(nn.Linear, first.in_features, classes, device=first.weight.device)
        bound = first.in_features**-0.5  # torch's default for weights (Kaiming uniform, a = √5) and biases alike
        for parameter in part.parameters():
            parameter.data.copy_(torch.rand(parameter.shape, generator=generator).mul_(2).sub_(1).mul_(bound))
        self.parts.append(part)


def half_and_half(new: int, old: int, batch_size: int) -> Order:
    """Minibatches of equally many new images (positions 0 to new − 1) and old ones (the `old` after them).

    Every new image comes once in an epoch; the old ones come round as often as it takes.
    """

    def order(generator: torch.Generator) -> Iterator[Tensor]:
        fresh = torch.randperm(new, generator=generator)
        rounds = -(-new // old)
        known = new + torch.cat([torch.randperm(old, generator=generator) for _ in range(rounds)])[:new]
        for one, two in zip(fresh.split(batch_size // 2), known.split(batch_size // 2), strict=True):
            yield torch.cat([one, two])

    return order


class Learner:
    """A network and a memory that see the tasks of a stream one after another."""

    def __init__(
        self,
        stream: Stream,
        memory: Memory,
        settings: Learning,
        *,
        seed: int,
        device: torch.device,
        show: Show = hide,
    ) -> None:
        self.stream, self.memory, self.settings = stream, memory, settings
        self.seed, self.device, self.show = seed, device, show
        self.joint = memory.source is not None and memory.source.name == JOINT
        self.net = self._fresh(0)

    def learn(self, stage: int) -> None:
        """Learn the task of `stage`, after those before it. What it draws depends on the seed and the stage alone."""
        if self.settings.scheme == "gdumb" or self.joint:
            self.memory.add(stage)
            self.net = self._fresh(stage)
            self._fit(stage, "joint" if self.joint else "afresh", self.memory.rehearsal())
            return
        teacher = self._snapshot() if self.settings.kd and stage > 0 else None
        self._grow(stage)
        self._learn_new(stage, teacher)
        if self.settings.balance and stage > 0 and self.memory.kept:
            teacher = self._snapshot() if self.settings.kd else None  # its newest part holds on to the new classes
            self._fit(stage, "balanced", self.memory.rehearsal(), teacher)

    def _learn_new(self, stage: int, teacher: nn.Module | None) -> None:
        """Stage 1: the new task's data and the memory of the earlier tasks."""
        settings, task = self.settings, self.stream.tasks[stage]
        if settings.current_data == "memory":
            self.memory.add(stage)
            new = self.memory.rehearsal(since=stage)
        else:
            train = task.labelled(task.data.train)
            new = ImageSet(normalise(train.images, task.data.spec), train.labels)
        parts = [new, self.memory.rehearsal(until=stage)] if self.memory.kept and stage > 0 else [new]
        data = ImageSet(torch.cat([part.images for part in parts]), torch.cat([part.labels for part in parts]))
        order = None
        if settings.batches == "balance" and len(parts) == 2:
            order = half_and_half(len(new), len(parts[1]), settings.batch_size)
        self._fit(stage, "new", data, teacher, order)
        if settings.current_data == "full":
            self.memory.add(stage, self.net)

    def _fit(
        self, stage: int, phase: Phase, data: ImageSet, teacher: nn.Module | None = None, order: Order | None = None
    ) -> None:
        spec, schedule = self.stream.tasks[stage].data.spec, self.settings.schedule(phase)
        line = self.show(f"{self.stream.tasks[stage].name}: {phase}, {len(data)} images, epoch")
        fit(
            self.net,
            data,
            spec,
            **schedule,
            operations=self._operations(),
            loss=self._loss(teacher),
            order=order,
            generator=make_generator(self.seed, "learn", stage, phase),
            on_epoch=lambda done: line(done, schedule["epochs"]),
        )

    def _loss(self, teacher: nn.Module | None) -> Loss:
        """Cross-entropy over all classes seen, and with a teacher the distillation of its classes on every image."""
        if teacher is None:
            return lambda images, logits, labels: F.cross_entropy(logits, labels)
        head = teacher.classifier
        assert isinstance(head, GrowingHead)
        groups = head.sizes() if self.settings.kd_softmax == "steps" else [sum(head.sizes())]
        weight, temperature = self.settings.kd_weight, self.settings.temperature

        def loss(images: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
            with torch.no_grad():
                answers = teacher(images)
            return F.cross_entropy(logits, labels) + weight * distillation(logits, answers, groups, temperature)

        return loss

    def _fresh(self, stage: int) -> Classifier:
        """A fresh network that answers on the classes seen up to and with `stage`."""
        spec = self.stream.tasks[stage].data.spec
        net = build_net(
            self.settings.network(spec.size),
            channels=spec.channels,
            size=spec.size,
            classes=self.stream.seen(stage),
            generator=make_generator(self.seed, "network", stage),
            device=self.device,
        )
        assert isinstance(net, Classifier)
        assert isinstance(net.classifier, nn.Linear)
        net.classifier = GrowingHead(net.classifier)
        return net

    def _operations(self) -> tuple[str, ...]:
        """The augmentation; it flips only where that keeps the labels of every task, as batches mix them."""
        return operations(self.settings.augment, all(task.data.spec.flip for task in self.stream.tasks))

    def _grow(self, stage: int) -> None:
        """Give the head a part for the classes that come with `stage`, if any."""
        new = self.stream.seen(stage) - self.stream.seen(stage - 1)
        if stage > 0 and new:
            head = self.net.classifier
            assert isinstance(head, GrowingHead)
            head.grow(new, make_generator(self.seed, "head", stage))

    def _snapshot(self) -> nn.Module:
        """The network as it is now, to learn from."""
        return copy.deepcopy(self.net).eval().requires_grad_(False)

    def test(self, stage: int) -> Tensor:
        """For every task up to `stage` how many of its test images get the right class among all seen so far."""
        right = []
        for task in self.stream.tasks[: stage + 1]:
            test = task.labelled(task.data.test)
            right.append(int((predict(self.net, test, task.data.spec).cpu() == test.labels).sum()))
        return torch.tensor(right)

    def try_batch(self, images: Tensor, labels: Tensor) -> None:
        """One epoch on a few images of the first task with a throwaway network, for timing."""
        spec = self.stream.tasks[0].data.spec
        data, names = ImageSet(images, labels), self._operations()
        fit(self._fresh(0), data, spec, epochs=1, lr=0.01, operations=names, generator=torch.Generator())

    def state(self) -> State:
        return {f"net.{name}": tensor for name, tensor in self.net.state_dict().items()} | self.memory.state()

    def set_state(self, saved: State, stages: int) -> None:
        """Go on after `stages` finished stages."""
        self.net = self._fresh(0)
        for stage in range(stages):
            self._grow(stage)
        if self.settings.scheme == "gdumb" or self.joint:
            self.net = self._fresh(stages - 1)
        self.net.load_state_dict({name: saved[f"net.{name}"] for name in self.net.state_dict()})
        self.memory.set_state(saved, stages)
