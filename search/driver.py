"""One search from what was asked to its rows: choose, build, train."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from proxyset.advice import advice
from proxyset.artefact.proxy_set import ProxySet
from proxyset.compute.parallel import check_resources, ray_running
from proxyset.data.images import ImageSet
from proxyset.data.spec import Dataset
from proxyset.errors import InputError
from proxyset.progress import closing, duration, shown
from proxyset.seeds import make_generator, sample
from search.advice import cheaper_trials
from search.final import train_finally
from search.finals import read_finals
from search.folder import PLAN, SOURCES, RunFolder
from search.jobs import estimate, first_jobs, next_rungs, promoted, seconds_per_image, together_jobs
from search.keeper import Keeper
from search.placement import Placement
from search.places import places_of
from search.preparation import Search
from search.records import PLACES
from search.scores import mean_scores
from search.settings import MAY_CHANGE, RankingSettings
from search.sources.halving import RUNGS
from search.sources.make import make_sources
from search.sources.proxies import announce, obtain
from search.sources.trained import AGAIN, SCORED, TEST, TRAIN, VALIDATION
from search.together import budget, run_together
from search.trial import Job, Row, TrialContext, pack
from search.within import TimeIsUp
from search.workers import run_trials


def carry_out(search: Search, folder: RunFolder, config: dict[str, Any], over: bool = False) -> None:
    """Build the proxy sets that are missing and run every trial that has no row in the folder yet.

    Everything is checked before the first write, and a run that was refused leaves nothing in the folder.

    Args:
        config: what the folder keeps of the settings; a run that goes on must have the same.
        over: start over in place of going on.

    Raises:
        InputError: the folder's run has other settings, data or proxy sets, or is damaged.
        RunError: the work could not go on; what is finished is kept.
    """
    plan = {"data": search.content, "names": [candidate.name for candidate in search.candidates]}
    if over or "test" in (folder.read(PLAN) or {"test": ""}):  # runs of before do not say it
        plan["test"] = search.dataset.test_sha256
    if not over:
        folder.check(config, plan, MAY_CHANGE)
    notices = [*search.notices, *announce(search.plan.proxies, search.placement.session)]
    with _cluster(search.placement):
        for line in notices:
            search.display.say(line)
        proxies = None
        if over:
            proxies = _obtained_first(search)
            folder.clear()
        new = not folder.begun
        try:
            folder.begin(config | {PLACES: places_of(config, search.dataset.source.get("source"))}, plan)
            _carry_on(search, folder, proxies)
        except InputError:
            if new and not folder.rows():
                folder.discard()
            raise


def _carry_on(search: Search, folder: RunFolder, proxies: list[ProxySet] | None) -> None:
    """What is left to do of a run that has begun.

    Args:
        proxies: the proxy sets (None: they are still to be read or built).
    """
    folder.drop_torn_row()
    _warn_of_threads(search, folder.rows())
    context = _context(search, folder, _obtained(search) if proxies is None else proxies)
    with _until(search, "trials are left"):
        later = _on_rungs(context, folder)
        jobs = first_jobs(context)
        if search.settings.promote and folder.unfinished(jobs):
            rankings = {job.source for job in jobs} - {AGAIN}
            most = min(search.settings.promote * len(rankings), len(search.candidates))
            _say_networks("in the end, up to ", most, context, search)
        _run(jobs, context, search, folder, later)
        for number in range(1, RUNGS if search.settings.halving else 1):
            scores = mean_scores(folder.rows(), list(context.candidates))
            _run(next_rungs(context, number, scores), context, search, folder)
        _run_together(context, search, folder)
    if search.settings.promote:
        with _until(search, "networks are left"):
            _finish(context, search, folder)


def _on_rungs(context: TrialContext, folder: RunFolder) -> list[Job]:
    """As many trials as are left on later rungs, for the estimate: which architectures they are of is not known yet."""
    if not context.settings.halving:
        return []
    later = [job for number in range(1, RUNGS) for job in next_rungs(context, number)]
    sources = {job.source for job in later}
    return later[sum(row["source"] in sources for row in folder.rows()) :]


@contextlib.contextmanager
def _until(search: Search, left: str) -> Iterator[None]:
    """Work that a time limit may end."""
    try:
        yield
    except TimeIsUp as up:
        search.display.say(f"{up}: {left}, which `resume` takes up")


@contextlib.contextmanager
def _cluster(placement: Placement) -> Iterator[None]:
    """The cluster that the trials run on, if any, joined before the work, so that a mistake is found before it."""
    if placement.here or placement.pool.address is None:
        yield
        return
    with ray_running(placement.pool):
        check_resources(placement.pool)
        yield


def _context(search: Search, folder: RunFolder, proxies: Sequence[ProxySet]) -> TrialContext:
    """What the trials share."""
    dataset = search.dataset
    sources = make_sources(search.plan, proxies, dataset, search.settings, search.columns)
    folder.write_once(SOURCES, {name: source.facts() for name, source in sources.items()}, "a proxy set")
    sets = {plan.name: pack(proxy.data.unfold()) for plan, proxy in zip(search.plan.proxies, proxies, strict=True)}
    sets |= {TRAIN: pack(dataset.train), TEST: pack(dataset.test)}
    if dataset.validation is not None:
        sets[VALIDATION] = pack(dataset.validation)
    scored = scored_on(dataset, search.settings)
    if scored is not dataset.judge:
        sets[SCORED] = pack(scored)
    by_name = {candidate.name: candidate for candidate in search.candidates}
    return TrialContext(dataset.spec, search.settings, sets, sources, by_name)


def _obtained(search: Search) -> list[ProxySet]:
    """The proxy sets, built where they are missing."""
    proxies, display = [], search.display
    for plan in search.plan.proxies:
        missing, line = plan.missing, shown(display.progress, plan.name)
        with closing(line):
            proxies.append(obtain(plan, search.placement.session, line))
        if missing:
            display.say(f"{plan.name}: built in {duration(proxies[-1].provenance['seconds'])}")
    return proxies


def _obtained_first(search: Search) -> list[ProxySet]:
    """The proxy sets of a run that takes the place of another, which stays until nothing can be refused any more."""
    try:
        return _obtained(search)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("interrupted; nothing is replaced yet: the same command goes on") from None


def scored_on(dataset: Dataset, settings: RankingSettings) -> ImageSet:
    """The images that trials are scored on: those held out, or the test split; of them so many, drawn once."""
    judge, count = dataset.judge, settings.score_images
    if count is None or count >= len(judge):
        return judge
    return judge[sample(len(judge), count, make_generator(settings.seed, "scored"))]


def _warn_of_threads(search: Search, rows: Sequence[Row]) -> None:
    """Say it where trials will run with another number of threads than those that are done."""
    before = {row["threads"] for row in rows if row.get("threads")} - {search.placement.threads}
    if before:
        search.display.say(
            f"trials ran with {', '.join(map(str, sorted(before)))} threads before, and do with "
            f"{search.placement.threads} now: bits can differ from those of an uninterrupted run"
        )


def _run(
    jobs: Sequence[Job], context: TrialContext, search: Search, folder: RunFolder, later: Sequence[Job] = ()
) -> None:
    """Run the trials that have no row yet, here or with Ray.

    Args:
        later: what will be run after them, for the estimate.
    """
    placement, say = search.placement, search.display.say
    left = folder.unfinished(jobs)
    if not left:
        return
    if len(left) < len(jobs):
        say(f"{len(jobs) - len(left)} of {len(jobs)} trials are already done")
    if placement.pool.address is None:
        seconds = estimate([*left, *later], context, placement)
        count = len(left) + len(later)
        say(f"{count} trials on {placement.device}, {placement.at_once} at once, estimated: {duration(seconds)}")
        if shorter := advice(seconds, cheaper_trials(context.settings, len(context.candidates))):
            say(shorter)
    keeper = Keeper(folder, len(left), shown(search.display.progress, "trials"), search.limit)
    with closing(keeper.line):
        run_trials(left, context, placement, keeper)


def _run_together(context: TrialContext, search: Search, folder: RunFolder) -> None:
    """Halve the architectures on the whole set, if that was asked for and is not done."""
    left = folder.unfinished(together_jobs(context))
    if left:
        whose, seconds = budget(folder.rows(), context, search.placement)
        if search.limit is not None:
            seconds = min(seconds, search.limit.left_for_trials())
        search.display.say(f"{left[0].source}: {len(left)} architectures for {duration(seconds)}, as {whose} took")
        run_together(left, context, search.placement, seconds, lambda row, running: folder.append(row))


def _say_networks(words: str, count: int, context: TrialContext, search: Search) -> None:
    """How many networks are trained to be kept, and how long that takes on this machine."""
    how_long = ""
    if search.placement.pool.address is None:
        images = count * (search.settings.final_epochs or 1) * len(search.dataset.train)
        seconds = images * seconds_per_image(context, search.placement) / min(search.placement.at_once, count)
        how_long = f", estimated: {duration(seconds)}"
    search.display.say(f"{words}{count} networks are trained on the whole set to be kept{how_long}")


def _finish(context: TrialContext, search: Search, folder: RunFolder) -> None:
    """Train the best of every ranking to be kept, as far as they are not."""
    names, done = promoted(context, folder.rows()), read_finals(folder.path)
    kept = {row["name"] for row in done if row["error"] is None}  # what failed is tried again
    left = {name: place for place, name in enumerate(names) if name not in kept}
    if not left:
        return
    if search.limit is not None and search.limit.left() < 0:
        raise TimeIsUp("the time is up")
    _say_networks("", len(left), context, search)
    line = shown(search.display.progress, "final training")
    with closing(line):
        train_finally(left, context, search, folder, line)
