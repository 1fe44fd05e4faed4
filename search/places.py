"""Where what a run needs lies, kept with it, so that it goes on from any folder."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proxyset.files import in_full
from search.folder import CONFIG, SOURCES, RunFolder
from search.records import PLACES

STORE = Path("proxysets")
ON_SETS = ("ProxySource", "Rung")  # kinds of sources that train on a proxy set


@dataclass(frozen=True)
class Begun:
    """The proxy sets of a run that has begun; empty for a new one.

    Attributes:
        store: where missing ones were to be built, beside which other files are named (None: it is not said).
        sets: the files that it began with, by the names of the sources.
    """

    store: Path | None = None
    sets: Mapping[str, Path] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: RunFolder) -> "Begun":
        """What a folder says, which need not exist.

        Raises:
            InputError: it is damaged.
        """
        said = (folder.read(CONFIG) or {}).get(PLACES, {}).get("store")
        store = None if said is None else Path(said)
        sets = {
            facts.get("of") or name: _beside(store, Path(facts["file"]))
            for name, facts in (folder.read(SOURCES) or {}).items()
            if facts.get("kind") in ON_SETS and facts.get("file")
        }
        return cls(store, sets)

    def built(self, name: str, find: Callable[[Path], Path]) -> Path:
        """Where a set that may have to be built lies: where the run had it, or in this folder's store.

        Args:
            find: its file in a store.
        """
        here, kept = find(STORE), self.sets.get(name)
        if kept is None and self.store is not None and self.store.is_dir():
            kept = find(self.store)
        return here if kept is None or (here.exists() and not kept.exists()) else kept

    def given(self, name: str, file: Path) -> Path:
        """Where a set that was given as a file lies: where the run had it, or at the place that is named."""
        kept = self.sets.get(name, _beside(self.store, file))
        return kept if kept.is_file() else file


def _beside(store: Path | None, file: Path) -> Path:
    """A file as the run's first working folder names it."""
    return file if store is None else store.parent / file


NEW = Begun()


def places_of(config: Mapping[str, Any], source: str | None) -> dict[str, str]:
    """What a new run keeps.

    Args:
        config: its settings.
        source: what loads its dataset again: see `Dataset.source`.
    """
    places = {"store": str(in_full(STORE))}
    if source is not None:
        places["dataset"] = source
    if "data_root" in config:
        places["data_root"] = str(in_full(Path(config["data_root"])))
    return places


def found_again(folder: RunFolder) -> dict[str, Any]:
    """The settings that a run began with, its data named from the root, unless they lie there no longer and do here.

    Raises:
        InputError: as `RunFolder.settings`.
    """
    settings, places = folder.settings(), (folder.read(CONFIG) or {}).get(PLACES, {})
    for name in ("dataset", "data_root"):
        place = places.get(name)
        if place is not None and (os.path.exists(place) or not os.path.exists(settings[name])):
            settings[name] = place
    return settings
