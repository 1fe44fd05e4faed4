"""`--within` of `proxyset build`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from proxyset.cli.app import say

if TYPE_CHECKING:
    from proxyset.artefact.build import ProxySpec
    from proxyset.compute.session import Session

Sets = dict[Path, "ProxySpec"]


def recall(sets: Sets, seconds: float, session: Session) -> tuple[Sets, Session]:
    """The sets with what earlier calls for the same files and the same time had chosen, where there were any."""
    from proxyset.artefact.within import earlier_choice

    found: Sets = {}
    for path, wanted in sets.items():
        earlier = earlier_choice(wanted, seconds, path, session)
        found[path], session = earlier or (wanted, session)
    return found, session


def choose(todo: Sets, finished: Sets, seconds: float, session: Session) -> tuple[Sets, Session]:
    """The sets that are to be built, each with as many iterations as the time allows; those that have a choice keep it.

    Sets of one call differ in their seeds alone, so one of them is timed for all, or has been, in an earlier call.
    """
    from dataclasses import replace

    from proxyset.artefact.outputs import keep_folder
    from proxyset.artefact.within import check_within, fit_within
    from proxyset.progress import ProgressLine

    chosen = next((wanted for wanted in (*todo.values(), *finished.values()) if wanted.clock is not None), None)
    if chosen is None and todo:
        path, wanted = next(iter(todo.items()))
        check_within(wanted.method)
        say(f"{path.stem}: a few steps are timed")
        line = ProgressLine(path.stem)
        try:
            chosen, session = fit_within(wanted, seconds, session, keep_folder(path), line)
        except KeyboardInterrupt:
            kept = keep_folder(path)
            words = f"; what was trained so far is kept in {str(kept)!r} for the same command" if kept.exists() else ""
            raise KeyboardInterrupt(f"interrupted{words}") from None
        finally:
            line.close()
    if chosen is None:
        return todo, session
    say(str(chosen.clock))
    return {
        path: wanted if wanted.clock is not None else replace(wanted, method=chosen.method, clock=chosen.clock)
        for path, wanted in todo.items()
    }, session
