"""How long what comes before a method's steps will take: networks that it trains, and teachers."""

from pathlib import Path

from proxyset.compute.session import Session
from proxyset.methods.base import Method, Problem
from proxyset.methods.snapshots import training_seconds
from proxyset.methods.teacher import teacher_seconds


def preparation_seconds(method: Method, problem: Problem, session: Session, keep: Path | None = None) -> float:
    """Seconds of what is made once and can be kept: what is not kept of it yet.

    Args:
        keep: folder where it may be kept.
    """
    courses, passes = method.courses(problem), 0
    for course in courses:
        wanted = course.wanted(problem)
        if not wanted.exists(session, keep):
            passes += course.epochs - wanted.steps_done(keep)
    trained = training_seconds(courses[0], problem, session, passes * len(problem.real)) if passes else 0.0
    return trained + teacher_seconds(method, problem, session, keep)


def smaller_preparation(method: Method, problem: Problem) -> str:
    """What to lower so that it takes less, as settings."""
    of_courses: list[str] = [
        name for name in ("experts", "expert_epochs", "trainings") if name in type(method).model_fields
    ]
    names = of_courses if method.courses(problem) else []
    if method.needs_teacher() or "expert_epochs" not in names:
        names.append("teacher_epochs")
    return " or ".join(f"`{name}={getattr(method, name)}`" for name in names)
