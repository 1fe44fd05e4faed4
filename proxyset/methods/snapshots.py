"""Networks trained on the whole real set, with their weights after every epoch. Each is trained once and kept.

A training depends on the real images and on nothing of the method or the seed that it serves, so that they share it. A
part of the images is held out: no training ever sees it, and choices are made by it.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from proxyset.checkpoint import Checkpoint, State
from proxyset.compute.clock import timed
from proxyset.compute.plan import Engine
from proxyset.compute.session import Session
from proxyset.data.augment import operations, strategy
from proxyset.data.images import HELD_OUT, ImageSet, hold_out
from proxyset.data.spec import DatasetSpec
from proxyset.errors import InputError, RunError
from proxyset.methods.base import Context, Problem
from proxyset.methods.kept import Form, Unfinished, Wanted, obtain
from proxyset.nets.build import build_net, full_name, outline
from proxyset.progress import part_of
from proxyset.seeds import make_generator
from proxyset.train.evaluate import accuracy, training_work
from proxyset.train.fit import Hooks, fit
from proxyset.train.recipe import ALL, Recipe, Training

SEED = 0
MOST_HELD_OUT = 1000  # images, but for rounding
TESTED = 256  # images that are classified at a time
TIMED = 256  # images in the minibatch by which a training is estimated


@dataclass(frozen=True)
class Snapshots:
    """One training.

    Attributes:
        states: the weights after each epoch, on the CPU: those after epoch k are `states[k - 1]`.
        validation: the share (0..1) of the held-out images that they classify correctly; NaN where none were.
        seconds: what it took, in all the processes that worked on it.
    """

    states: list[State]
    validation: list[float]
    seconds: float


@dataclass(frozen=True)
class Course:
    """Which training of a network; with the real images it determines the weights.

    Attributes:
        net: full name of the network.
        epochs: of the training.
        augment: strategy, as it is used on these images.
        number: which one of several trainings, each with weights and an order of its own.
        condensing: see `build_net`.
        whole: train on all real images, and hold none out.
        momentum, weight_decay: of SGD.
    """

    net: str
    epochs: int
    augment: str = ALL
    number: int = 0
    condensing: bool = False
    whole: bool = False
    momentum: float = 0.9
    weight_decay: float = 5e-4

    def recipe(self, epochs: int | None = None) -> Recipe:
        """The learning rate stays as it is, so that stopping early is the same as a shorter training."""
        own = {"augment": self.augment, "momentum": self.momentum, "weight_decay": self.weight_decay}
        return Training().recipe(epochs or self.epochs, schedule="constant", **own)

    def build(self, spec: DatasetSpec, device: torch.device) -> nn.Module:
        """The network before the training."""
        generator = make_generator(SEED, "teacher", self.net, self.number)
        return build_net(self.net, **spec.shape, generator=generator, device=device, condensing=self.condensing)

    def wanted(self, problem: Problem) -> Wanted:
        spec, kept = problem.spec, (0, 0) if self.whole else (HELD_OUT, MOST_HELD_OUT)
        form = {key: value for key, value in asdict(spec).items() if key not in ("name", "class_names")}
        which = {"net": self.net, "number": self.number, "condensing": self.condensing, "seed": SEED}
        data = {"sha256": problem.sha256, "form": form | {"classes": spec.classes}, "held_out": kept}
        return Wanted("teacher", which | {"recipe": self.recipe().model_dump(), "data": data}, self._form(spec))

    def _form(self, spec: DatasetSpec) -> Form:
        weights = outline(self.net, **spec.shape, condensing=self.condensing).state_dict()
        form: Form = {
            f"{epoch}.{name}": (tensor.dtype, tuple(tensor.shape))
            for epoch in range(1, self.epochs + 1)
            for name, tensor in weights.items()
        }
        return form | {"validation": (torch.float64, (self.epochs,)), "seconds": (torch.float64, ())}


def course_of(problem: Problem, net: str, epochs: int, augment: str = ALL, **which: Any) -> Course:
    """A `Course` with every name spelled out for these images."""
    used = strategy(operations(augment, problem.spec.flip))
    return Course(full_name(net, problem.spec.size), epochs, used, **which)


def take(course: Course, problem: Problem, context: Context) -> Snapshots:
    """Train a course's network on the real set and keep its weights after every epoch.

    Trained once: the next call for the same course, in this session or with the same `context.keep`, gives the same. In
    a folder it also goes on where an earlier process was stopped, to the same bits.

    Raises:
        InputError: the network is unknown, or cannot take these images.
        RunError: the weights became NaN or infinite.
    """
    wanted = course.wanted(problem)
    kept = obtain(wanted, context, lambda unfinished: _train(course, problem, context, wanted, unfinished))
    states: list[State] = [{} for _ in range(course.epochs)]
    for name, tensor in kept.items():
        epoch, dot, weight = name.partition(".")
        if dot:
            states[int(epoch) - 1][weight] = tensor
    return Snapshots(states, kept["validation"].tolist(), kept["seconds"].item())


def check_counts(problem: Problem) -> None:
    """Raise `InputError` where a class has no image left to train on after one was held out."""
    spec, fewest = problem.spec, problem.counts.index(min(problem.counts))
    if problem.counts[fewest] < 2:
        raise InputError(
            f"a teacher needs at least 2 images of every class, one of which is held out: "
            f"{spec.class_names[fewest]!r} of {spec.name} has {problem.counts[fewest]}"
        )


def split(problem: Problem) -> tuple[ImageSet, ImageSet]:
    """The real images that are trained on, and those that never are: a tenth of every class, at least one of each, and
    about 1,000 in all at most. By labels alone: soft targets of the real set play no part.
    """
    real = replace(problem.real, targets=None)
    return hold_out(real, problem.spec.classes, MOST_HELD_OUT, make_generator(SEED, "teacher", "held out"))


def tested_at_once(net: str, spec: DatasetSpec, session: Session, engine: Engine) -> int:
    """Images that pass forward at a time."""
    return engine.microbatch(session.footprint(outline(net, **spec.shape), spec.channels, spec.size), TESTED)


def _train(course: Course, problem: Problem, context: Context, wanted: Wanted, unfinished: Path | None) -> State:
    session, spec, net = context.session, problem.spec, course.net
    train, held_out = (replace(problem.real, targets=None), None) if course.whole else split(problem)
    engine = session.plan(training_work(session, net, spec, course.recipe(), len(train)))
    session.say_once(f"teacher: {net}, {course.epochs} epochs on {len(train)} images of {spec.name}")
    states: list[State] = []
    checkpoint = None
    if unfinished is not None:
        checkpoint = _Unfinished(unfinished, {**wanted.facts, **engine.facts()}, session, states)
    clock = checkpoint or Checkpoint(Path(), 1, {})
    model = course.build(spec, session.device)
    fit(
        model,
        engine.place(train),
        spec,
        course.recipe(),
        generator=make_generator(SEED, "teacher", net, course.number, "training"),
        gradients=session.gradients(engine, net, spec.shape, course.condensing),
        hooks=_hooks(course, model, states, context, len(train)),
        checkpoint=checkpoint,
    )
    _check_finite(states[-1], course)  # also where an earlier process stopped at that
    size, validation = tested_at_once(net, spec, session, engine), []
    for state in states:
        model.load_state_dict(state)
        validation.append(float("nan") if held_out is None else accuracy(model, held_out, spec, size))
    facts = {"validation": torch.tensor(validation, dtype=torch.float64)}
    return _by_epoch(states) | facts | {"seconds": torch.tensor(clock.elapsed(), dtype=torch.float64)}


def _hooks(course: Course, model: nn.Module, states: list[State], context: Context, images: int) -> Hooks:
    """Keep the weights after every epoch in `states`; show progress within an epoch too, which can take minutes."""
    progress = part_of(context.progress, f"{course.net}, training {course.number + 1}")
    seen = 0

    def show(index: Tensor, logits: Tensor) -> None:
        nonlocal seen
        seen += len(index)
        if seen < images:
            progress(len(states) + seen / images, course.epochs)

    def end(done: int) -> None:
        nonlocal seen
        seen = 0
        states.append({name: tensor.detach().to("cpu", copy=True) for name, tensor in model.state_dict().items()})
        _check_finite(states[-1], course)
        progress(done, course.epochs)

    return Hooks(on_batch=show, on_epoch=end)


def _check_finite(state: State, course: Course) -> None:
    if not all(tensor.isfinite().all() for tensor in state.values()):
        raise RunError(
            f"training {course.net} on the whole set failed: its weights became NaN or infinite; another "
            "network or fewer epochs may help"
        )


def _by_epoch(states: list[State]) -> State:
    return {f"{epoch}.{name}": tensor for epoch, state in enumerate(states, 1) for name, tensor in state.items()}


class _Unfinished(Unfinished):
    """The state of a training with the weights after every epoch so far."""

    def __init__(self, path: Path, identity: dict[str, Any], session: Session, states: list[State]) -> None:
        super().__init__(path, identity, session)
        self._states = states  # of the epochs before the one whose state is offered: see `fit`

    def offer(self, state: State) -> None:
        super().offer(state | {f"epoch.{name}": tensor for name, tensor in _by_epoch(self._states).items()})

    def restore(self) -> State | None:
        saved = super().restore()
        if saved is not None:
            names = [name.removeprefix("net.") for name in saved if name.startswith("net.")]
            for epoch in range(1, self.step):
                self._states.append({name: saved[f"epoch.{epoch}.{name}"] for name in names})
            self._states.append({name: saved[f"net.{name}"] for name in names})
            self._session.say_once(f"teacher: goes on after epoch {self.step}")
        return saved


def training_seconds(course: Course, problem: Problem, session: Session, images: float) -> float:
    """Seconds of training on so many images, counted once for each time that they are passed: from one timed minibatch.

    The plan is that of the course.
    """
    spec, few = problem.spec, problem.real[torch.arange(min(TIMED, len(problem.real)))]
    engine = session.plan(training_work(session, course.net, spec, course.recipe(), len(problem.real)))
    model, recipe, generator = course.build(spec, session.device), course.recipe(1), torch.Generator()
    gradients = session.gradients(engine.eager(), course.net, spec.shape, course.condensing)
    each = timed(lambda: fit(model, few, spec, recipe, generator=generator, gradients=gradients), session.device)
    return engine.estimate(each * images / len(few)).seconds
