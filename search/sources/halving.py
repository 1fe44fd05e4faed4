"""Successive halving on a proxy set (Jamieson & Talwalkar 2016): an eighth of the epochs for all architectures, twice
as many for the better half, and so on up to all epochs for the best eighth.

Each rung is a source of its own, which trains from new weights. `fold` makes one ranking of them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proxyset.train.recipe import Recipe
from search.settings import RankingSettings
from search.sources.trained import ProxySource

if TYPE_CHECKING:
    from search.trial import Row

SUFFIX = "-halving"  # of the ranking's name
RUNGS = 4
KIND = "Rung"  # in the facts


@dataclass(frozen=True)
class Rung(ProxySource):
    """One rung.

    Attributes:
        ranking: what the tables call all of them together.
        of: the proxy set, as the context names it.
        number: from 0.
    """

    ranking: str = ""
    of: str = ""
    number: int = 0

    @property
    def data(self) -> str:
        return self.of

    def recipe(self, settings: RankingSettings) -> Recipe:
        whole = settings.on_proxy()
        return whole.model_copy(update={"epochs": max(1, whole.epochs >> (RUNGS - 1 - self.number))})

    def count(self, architectures: int) -> int:
        """How many architectures it trains."""
        return math.ceil(architectures / 2**self.number)


def rungs_of(source: ProxySource) -> list[Rung]:
    """The rungs that stand for training on this set."""
    facts = {name: getattr(source, name) for name in ("images", "sha256", "file", "tiles")}
    return [
        Rung(
            f"{source.name}{SUFFIX}/{number + 1}",
            seconds=source.seconds if number == 0 else 0.0,
            ranking=f"{source.name}{SUFFIX}",
            of=source.name,
            number=number,
            **facts,
        )
        for number in range(RUNGS)
    ]


def share_of_epochs(halving: str | None) -> float:
    """What the trials on a proxy set cost, as a share of training all architectures for all epochs."""
    halved = sum(2.0 ** (number - RUNGS + 1) / 2**number for number in range(RUNGS))
    return {None: 1.0, "instead": halved, "beside": 1.0 + halved}[halving]


def fold(sources: Mapping[str, Mapping[str, Any]], rows: "list[Row]") -> "tuple[dict[str, Any], list[Row]]":
    """The facts of the sources and the trials, with one ranking in place of its rungs.

    An architecture's score is the number of its highest rung plus its accuracy there, so whoever got further ranks
    higher. What it took is the sum over its rungs.
    """
    folded: dict[str, Any] = {}
    for name, facts in sources.items():
        if facts.get("kind") != KIND:
            folded[name] = dict(facts)
        elif not facts.get("number"):
            folded[facts.get("ranking", "")] = {**facts, "halving": facts.get("of", "")}
    kept: list[Row] = []
    highest: dict[tuple[str, str, int], Row] = {}
    for row in rows:
        facts = sources.get(row["source"], {})
        if facts.get("kind") != KIND:
            kept.append(row)
            continue
        ranking, number = facts.get("ranking", ""), facts.get("number", 0)
        key = (ranking, row["name"], row["repeat"])
        score = None if row["score"] is None else number + row["score"]
        now = row | {"source": ranking, "score": score}
        before = highest.get(key)
        if before is not None:
            seconds = before["seconds"] + row["seconds"]
            better = now if before["score"] is None or (score is not None and score > before["score"]) else before
            now = better | {"seconds": seconds}
        highest[key] = now
    return folded, kept + list(highest.values())
