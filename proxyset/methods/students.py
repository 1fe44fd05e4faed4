"""The epoch at which a teacher should stop: the one whose students do best on held-out images.

A teacher that is trained to the end teaches little to students of few images, one that has just begun teaches little to
students of many ("A label is worth a thousand images").
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from proxyset.checkpoint import Checkpoint, State
from proxyset.data.formation import fold
from proxyset.data.images import ImageSet
from proxyset.data.spec import DatasetSpec, normalise
from proxyset.methods.base import Context, Problem
from proxyset.methods.initial import draw
from proxyset.methods.kept import Unfinished, Wanted
from proxyset.methods.snapshots import SEED, Course, Snapshots, split, tested_at_once
from proxyset.nets.build import build_net
from proxyset.progress import part_of
from proxyset.seeds import make_generator
from proxyset.train.evaluate import accuracy, training_work
from proxyset.train.fit import Hooks, batch, fit
from proxyset.train.recipe import Recipe, Training

UPDATES = 300  # of each student
MOST, ENOUGH = 3, 10  # students of an epoch, and images per class that they see between them: few images vary much


@torch.no_grad()
def answers(net: nn.Module, data: ImageSet, spec: DatasetSpec, batch_size: int) -> Tensor:
    """softmax(net(x)) of every image x, in evaluation mode: N×classes float32 on the CPU.

    Of a formation that of every tile at full size: N×f²×classes.
    """
    device, full = next(net.parameters()).device, data.unfold()
    net.eval()
    parts = torch.arange(len(full)).split(batch_size)
    soft = torch.cat([net(batch(full, index, spec, device)[0]).float().softmax(1).cpu() for index in parts])
    return soft if data.formation == 1 else soft.unflatten(0, (-1, data.formation**2))


def epochs_to_try(longest: int) -> list[int]:
    """1, 2, 3, 5, 8, 13, ... and the longest training."""
    first, second, tried = 1, 2, []
    while first < longest:
        tried.append(first)
        first, second = second, first + second
    return [*tried, longest]


@dataclass(frozen=True)
class Trial:
    """The comparison of the epochs of a teacher's training.

    For each up to three networks of the teacher's kind are trained for 300 updates on random real images with the
    teacher's answers: as many images as are wanted, stored as the wanted set is. The students of one epoch see other
    images than each other, and the same as those of another epoch, from which they differ in the answers alone.

    Attributes:
        course: the teacher's training.
        ipc, formation: of the wanted set.
    """

    course: Course
    ipc: int
    formation: int

    @cached_property
    def epochs(self) -> list[int]:
        return epochs_to_try(self.course.epochs)

    def recipe(self, classes: int) -> Recipe:
        """The paper's evaluation (DSA, section 4.1), shorter."""
        training = Training(augment=self.course.augment)
        return training.recipe(math.ceil(UPDATES / math.ceil(self.images(classes) / training.batch_size)))

    @property
    def students(self) -> int:
        """How many every epoch has."""
        return max(1, min(MOST, round(ENOUGH / (self.ipc * self.formation**2))))

    def images(self, classes: int) -> int:
        """How many a student sees in an epoch."""
        return classes * self.ipc * self.formation**2

    def passes(self, classes: int) -> int:
        """How many images pass through the students of one of the teacher's epochs, counted each time."""
        return self.students * self.images(classes) * self.recipe(classes).epochs

    def wanted(self, problem: Problem) -> Wanted:
        facts = {
            "teacher": self.course.wanted(problem).facts,
            "ipc": self.ipc,
            "formation": self.formation,
            "epochs": self.epochs,
            "students": self.students,
            "student": self.recipe(problem.spec.classes).model_dump(),
        }
        form = {"accuracies": (torch.float64, (len(self.epochs),)), "seconds": (torch.float64, ())}
        return Wanted("students", facts, form)

    def run(self, trained: Snapshots, problem: Problem, context: Context, unfinished: Path | None) -> State:
        """`accuracies`: for each epoch the mean of its students on the held-out images (0..1); `seconds`: of it all."""
        school = _School(self, problem, context)
        checkpoint = None
        if unfinished is not None:
            identity = {**self.wanted(problem).facts, **school.engine.facts()}
            checkpoint = Unfinished(unfinished, identity, context.session)
        clock = checkpoint or Checkpoint(Path(), 1, {})
        saved = checkpoint.restore() if checkpoint is not None else None
        accuracies = torch.zeros(0, dtype=torch.float64) if saved is None else saved["accuracies"]
        for number in range(len(accuracies), len(self.epochs)):
            mean = school.score(trained.states[self.epochs[number] - 1], number)
            accuracies = torch.cat([accuracies, torch.tensor([mean], dtype=torch.float64)])
            if checkpoint is not None:
                checkpoint.offer({"accuracies": accuracies})
        return {"accuracies": accuracies, "seconds": torch.tensor(clock.elapsed(), dtype=torch.float64)}


class _School:
    """What all students of one trial share."""

    def __init__(self, trial: Trial, problem: Problem, context: Context) -> None:
        self.trial, self.session = trial, context.session
        self.net, self.spec = trial.course.net, problem.spec
        images, self.recipe = trial.images(self.spec.classes), trial.recipe(self.spec.classes)
        count = trial.students * len(trial.epochs)
        self.engine = self.session.plan(training_work(self.session, self.net, self.spec, self.recipe, images, count))
        self.size = tested_at_once(self.net, self.spec, self.session, self.engine)
        train, self.held_out = split(problem)
        self.data = [_draw(train, problem, trial.formation, number) for number in range(trial.students)]
        self.progress = part_of(context.progress, "students")

    def score(self, state: State, number: int) -> float:
        """The mean accuracy on the held-out images of the students of the teacher with these weights, the number-th."""
        total, found = len(self.trial.epochs), []
        for student in range(self.trial.students):

            def show(done: int, student: int = student) -> None:
                share = (student + done / self.recipe.epochs) / self.trial.students
                self.progress(number + share, total)

            found.append(self._teach(state, student, Hooks(on_epoch=show)))
        return sum(found) / len(found)

    def _teach(self, state: State, student: int, hooks: Hooks) -> float:
        generator = make_generator(SEED, "teacher", "student", student)
        net = build_net(self.net, **self.spec.shape, generator=generator, device=self.session.device)
        fresh = {name: tensor.clone() for name, tensor in net.state_dict().items()}
        net.load_state_dict(state)
        data = replace(self.data[student], targets=answers(net, self.data[student], self.spec, self.size))
        net.load_state_dict(fresh)
        gradients = self.session.gradients(self.engine, self.net, self.spec.shape)
        fit(net, data, self.spec, self.recipe, generator=generator, gradients=gradients, hooks=hooks)
        return accuracy(net, self.held_out, self.spec, self.size)


def _draw(train: ImageSet, problem: Problem, formation: int, number: int) -> ImageSet:
    """`ipc`·f² random images of every class, in the formation; where a class has fewer, again from its first."""
    generator, count = make_generator(SEED, "teacher", "images", number), problem.ipc * formation**2
    picked = [draw(index, count, generator) for index in train.indices_by_class(problem.spec.classes)]
    index = torch.cat([one[torch.arange(count) % len(one)] for one in picked])
    images = fold(normalise(train.images[index], problem.spec), formation)
    return ImageSet(images, problem.labels, formation=formation)
