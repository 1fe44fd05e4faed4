"""A time limit for a search: what fits is chosen once, from measured speed, and said before the work."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from proxyset.compute.dispatch import Enough
from proxyset.errors import InputError
from proxyset.progress import duration
from search.jobs import seconds_per_image
from search.records import WITHIN
from search.settings import truth_count
from search.sources.base import Scope
from search.sources.halving import share_of_epochs
from search.sources.registry import beside, get_source
from search.sources.trained import TRAIN, TRUTH
from search.trial import TrialContext, pack

if TYPE_CHECKING:
    from search.preparation import Search

MARGIN = 0.85  # of the time that is planned for: machines are noisy, and reports take seconds
BUILDING, KEEPING = 0.3, 0.4  # the most of it that sets, and then networks to keep, may take
FEWEST = 4  # architectures: fewer need no ranking
LEAST = 0.25  # of the epochs that may be left before there are fewer architectures
PROMOTED = 3  # networks to keep, at most, where nothing else is asked for
FORWARD = 1 / 3  # of the time of training on an image: what a look at one takes
PER_TRIAL = 0.05  # seconds, besides training


class TimeIsUp(Enough):
    """The limit is reached. What runs is finished, and what is finished is kept."""


class Limit:
    """When to stop. Time in which this machine sleeps does not count.

    Args:
        end: of all, by `time.time()`, as it is if the machine does not sleep before.
        keeping: seconds before it at which the trials must end, so that networks can be trained to be kept.
    """

    def __init__(self, end: float, keeping: float = 0.0) -> None:
        self.keeping = keeping
        self._end = end - time.time() + time.monotonic()  # a clock that stands still while the machine sleeps

    @property
    def end(self) -> float:
        """As of now by `time.time()`, which workers on other machines can read."""
        return time.time() + self.left()

    def left(self) -> float:
        """Seconds until the end; below 0 after it."""
        return self._end - time.monotonic()

    def left_for_trials(self) -> float:
        """Seconds.

        Raises:
            TimeIsUp: no further trial should begin.
        """
        left = self.left() - self.keeping
        if left < 0:
            raise TimeIsUp("the time for trials is up")
        return left


def limited(within: float | None) -> dict[str, float]:
    """What a run keeps of its limit, for the commands that go on with it."""
    return {} if within is None else {WITHIN: within}


@dataclass(frozen=True)
class Choice:
    """What fits: settings by name, and seconds that each part is planned to take."""

    settings: dict[str, Any]
    seconds: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        chosen = self.settings
        steps = f", {chosen['iterations']} iterations for each set" if "iterations" in chosen else ""
        parts = ", ".join(f"{name} {duration(seconds)}" for name, seconds in self.seconds.items() if seconds >= 1)
        return (
            f"what fits: {chosen['sample']} architectures, {chosen['epochs']} epochs on a proxy set, then "
            f"{chosen['promote']} of each ranking's best for {chosen['final_epochs']} epochs to keep{steps} ({parts})"
        )


def choose_within(search: "Search", seconds: float, building: Sequence[tuple[float, float]]) -> Choice:
    """What of a search fits into `seconds`; its settings are the most that is taken.

    Sets that are missing get at most 30 % of the time, by fewer iterations; the networks that are kept at most 40 % of
    what is left then, by fewer of them, and of a single one by fewer epochs. Trials get the rest: first their epochs
    shrink to a quarter, then the number of architectures.

    Args:
        building: estimated seconds for each of the sets that are missing: before its steps, and of all of them.

    Raises:
        InputError: not even the least fits; a truth of so many architectures.
    """
    count = truth_count(search.settings.truth or "none")
    if count:
        raise InputError(f"`within` chooses how many architectures there are; `truth=sample:{count}` names a number")
    started = time.monotonic()
    if seconds <= 0:
        raise InputError("`within` is too short: reading the images and looking at what is to be built took all of it")
    each = _seconds_each(search)
    left = MARGIN * (seconds - (time.monotonic() - started))
    sets, changed = _building(search, building, BUILDING * left)
    keeping, kept = _keeping(search, each, KEEPING * (left - sets))
    trials, tried = _trials(search, each, left - sets - keeping)
    parts = {"building": sets, "trials": trials, "networks to keep": keeping}
    return Choice(changed | tried | kept | {"promote": min(kept["promote"], tried["sample"])}, parts)


def seconds_to_keep(search: "Search", seconds: float, done: int) -> float:
    """Of the `seconds` in which a run goes on, those that its networks to keep need: at most 40 %.

    Args:
        done: networks that it keeps already.
    """
    settings = search.settings
    count = settings.promote * _rankings(search) - done
    if count <= 0:
        return 0.0
    images = count * (settings.final_epochs or 1) * _looked_at(search, len(search.dataset.train))
    return min(KEEPING * seconds, images * _seconds_each(search) / min(search.placement.at_once, count))


def _seconds_each(search: "Search") -> float:
    """Of training on an image, measured."""
    context = TrialContext(
        search.dataset.spec,
        search.settings,
        {TRAIN: pack(search.dataset.train)},
        {},
        {candidate.name: candidate for candidate in search.candidates},
    )
    return seconds_per_image(context, search.placement)


def _too_short(what: str, seconds: float, limit: float) -> InputError:
    return InputError(f"`within` is too short: {what} takes {duration(seconds)}, and may take {duration(limit)} of it")


def _building(search: "Search", seconds: Sequence[tuple[float, float]], limit: float) -> tuple[float, dict[str, int]]:
    """Fewer iterations where building takes too long: as many for each set, and for none more than it would have."""
    whole = sum(map(sum, seconds))
    if whole <= limit:
        return whole, {}
    methods = [one.wanted.method for one in search.plan.proxies if one.missing and one.wanted]
    asked = [getattr(method, "iterations", 0) for method in methods]
    each = sum(steps / count for (_, steps), count in zip(seconds, asked, strict=True) if count)
    fixed = sum(before + (0 if count else steps) for (before, steps), count in zip(seconds, asked, strict=True))
    iterations = min(int((limit - fixed) / each), *filter(None, asked)) if each else 0
    if iterations < 1:
        raise _too_short("building the proxy sets, even in the fewest iterations,", fixed + each, limit)
    return fixed + iterations * each, {"iterations": iterations}


def _keeping(search: "Search", each: float, limit: float) -> tuple[float, dict[str, int]]:
    """How many networks are kept, and after how many epochs."""
    settings, rankings = search.settings, _rankings(search)
    epochs, at_once = settings.final_epochs or 1, search.placement.at_once
    epoch = _looked_at(search, len(search.dataset.train)) * each
    for promote in range(min(settings.promote or PROMOTED, len(search.candidates)), 0, -1):
        seconds = epochs * epoch * promote * rankings / min(at_once, promote * rankings)
        if seconds <= limit:
            return seconds, {"promote": promote, "final_epochs": epochs}
    rounds = rankings / min(at_once, rankings)
    epochs = int(limit / (epoch * rounds))
    if epochs < 1:
        raise _too_short("one epoch on the whole set for the best of each ranking", epoch * rounds, limit)
    return epochs * epoch * rounds, {"promote": 1, "final_epochs": epochs}


def _rankings(search: "Search") -> int:
    """Rankings that may each promote another architecture."""
    plan, free = search.plan, beside(search.plan.named, search.settings.free)
    named = [name for name in plan.named if name != TRUTH]  # which is the noise ceiling, and promotes nothing
    return len(plan.proxies) + len(named) + len(free) + (truth_count(search.settings.truth or "none") != 0)


def _trials(search: "Search", each: float, limit: float) -> tuple[float, dict[str, Any]]:
    """How many architectures, and epochs on a proxy set."""
    most, asked = len(search.candidates), search.settings.epochs or 1

    def seconds(epochs: int) -> float:
        return _an_architecture(search, epochs, each) / search.placement.at_once

    epochs = next((one for one in _fewer(asked, LEAST) if most * seconds(one) <= limit), max(1, int(asked * LEAST)))
    count = min(most, int(limit / seconds(epochs)))
    if count < min(FEWEST, most):
        count = min(FEWEST, most)
        epochs = next((one for one in _fewer(epochs, 0.0) if count * seconds(one) <= limit), 0)
    if epochs < 1:
        raise _too_short(f"one epoch for {count} architectures", count * seconds(1), limit)
    return count * seconds(epochs), {"sample": count, "epochs": epochs}


def _fewer(epochs: int, least: float) -> list[int]:
    """Ever fewer epochs, by a tenth each, down to that share."""
    found = [epochs]
    while found[-1] > max(1, int(epochs * least)):
        found.append(max(1, int(epochs * least), min(found[-1] - 1, int(0.9 * found[-1]))))
    return found


def _an_architecture(search: "Search", epochs: int, each: float) -> float:
    """Seconds of all trials of one architecture, one after another."""
    settings, plan, spec = search.settings, search.plan, search.dataset.spec
    sizes = [
        one.given.data.trained_on
        if one.given is not None
        else settings.ipc * spec.classes * getattr(one.wanted.method if one.wanted else None, "formation", 1) ** 2
        for one in plan.proxies
    ]
    size = sizes[0] if sizes else settings.ipc * spec.classes
    scope = Scope(settings.model_copy(update={"epochs": epochs}), len(search.dataset.train), size)
    named = [kind.make(name, scope) for name, kind in plan.named.items() if name != TRUTH]
    others = [get_source(name).make(name, scope) for name in beside(plan.named, settings.free)]
    count = truth_count(settings.truth or "none")
    checked = 1.0 if count is None else count / len(search.candidates)
    again = checked if TRUTH in plan.named else 0.0  # the noise ceiling
    share = 0.0 if settings.truth_file is not None else checked  # nothing is trained for it
    whole = (share + again) * (settings.whole_epochs or 1) * len(search.dataset.train)
    trained = epochs * share_of_epochs(settings.halving) * sum(sizes) + whole
    trained += sum(source.images_passed(scope.settings) for source in [*named, *others])
    trials = len(sizes) + sum(not source.free for source in named) + share + again
    looks = trials * _looked_at(search, 0)
    return settings.repeats * ((trained + looks) * each + trials * PER_TRIAL)


def _looked_at(search: "Search", trained: int) -> float:
    """Images of an epoch, those that judge it counted by what a look takes."""
    judging = len(search.dataset.judge)
    return trained + FORWARD * min(judging, search.settings.score_images or judging)
