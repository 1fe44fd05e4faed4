"""What would shorten a search that takes long, and what that costs in quality."""

from collections.abc import Sequence

from proxyset.methods.base import Method
from search.settings import RankingSettings, truth_count

FEWER, FEWER_TRUTHS, ITERATIONS, NARROW = 24, 20, 100, "convnet-w32"


def cheaper_sets(methods: Sequence[Method]) -> dict[str, str]:
    """Settings that make the proxy sets of these methods cheaper to build, best trade first."""
    learned = [method for method in methods if "iterations" in type(method).model_fields]
    shorter = {}
    if any(getattr(method, "net", NARROW) != NARROW for method in learned):
        shorter[f"condense_net={NARROW}"] = "images that suit narrow networks best"
    if any(getattr(method, "iterations", 0) > ITERATIONS for method in learned):
        shorter[f"iterations={ITERATIONS}"] = "images nearer to random ones"
    return shorter or {"proxy=random": "no learned images"}


def cheaper_trials(settings: RankingSettings, architectures: int) -> dict[str, str]:
    """Settings that make the trials of so many architectures cheaper, best trade first.

    Args:
        settings: with nothing left open.
    """
    count = 0 if settings.truth_file else truth_count(settings.truth or "all")
    shorter = {}
    if (architectures if count is None else count) > FEWER_TRUTHS:
        shorter[f"truth=sample:{FEWER_TRUTHS}"] = f"rankings are compared on {FEWER_TRUTHS} architectures only"
    if architectures > FEWER:
        shorter[f"sample={FEWER}"] = "fewer architectures, wider intervals"
    if settings.repeats > 1:
        shorter["repeats=1"] = "no mean over repeats"
    if (settings.whole_epochs or 1) > 1 and count != 0:
        shorter[f"whole_epochs={(settings.whole_epochs or 2) // 2}"] = "a noisier truth"
    if (settings.epochs or 1) > 1:
        shorter[f"epochs={(settings.epochs or 2) // 2}"] = "noisier rankings"
    return shorter
