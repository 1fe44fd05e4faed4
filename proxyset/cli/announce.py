"""What a command says before its work: on what, where, how long it will take, and what would make it shorter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from proxyset.advice import advice
from proxyset.cli.app import say

if TYPE_CHECKING:
    from proxyset.compute.plan import Estimate
    from proxyset.compute.session import Session
    from proxyset.methods.base import Method
    from proxyset.report.scores import Contest
    from proxyset.train.recipe import Recipe

FEW_NETS, FEW_EPOCHS, FEW_ITERATIONS = 5, 300, 200
NARROW = "convnet-w32"
UNEVEN, LOPSIDED = 2.0, 0.75  # times its share, and of all images: from here on the largest class is worth a word


def where(session: Session) -> str:
    """The device, and its threads."""
    import torch

    threads, device = torch.get_num_threads(), session.device
    return f"{device}, {threads} thread{'s' * (threads > 1)}" if device.type == "cpu" else str(device)


def announce_scores(sizes: Sequence[tuple[int, Recipe]], baselines: Sequence[str], contest: Contest) -> None:
    """What is scored: how many sets and baselines, with which networks, how they are trained."""
    sets = f"{len(sizes)} training set{'s' * (len(sizes) > 1)}"
    beside = f" ({', '.join(baselines)} among them)" if baselines else ""
    epochs = sorted({recipe.epochs for _, recipe in sizes})
    say(
        f"{contest.dataset.spec.name}: {sets}{beside} × {contest.protocol.nets} networks of "
        f"{', '.join(contest.nets)} for {' and '.join(map(str, epochs))} epochs, "
        f"protocol {contest.protocol.protocol}, tested on {len(contest.dataset.test)} images"
    )
    largest = contest.dataset.test.labels.bincount().max().item() / len(contest.dataset.test)
    if largest > min(UNEVEN / contest.dataset.spec.classes, LOPSIDED):
        say(f"always answering the largest class would score {largest:.1%} on these test images")


def say_score_estimate(estimate: Estimate, contest: Contest, session: Session) -> None:
    """How long scoring will take, and what would make it shorter."""
    from proxyset.progress import duration, size

    time = duration(max(1, estimate.seconds))
    say(f"on {where(session)}, estimated: {time} to score, {size(estimate.memory)} of memory")
    if line := advice(estimate.seconds, smaller_scores(estimate.seconds, contest)):
        say(line)


def smaller_scores(seconds: float, contest: Contest) -> dict[str, str]:
    """For each flag that makes scoring shorter: what it leaves of the time, and what it costs."""
    from proxyset.progress import duration

    nets, epochs = contest.protocol.nets, contest.protocol.resolved().epochs
    flags = {}
    if nets > FEW_NETS:
        left = duration(seconds * FEW_NETS / nets)
        flags[f"nets={FEW_NETS}"] = f"{left}: mean and spread over fewer networks are less certain"
    if epochs > FEW_EPOCHS:
        left = duration(seconds * FEW_EPOCHS / epochs)
        flags[f"epochs={FEW_EPOCHS}"] = f"about {left}: networks learn less, and no table of the paper compares"
    if any(net.startswith("convnet") and "-w" not in net for net in contest.nets):
        flags[f"net={NARROW}"] = "several times faster: scores of a narrower network, some points lower"
    return flags


def smaller_build(seconds: float, method: Method, ipc: int) -> dict[str, str]:
    """For each flag that makes condensing shorter: what it leaves of the time, and what it costs."""
    from proxyset.progress import duration

    flags = {}
    net, iterations = getattr(method, "net", None), getattr(method, "iterations", None)
    if isinstance(iterations, int) and iterations > FEW_ITERATIONS:
        left = duration(seconds * FEW_ITERATIONS / iterations)
        flags[f"iterations={FEW_ITERATIONS}"] = f"about {left}: a few points of accuracy less"
    if isinstance(net, str) and net.startswith("convnet") and "-w" not in net:
        flags[f"net={NARROW}"] = (
            "several times faster: with 200 iterations 2 to 6 points less accurate than the paper at 1 per class"
        )
    if ipc > 1 and isinstance(iterations, int):
        flags["ipc=1"] = "many times faster: one image per class, and far less accurate"
    if isinstance(iterations, int):
        flags["method=herding"] = "far faster: picks real images and learns nothing"
    return flags
