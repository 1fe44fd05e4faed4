"""Whether a ranking can be trusted, in words that follow from numbers: pure functions of scores by source."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from proxyset.names import in_words
from search.rank import Lead, Scores, decile, interval, lead, spearman

Grade = Literal["trust it", "do not", "undecided"]


@dataclass(frozen=True)
class Rival:
    """What a proxy set must beat to be worth making: random images, or what trains nothing.

    Attributes:
        name: of the source.
        free: whether it trains nothing.
        everywhere: by how much the proxy's ρ exceeds its ρ over all architectures.
        best: the same among the best by the truth.
    """

    name: str
    free: bool
    everywhere: Lead
    best: Lead

    @property
    def beaten(self) -> bool:
        """Over all architectures or among the best, beyond chance, and in neither the other way round."""
        return any(_beyond_chance(one, 1) for one in self._both) and not self.beats

    @property
    def beats(self) -> bool:
        """It ranks better than the proxy, beyond chance."""
        return any(_beyond_chance(one, -1) for one in self._both)

    @property
    def as_good(self) -> bool:
        """By the numbers themselves the proxy leads nowhere."""
        return all(not one.value > 0 for one in self._both)

    @property
    def _both(self) -> tuple[Lead, Lead]:
        return self.everywhere, self.best


def _beyond_chance(one: Lead, sign: int) -> bool:
    return one.verdict == "significant" and one.value * sign > 0


@dataclass(frozen=True)
class Verdict:
    """What to do with a ranking, and why."""

    name: str
    grade: Grade
    why: str


def judge(
    name: str, scores: Mapping[str, Scores], truth: Scores, rivals: Mapping[str, bool], seed: int, again: Scores | None
) -> Verdict:
    """The verdict on the ranking by `name`.

    The order of the questions: is it more than chance? Does a rival beat it, or do as well? Does it beat every rival?

    Args:
        scores: by source, each in the order of `truth`.
        rivals: their names, and whether they train nothing.
        seed: of the bootstrap.
        again: the truth under another seed, where it is known.
    """
    mine, rng = scores[name], np.random.default_rng([seed, len(truth)])
    low, _ = interval(spearman, mine, truth, rng)
    if not low > 0:
        return Verdict(name, "do not", "its ρ cannot be told from 0")
    others = [_rival(other, free, mine, scores[other], truth, seed) for other, free in rivals.items()]
    grade, why = _against(others)
    return Verdict(name, grade, why + _below_the_ceiling(mine, again, truth, seed))


def _rival(name: str, free: bool, mine: Scores, theirs: Scores, truth: Scores, seed: int) -> Rival:
    rng = np.random.default_rng([seed, len(truth)])
    everywhere = lead(mine, theirs, truth, rng)
    return Rival(name, free, everywhere, lead(mine, theirs, truth, rng, k=decile(len(truth))))


def _against(rivals: Sequence[Rival]) -> tuple[Grade, str]:
    better = [one for one in rivals if one.beats]
    as_good = [one for one in rivals if one.as_good]
    open_ones = [one for one in rivals if not one.beaten]
    if better:
        return "do not", f"{names(better)} {_ranks(better)} better{_for_nothing(better)}"
    if as_good:
        return "do not", f"no better than {names(as_good)}{_for_nothing(as_good)}"
    if not rivals:
        return "undecided", "nothing stands beside it: random images at the same count (`proxy` random) would"
    if open_ones:
        return "undecided", f"its lead over {names(open_ones)} is within chance: more architectures would tell"
    return "trust it", f"it ranks better than {names(rivals)}, beyond chance"


def names(rivals: Sequence[Rival]) -> str:
    return in_words([one.name for one in rivals])


def _ranks(rivals: Sequence[Rival]) -> str:
    return "ranks" if len(rivals) == 1 else "rank"


def _for_nothing(rivals: Sequence[Rival]) -> str:
    if not all(one.free for one in rivals):
        return ""
    return ", which costs nothing" if len(rivals) == 1 else ", which cost nothing"


def _below_the_ceiling(mine: Scores, again: Scores | None, truth: Scores, seed: int) -> str:
    """Whether there is anything left to gain."""
    if again is None:
        return ""
    above = lead(again, mine, truth, np.random.default_rng([seed, len(truth)]))
    reached = float(spearman(again, truth))
    if _beyond_chance(above, 1):
        return f"; the whole set under another seed reaches ρ {reached:.2f}"
    return f"; the whole set under another seed ranks no better (ρ {reached:.2f}): little is left to gain"
