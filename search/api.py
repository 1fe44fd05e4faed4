"""Ranking architectures from Python."""

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from proxyset.compute.parallel import Pool
from proxyset.compute.session import Session
from proxyset.data.load import load
from proxyset.data.spec import Dataset
from proxyset.errors import InputError
from proxyset.progress import Progress, shown, silent
from search.driver import carry_out
from search.folder import RunFolder, claim_run
from search.placement import place
from search.places import NEW, Begun
from search.preparation import Display, Search, prepare
from search.result import Ranking
from search.settings import DIGITS, RankingSettings, SpaceChoice
from search.sources.proxies import Proxies
from search.space import Space


def rank_architectures(
    dataset: Dataset | str | Path,
    proxies: Proxies = ("dsa",),
    *,
    space: Space | None = None,
    settings: RankingSettings | None = None,
    session: Session | None = None,
    pool: Pool | None = None,
    folder: str | Path | None = None,
    progress: Progress | bool | None = None,
) -> Ranking:
    """Train many architectures on small proxies of a dataset, rank them, and hold the ranking against the whole set.

    Args:
        dataset: a dataset, or what `proxyset.load` takes as a name or path.
        proxies: what ranks: methods (a name, `package.module:Class`, or a method with its settings), proxy sets (an
            object, or a .safetensors file), `early-stop` (the whole set for as many updates), `whole` (the whole set
            under another seed: the noise ceiling), other sources (a name in `SOURCES`, `package.module:Class`, or a
            class). A mapping gives them names of your choice.
        space: what is ranked: `SpaceChoice(where=..., sample=...)` of the paper's 720 ConvNets (None: 60 of them, 60 of
            width 32 for the digits), or a list of `Arch`, names of networks, or (name, builder), the builder called
            with channels, size and classes.
        settings: how architectures are trained and compared, images per class, the seed.
        session: device and precision (None: a fresh one, on a GPU where there is one).
        pool: how many trials run at once, here or on a Ray cluster (None: one after another, in this process).
        folder: where the run is kept; called again, it goes on there (None: nothing is kept).
        progress: as everywhere: None shows a line in a terminal or a notebook.

    Returns:
        Scores, summary and the best architecture.

    Raises:
        InputError: something that cannot work, or a folder with another run.
        RunError: no training succeeded.
    """
    if isinstance(proxies, str):
        raise InputError(f"`proxies` is a list, such as [{proxies!r}]")
    if not isinstance(dataset, Dataset):
        dataset = load(dataset, size=DIGITS["size"] if dataset == "digits" else None)
    space = SpaceChoice() if space is None else space
    display = _display(progress)
    placement = place(pool, session or Session())
    begun = NEW if folder is None else Begun.of(RunFolder(Path(folder)))
    search = prepare(dataset, proxies, space, settings or RankingSettings(), placement, display, begun=begun)
    return _run(search, _config(search, proxies, space), folder)


def _run(search: Search, config: dict[str, Any], folder: str | Path | None) -> Ranking:
    """The search in its folder, or in one that is gone afterwards."""
    if folder is not None:
        with claim_run(Path(folder), resume=True) as run:
            carry_out(search, run, config)
            return Ranking.of(run)
    with tempfile.TemporaryDirectory(prefix="search-") as scratch, claim_run(Path(scratch, "run")) as run:
        carry_out(search.build_in(Path(scratch)), run, config)
        return Ranking.of(run, keep=False)


def _display(progress: Progress | bool | None) -> Display:
    quiet = shown(progress, "") is silent or callable(progress)
    return Display(progress, (lambda line: None) if quiet else lambda line: print(line, file=sys.stderr, flush=True))


def _config(search: Search, proxies: Proxies, space: Space) -> dict[str, Any]:
    """What the folder keeps of the settings, under the names that the command has for them."""
    spec, source = search.dataset.spec, search.dataset.source
    given = list(proxies.values() if isinstance(proxies, Mapping) else proxies)
    names = [str(one) if isinstance(one, str | Path) else getattr(one, "__name__", type(one).__name__) for one in given]
    data = {"dataset": source.get("source", spec.name), "size": spec.size, "channels": spec.channels, "flip": spec.flip}
    settings = search.settings.model_dump(mode="json")
    choice = space.model_dump(mode="json") if isinstance(space, SpaceChoice) else {}
    return data | settings | choice | {"proxy": names, "precision": search.placement.compute.precision}
