"""Soft targets from a teacher ("A label is worth a thousand images"), for any method.

Targets are the softmax (temperature 1) of a network that was trained on the whole real set and stopped early, at the
epoch that `students` chooses. The test split plays no part.
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import nn

from proxyset.checkpoint import State
from proxyset.compute.session import Session
from proxyset.data.images import ImageSet
from proxyset.data.spec import DatasetSpec
from proxyset.errors import InputError
from proxyset.methods.base import Context, Method, Problem
from proxyset.methods.kept import obtain
from proxyset.methods.snapshots import check_counts, course_of, take, tested_at_once, training_seconds
from proxyset.methods.students import Trial, answers
from proxyset.nets.build import build_net, check_net, full_name
from proxyset.train.recipe import ALL


@dataclass(frozen=True)
class Teacher:
    """A network that answers for real images.

    Attributes:
        net: its full name.
        state: its weights, on the CPU.
        epoch: of its training, after which these are the weights.
        validation: the share (0..1) of the held-out images that it classifies correctly.
        seconds: what its training and the choice of the epoch took.
    """

    net: str
    state: State
    epoch: int
    validation: float
    seconds: float

    def build(self, spec: DatasetSpec, device: torch.device) -> nn.Module:
        net = build_net(self.net, **spec.shape, generator=torch.Generator(), device=device)
        net.load_state_dict(self.state)
        return net.eval()


def make(method: Method, problem: Problem, context: Context) -> ImageSet:
    """The set of a method: what it condenses, with the targets that it asks for.

    Raises:
        InputError, RunError: as `Method.condense`, and as `snapshots` where there is a teacher.
    """
    if method.targets != "teacher":
        return method.condense(problem, context)
    method.check(problem)
    if context.learner is None:
        find_teacher(method, problem, context)  # first, so that what can fail fails before hours of other work
    watch = context.watch
    if watch is not None:  # sees the set as it will be
        labelled = partial(label, method, problem=problem, context=context)
        context = replace(context, watch=lambda step, result: watch(step, lambda: labelled(result())))
    return label(method, method.condense(problem, context), problem, context)


def label(method: Method, data: ImageSet, problem: Problem, context: Context) -> ImageSet:
    """`data` with the teacher's answers as soft targets: N×classes float32, or N×f²×classes, a row for every tile.

    Where the context has a learner, that is the teacher.

    `context.facts["teacher"]` says who the teacher is and how many of its answers agree with the labels.
    """
    spec, learner = problem.spec, context.learner
    if learner is not None:
        teacher = Teacher(full_name(method.teacher_name(), spec.size), learner, 0, 0.0, 0.0)
    else:
        teacher = find_teacher(method, problem, context)
    size = tested_at_once(teacher.net, spec, context.session, context.engine)
    targets = answers(teacher.build(spec, context.session.device), data, spec, size)
    labelled = replace(data, targets=targets)
    tiles = labelled.unfold()
    agrees = (tiles.answers.argmax(1) == tiles.labels).double().mean().item()
    if learner is not None:  # how it was trained is its maker's to say
        context.facts["teacher"] = {"net": teacher.net, "learner": True, "agrees": agrees}
        return labelled
    context.facts["teacher"] = {
        "net": teacher.net,
        "epoch": teacher.epoch,
        "validation_accuracy": teacher.validation,
        "seconds": round(teacher.seconds, 3),
        "agrees": agrees,
    }
    return labelled


def check_teacher(method: Method, problem: Problem) -> None:
    """Raise `InputError` where no teacher of these images can be trained."""
    spec = problem.spec
    try:
        check_net(method.teacher_name(), **spec.shape)
    except InputError as error:
        raise InputError(f"`teacher_net`: {error}") from None
    check_counts(problem)


def find_teacher(method: Method, problem: Problem, context: Context) -> Teacher:
    """The teacher for a method: trained now, or as it is kept; with the epoch that suits so many images."""
    trial = _trial(method, problem)
    trained = take(trial.course, problem, context)
    wanted = trial.wanted(problem)
    kept = obtain(wanted, context, lambda unfinished: trial.run(trained, problem, context, unfinished))
    accuracies = kept["accuracies"].tolist()
    epoch = trial.epochs[accuracies.index(max(accuracies))]  # the earliest of equals
    seconds = trained.seconds + kept["seconds"].item()
    return Teacher(trial.course.net, trained.states[epoch - 1], epoch, trained.validation[epoch - 1], seconds)


def _trial(method: Method, problem: Problem) -> Trial:
    augment = str(getattr(method, "augment", "none"))
    augment = ALL if augment == "none" else augment
    course = course_of(problem, method.teacher_name(), method.teacher_epochs, augment)
    return Trial(course, problem.ipc, method.tiles_across())


def teacher_seconds(method: Method, problem: Problem, session: Session, keep: Path | None = None) -> float:
    """Seconds that the soft targets of a set will take: what is not kept of the teacher's training and of the students.

    Args:
        keep: folder where they may be kept.
    """
    if method.targets != "teacher":
        return 0.0
    trial = _trial(method, problem)
    training, students, images = trial.course.wanted(problem), trial.wanted(problem), 0
    if not training.exists(session, keep):
        images += (trial.course.epochs - training.steps_done(keep)) * len(problem.real)
    if not students.exists(session, keep):
        images += (len(trial.epochs) - students.steps_done(keep)) * trial.passes(problem.spec.classes)
    return training_seconds(trial.course, problem, session, images) if images else 0.0
