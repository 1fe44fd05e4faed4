"""search: rank network architectures on a proxy set, in parallel, and say how far to trust the ranking."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.api import rank_architectures as rank_architectures
    from search.network import Network as Network
    from search.result import Ranking as Ranking
    from search.settings import RankingSettings as RankingSettings
    from search.settings import SpaceChoice as SpaceChoice

_PUBLIC = {
    "rank_architectures": "search.api",
    "Network": "search.network",
    "Ranking": "search.result",
    "RankingSettings": "search.settings",
    "SpaceChoice": "search.settings",
}
__all__ = ["Network", "Ranking", "RankingSettings", "SpaceChoice", "rank_architectures"]


def __getattr__(name: str) -> Any:
    """Imported when first asked for, because torch and pandas take seconds."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'search' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
