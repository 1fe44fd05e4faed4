"""What a search is made of: what was asked, checked and filled in, before anything is built or trained."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from proxyset.data.augment import operations
from proxyset.data.spec import Dataset
from proxyset.data.validation import with_validation
from proxyset.errors import InputError
from proxyset.progress import Progress
from search.placement import Placement
from search.places import NEW, Begun
from search.settings import RankingSettings, SpaceChoice, fill, truth_count
from search.sources.proxies import Proxies, SourcePlan, plan_sources
from search.sources.table import Columns, read_columns
from search.sources.trained import TRUTH
from search.space import Candidate, Space, choose
from search.trial import check_memory
from search.within import Limit


@dataclass(frozen=True)
class Display:
    """What somebody sees of a search while it runs.

    Attributes:
        progress: as for `proxyset.progress.shown`.
        say: is given a line of text at a time.
    """

    progress: Progress | bool | None
    say: Callable[[str], None]


@dataclass(frozen=True)
class Search:
    """Everything that a search is made of, checked; nothing is built or trained yet.

    Attributes:
        dataset: with the images that rank held out of its training split.
        settings: with nothing left open.
        content: hash of the training split, those images among it.
        notices: what to say before the work.
        columns: of the table that is the truth, where there is one.
        space: where a user's architectures come from, as package.module:function (None: not from there).
        limit: when to stop (None: when all is done).
    """

    dataset: Dataset
    candidates: Sequence[Candidate]
    plan: SourcePlan
    settings: RankingSettings
    placement: Placement
    display: Display
    content: str
    notices: tuple[str, ...] = ()
    columns: Columns | None = None
    space: str | None = None
    limit: Limit | None = None

    def build_in(self, folder: Path) -> "Search":
        """The same search, with the proxy sets that are missing built in `folder`."""
        proxies = [
            replace(one, path=folder / one.path.name) if one.missing and one.path is not None else one
            for one in self.plan.proxies
        ]
        return replace(self, plan=replace(self.plan, proxies=tuple(proxies)))


def prepare(
    dataset: Dataset,
    proxies: Proxies,
    space: Space,
    settings: RankingSettings,
    placement: Placement,
    display: Display,
    *,
    begun: Begun = NEW,
) -> Search:
    """Check what was asked, and fill in what was left open.

    Args:
        begun: the proxy sets of the run that goes on.

    Raises:
        InputError: something that cannot work.
    """
    if not len(dataset.test):
        raise InputError(f"{dataset.spec.name} has no test images to score architectures on")
    source, content = str(dataset.source.get("source", "")), dataset.sha256
    own_split = dataset.validation is not None and settings.validation is None
    settings = fill(settings, source)
    if not own_split:
        dataset = with_validation(dataset, settings.validation or 0.0)
    operations(settings.augment, dataset.spec.flip)  # refuses what it does not know
    space = fill(space, source) if isinstance(space, SpaceChoice) else space
    notices: list[str] = []
    candidates = choose(space, dataset.spec, settings.seed, notices.append)
    columns = _columns(settings, [candidate.name for candidate in candidates], dataset.spec.size, notices.append)
    known = columns[settings.truth_column] if columns and settings.truth_column else candidates
    _check_counts(settings, len(candidates), len(known))
    plan = plan_sources(proxies, dataset, settings, placement.session, content, begun)
    if TRUTH in plan.named and settings.truth == "none":
        raise InputError(
            "`proxy=whole` is the noise ceiling of the truth, and `truth=none` leaves that out: `truth=all`"
        )
    notices += [f"{one.name} was made with the images that rank" for one in plan.proxies if one.saw_more(dataset)]
    check_memory(candidates, dataset.spec, settings, placement.session)
    code = space.space if isinstance(space, SpaceChoice) else space if isinstance(space, str) else None
    return Search(dataset, candidates, plan, settings, placement, display, content, tuple(notices), columns, code)


def _check_counts(settings: RankingSettings, architectures: int, known: int) -> None:
    """Refuse more architectures for the truth than there are."""
    asked = {"truth": (truth_count(settings.truth or "all"), known), "promote": (settings.promote, architectures)}
    for name, (count, there) in asked.items():
        if count is not None and count > there:
            raise InputError(f"`{name}={getattr(settings, name)}` asks for more than the {there} architectures")


def _columns(settings: RankingSettings, names: Sequence[str], size: int, say: Callable[[str], None]) -> Columns | None:
    """What the table of the truth has of the architectures; None without a table."""
    if settings.truth_file is None or settings.truth_column is None:
        return None
    columns = read_columns(settings.truth_file, [settings.truth_column, *settings.rank_columns], names, size)
    missing = len(names) - len(columns[settings.truth_column])
    if missing:
        say(f"{missing} of {len(names)} architectures have no {settings.truth_column} in {settings.truth_file}")
    return columns
