"""How long what comes before a method's steps will take: networks that it trains, and teachers."""

from pathlib import Path

from proxyset.compute.session import Session
from proxyset.methods.base import Method, Problem
from proxyset.methods.snapshots import training_seconds
from proxyset.methods.teacher import teacher_seconds

COUNTS = ("experts", "expert_epochs", "trainings", "teacher_epochs")
"""Settings that say how much is trained, those of the dearest trainings first."""


def preparation_seconds(method: Method, problem: Problem, session: Session, keep: Path | None = None) -> float:
    """Seconds of what is made once and can be kept: what is not kept of it yet.

    Args:
        keep: folder where it may be kept.
    """
    courses = [(course, course.wanted(problem)) for course in method.courses(problem)]
    left = [course.epochs - wanted.steps_done(keep) for course, wanted in courses if not wanted.exists(session, keep)]
    images = sum(left) * len(problem.real)
    trained = training_seconds(courses[0][0], problem, session, images) if images else 0.0
    return trained + teacher_seconds(method, problem, session, keep)


def smaller_preparation(method: Method) -> str:
    """What to lower so that it takes less, as settings; empty where it has none."""
    there = [name for name in COUNTS if name in type(method).model_fields]
    if "experts" in there and not method.needs_teacher():
        there.remove("teacher_epochs")
    return " or ".join(f"`{name}={getattr(method, name)}`" for name in there)
