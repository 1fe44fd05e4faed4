"""How the network of a run is made, trained and tested: what every scheme shares."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from continual.head import GrowingHead
from continual.losses import distillation
from continual.settings import Learning
from continual.stream import Stream
from proxyset.compute.gradients import LOSSES, Gradients, Loss
from proxyset.compute.plan import Engine, Work
from proxyset.compute.session import Session
from proxyset.data.augment import operations
from proxyset.data.images import ImageSet
from proxyset.errors import InputError, RunError
from proxyset.nets.build import build_net, outline
from proxyset.nets.classifier import Classifier, has_batch_norm
from proxyset.progress import Progress, shown
from proxyset.seeds import make_generator
from proxyset.train.evaluate import predict
from proxyset.train.fit import Hooks, Order, fit
from proxyset.train.recipe import Recipe

TEST_BATCH = 256


@dataclass(frozen=True)
class Phase:
    """One training of the network within a stage.

    Attributes:
        stage: of the stream, from 0.
        name: for the progress line; with the stage it names the random numbers of this training.
        recipe: how the network is trained.
        teacher: a network whose answers are distilled.
        order: draws the minibatches (None: every image once, shuffled).
        loss: in place of the recipe's, with what it gets for each image (None: its labels or targets).
        answers: see `Hooks`.
        lr_setting: of the user's, which sets the recipe's learning rate.
    """

    stage: int
    name: str
    recipe: Recipe
    teacher: nn.Module | None = None
    order: Order | None = None
    loss: Loss | None = None
    answers: Tensor | None = None
    lr_setting: str = "lr"


Watch = Callable[[Classifier, Phase, int], None]
"""Is told the network, what it is trained for, and the number of epochs done."""


class Trainer:
    """Builds, trains and tests the network of one run over a stream.

    Attributes:
        watch: called after every epoch (None: nobody is).

    Args:
        progress: see `proxyset.progress.shown`; every training has its own line.
    """

    def __init__(
        self,
        stream: Stream,
        learning: Learning,
        *,
        seed: int = 0,
        session: Session | None = None,
        progress: Progress | bool | None = False,
    ) -> None:
        self.stream, self.learning, self.seed = stream, learning, seed
        self.session, self.progress = session or Session(), progress
        first = stream.tasks[0].data.spec
        self.spec = replace(first, flip=all(task.data.spec.flip for task in stream.tasks))  # batches mix all tasks
        self.net = learning.network(first.size)
        self.watch: Watch | None = None
        self._gradients: dict[tuple[Any, ...], Gradients] = {}

    def show(self, title: str) -> Progress:
        """What shows the progress of work called `title`."""
        return shown(self.progress, title)

    def check(self) -> None:
        """Raise `InputError` where the network, the augmentation or the memory limit does not fit the stream."""
        spec = self.spec
        net = outline(self.net, channels=spec.channels, size=spec.size, classes=len(self.stream.class_names))
        if not isinstance(getattr(net, "classifier", None), nn.Linear) or not hasattr(net, "embed"):
            raise InputError(
                f"{self.net} has no linear head that could grow: build it as `proxyset.nets.classifier.Classifier`"
            )
        operations(self.learning.augment, spec.flip)
        self.test_batch(net)

    def fresh(self, stage: int) -> Classifier:
        """A fresh network that answers on the classes seen up to and with `stage`."""
        net = build_net(
            self.net,
            channels=self.spec.channels,
            size=self.spec.size,
            classes=self.stream.seen(stage),
            generator=make_generator(self.seed, "network", stage),
            device=self.session.device,
        )
        net.classifier = GrowingHead(net.classifier)  # type: ignore[arg-type]
        return net  # type: ignore[return-value]

    def grown(self, stages: int) -> Classifier:
        """A network of the structure that one has which went on through so many stages."""
        net = self.fresh(0)
        for stage in range(stages):
            self.grow(net, stage)
        return net

    def grow(self, net: Classifier, stage: int) -> None:
        """Give the head a part for the classes that come with `stage`, if any."""
        new = self.stream.seen(stage) - self.stream.seen(stage - 1)
        if stage > 0 and new:
            head_of(net).grow(new, make_generator(self.seed, "head", stage))

    def train(self, net: Classifier, data: ImageSet, phase: Phase) -> None:
        """Train `net` on `data`, which is labelled in the stream and normalised task by task.

        Raises:
            RunError: it diverged.
        """
        title = f"{self.stream.tasks[phase.stage].name}: {phase.name}, {len(data)} images, epoch"
        line, epochs = self.show(title), phase.recipe.epochs

        def after_epoch(done: int) -> None:
            if not all(parameter.isfinite().all() for parameter in net.parameters()):
                raise RunError(
                    f"{self.stream.tasks[phase.stage].name}: the training diverged, the weights are not finite after "
                    f"epoch {done} of {epochs}: lower `{phase.lr_setting}`"
                )
            line(done, epochs)
            if self.watch is not None:
                self.watch(net, phase, done)

        engine = self.engine(net, phase.recipe, len(data), distils=phase.teacher is not None or phase.loss is not None)
        loss = phase.loss
        if phase.teacher is not None:
            loss = self.distilling_loss(phase.teacher, phase.recipe, engine)
        hooks = Hooks(
            answers=phase.answers,
            order=phase.order,
            loss=loss,
            on_epoch=after_epoch,
        )
        generator = make_generator(self.seed, "learn", phase.stage, phase.name)
        gradients = self.gradients(engine, net)
        fit(net, data, self.spec, phase.recipe, generator=generator, gradients=gradients, hooks=hooks)

    def engine(self, net: nn.Module, recipe: Recipe, images: int, *, distils: bool = False) -> Engine:
        """How a training on so many images runs."""
        passed = recipe.epochs * images
        cost = self.session.footprint(net, self.spec.channels, self.spec.size)
        work = Work(cost, passed, passed / min(recipe.batch_size, max(1, images)), has_batch_norm(net))
        engine = self.session.plan(work)
        if engine.compiled and distils:
            self.session.say_once("trainings with distillation or kept answers are not compiled: plain losses are")
            return replace(engine, compiled=False)
        return engine

    def gradients(self, engine: Engine, net: Classifier) -> Gradients:
        """What computes the gradients of `net`: compiled once for networks of one structure."""
        key = engine, tuple(head_of(net).sizes())
        if key not in self._gradients:
            self._gradients[key] = self.session.gradients_of(engine, net, self.spec.channels, self.spec.size)
        return self._gradients[key]

    def distilling_loss(self, teacher: nn.Module, recipe: Recipe, engine: Engine) -> Loss:
        """The recipe's loss over all classes seen, plus the distillation of the teacher's classes on every image."""
        sizes, base = head_of(teacher).sizes(), LOSSES[recipe.loss]
        groups = sizes if self.learning.kd_softmax == "steps" else [sum(sizes)]
        weight, temperature = self.learning.kd_weight, self.learning.temperature

        def loss(images: Tensor, logits: Tensor, answers: Tensor) -> Tensor:
            with torch.no_grad(), engine.autocast():
                old = teacher(images)
            return base(images, logits, answers) + weight * distillation(
                logits.float(), old.float(), groups, temperature
            )

        return loss

    def test(self, net: Classifier, stage: int) -> Tensor:
        """For every task up to `stage` how many of its test images get the right class among all seen so far."""
        right, answers = self._answers(net, stage)
        if len(answers) == 1 and self.stream.seen(stage) > 1:
            self.session.say_once(
                f"after {self.stream.tasks[stage].name} the network gives every test image the same answer: it has "
                "collapsed, and a lower learning rate may help"
            )
        return right

    def look(self, net: Classifier, stage: int) -> Tensor:
        """The same while the task of `stage` is still being learned: nothing is said of an early collapse."""
        return self._answers(net, stage)[0]

    def _answers(self, net: Classifier, stage: int) -> tuple[Tensor, set[int]]:
        """How many are right, and which classes were answered at all."""
        right, size, answers = [], self.test_batch(net), set()
        for task in self.stream.tasks[: stage + 1]:
            answered = predict(net, task.data.test, task.data.spec, size).cpu()
            answers |= set(answered.unique().tolist())
            right.append(int((answered == task.relabel(task.data.test.labels)).sum()))
        return torch.tensor(right), answers

    def test_batch(self, net: nn.Module) -> int:
        """Images that are tested at a time.

        Raises:
            InputError: not even one fits under the memory limit.
        """
        cost = self.session.footprint(net, self.spec.channels, self.spec.size)
        return self.session.plan().microbatch(cost, TEST_BATCH)


def head_of(net: nn.Module) -> GrowingHead:
    """The head of a network that a `Trainer` made."""
    head = net.classifier
    assert isinstance(head, GrowingHead)
    return head
