"""From what a user names as proxies to proxy sets: files, objects, and sets that are built if they do not exist yet."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from proxyset.advice import advice
from proxyset.artefact.build import ProxySpec
from proxyset.artefact.outputs import keep_folder
from proxyset.artefact.proxy_set import ProxySet
from proxyset.artefact.store import is_same, load_or_build, store_path, tidy
from proxyset.compute.session import Session
from proxyset.data.spec import Dataset
from proxyset.errors import InputError, nearest
from proxyset.methods.base import Method
from proxyset.methods.preparation import preparation_seconds
from proxyset.methods.registry import METHODS, get_method
from proxyset.names import clean_name
from proxyset.nets.build import check_net
from proxyset.progress import Progress, duration
from proxyset.registry import import_object, is_reference
from proxyset.settings import short
from search.advice import cheaper_sets
from search.places import NEW, STORE, Begun
from search.settings import RankingSettings
from search.sources.base import Source
from search.sources.registry import SOURCES, beside, get_source, is_source
from search.sources.trained import AGAIN, SCORED, TEST, TRAIN, TRUTH, VALIDATION, WholeSet

SUFFIX = ".safetensors"
RESERVED = (AGAIN, TRAIN, TEST, VALIDATION, SCORED, "sha256")  # besides the names of sources

SetLike = str | Path | Method | ProxySet
ProxyLike = SetLike | type[Source]
Proxies = Sequence[ProxyLike] | Mapping[str, ProxyLike]
"""Methods (a name, `package.module:Class`, or a method with its settings), proxy sets (a file, or an object), and other
sources (a name such as early-stop, `package.module:Class`, or a class); as a mapping, with the names that the tables
should have."""


class MissingProxy(InputError):
    """A proxy set does not exist and must not be built; the message ends with the command that builds it."""


@dataclass(frozen=True)
class PlannedProxy:
    """A proxy set that a ranking needs.

    Attributes:
        name: as in the tables.
        path: where it lies, or will lie (None: it is only in memory).
        wanted: what to build where the file is absent (None: a user's set).
        given: the set, where it was given as an object or a file, or is already built.
    """

    name: str
    path: Path | None = None
    wanted: ProxySpec | None = None
    given: ProxySet | None = None

    @property
    def missing(self) -> bool:
        return self.given is None

    def saw_more(self, dataset: Dataset) -> bool:
        """Whether it was made from more than `dataset`: from the images that are held out of it, too."""
        return self.given is not None and self.given.provenance.get("dataset", {}).get("sha256") != dataset.sha256


@dataclass(frozen=True)
class SourcePlan:
    """What the rankings will come from, before anything is built.

    Attributes:
        named: sources that need no proxy set, by the names that the tables should have.
    """

    proxies: tuple[PlannedProxy, ...]
    named: Mapping[str, type[Source]] = field(default_factory=dict)


def plan_sources(
    proxies: Proxies,
    dataset: Dataset,
    settings: RankingSettings,
    session: Session,
    whole: str | None = None,
    begun: Begun = NEW,
) -> SourcePlan:
    """What `proxies` means, in order.

    Args:
        dataset: what missing sets are made from: without the images that are held out.
        whole: hash of the training split with them; a set that is given may be made from that.
        begun: the sets of the run that goes on.

    Raises:
        InputError: nothing is named, or something unknown or twice; settings that no method can work with; a set that
            is damaged or of other data; a missing set where `settings.build` is off, or on which the run began.
    """
    if settings.condense_net is not None:
        try:
            check_net(settings.condense_net, **dataset.spec.shape)
        except InputError as error:
            raise InputError(f"`condense_net`: {error}") from None
    named = list(proxies.items()) if isinstance(proxies, Mapping) else [("", proxy) for proxy in proxies]
    planned: list[PlannedProxy] = []
    words: list[tuple[str, type[Source]]] = []
    for name, proxy in named:
        known = _known_source(proxy)
        if isinstance(known, tuple):
            words.append((name or known[0], known[1]))
            _check_name(words[-1][0], proxy)
            if issubclass(known[1], WholeSet) and name not in ("", TRUTH):
                raise InputError(f"`whole` is the noise ceiling, which has no other name, got {short(name)}")
        else:
            planned.append(_plan(name, known, dataset, settings, session, whole=whole, begun=begun))
    names = [*(name for name, _ in words), *(one.name for one in planned)]
    if not names:
        raise InputError("`proxy` names at least one source of a ranking, such as dsa")
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise InputError(f"{repeated!r} is among the proxies twice")
    free = beside((), settings.free)
    taken = next((name for name in settings.rank_columns if name in (*names, *free, *RESERVED, TRUTH)), None)
    if taken is not None:
        raise InputError(f"`rank_columns` has {taken!r}, and another ranking is called so: rename the column")
    _check_build(planned, settings, begun)
    return SourcePlan(tuple(planned), dict(words))


def _known_source(proxy: ProxyLike) -> tuple[str, type[Source]] | SetLike:
    """The name and the class of a source that needs no proxy set; anything else as it is."""
    if isinstance(proxy, str) and proxy in SOURCES:
        return proxy, get_source(proxy)
    if isinstance(proxy, str) and is_reference(proxy):
        kind = import_object(proxy, "method")
        return (proxy.rpartition(":")[2], kind) if is_source(kind) else proxy
    if isinstance(proxy, str | Path | Method | ProxySet):
        return proxy
    return proxy.__name__, proxy


def _check_name(name: str, proxy: ProxyLike) -> None:
    """Refuse what means something else: only the sources of that name may be called so."""
    if name in RESERVED or (name in SOURCES and name != proxy):
        raise InputError(f"a proxy cannot be called {name!r}, which has a meaning here: give it another name")
    if not name.strip() or clean_name(name) != name:
        raise InputError(f"a proxy's name is one line of at most 80 characters, got {short(name)}")


def _plan(
    name: str,
    proxy: SetLike,
    dataset: Dataset,
    settings: RankingSettings,
    session: Session,
    *,
    whole: str | None,
    begun: Begun,
) -> PlannedProxy:
    if isinstance(proxy, ProxySet):
        known = str(proxy.provenance.get("method", "proxy"))
        plan = PlannedProxy(name or known, given=_of(dataset, proxy, "given", whole))
    elif isinstance(proxy, Path) or (isinstance(proxy, str) and proxy.endswith(SUFFIX)):
        file = begun.given(name or Path(proxy).stem, Path(proxy))
        if not file.is_file():
            raise InputError(f"no proxy set at {str(proxy)!r}: no such file")
        plan = PlannedProxy(name or file.stem, file, given=_of(dataset, ProxySet.load(file), file, whole))
    else:
        method = _method(proxy, settings) if isinstance(proxy, str) else proxy
        wanted = ProxySpec(dataset, method, settings.ipc, settings.seed)
        method.check(wanted.problem)
        name = name or method.name
        path = begun.built(name, lambda store: store_path(wanted, session, store))
        if path == begun.sets.get(name) and path.exists() and not is_same(ProxySet.load(path), wanted, session):
            path = store_path(wanted, session, STORE)  # other data, which the run refuses before anything is built
        plan = PlannedProxy(name, path, wanted, _built(path, wanted, session))
    _check_name(plan.name, proxy)
    return plan


def _of(dataset: Dataset, proxy: ProxySet, where: SetLike, whole: str | None) -> ProxySet:
    """The set, which must be made from this dataset, with or without the images that are held out of it."""
    source = proxy.provenance.get("dataset", {})
    if source.get("sha256") not in (dataset.sha256, whole or dataset.sha256):
        raise InputError(
            f"the proxy set {str(where)!r} was made from other data than {dataset.spec.name} "
            f"(`dataset={source.get('source')}`, `size={source.get('size')}`)"
        )
    return proxy


def _built(path: Path, wanted: ProxySpec, session: Session) -> ProxySet | None:
    """The set that an earlier search built, or None."""
    if not path.exists():
        return None
    proxy = ProxySet.load(path)
    if not is_same(proxy, wanted, session):
        raise InputError(f"{str(path)!r} is another proxy set than its name says: move it away")
    return proxy


def _method(name: str, settings: RankingSettings) -> Method:
    """The method of that name, with the settings that a search has for methods."""
    if not METHODS.knows(name):
        known = [*METHODS, *SOURCES]
        raise InputError(
            f"unknown proxy {name!r}: {nearest(name, known)} (or a {SUFFIX} file, or package.module:Class)"
        )
    method = get_method(name)
    values = {"iterations": settings.iterations, "net": settings.condense_net}
    return method(**{key: value for key, value in values.items() if key in method.model_fields and value is not None})


def _check_build(planned: Sequence[PlannedProxy], settings: RankingSettings, begun: Begun) -> None:
    lost = next((one for one in planned if one.missing and one.path == begun.sets.get(one.name)), None)
    if lost is not None:
        back = "put it back" if begun.sets[lost.name].is_absolute() else "go on from the folder that has it"
        raise MissingProxy(
            f"{str(lost.path)!r} does not exist, the proxy set {lost.name!r} that this run began with: {back}, or to "
            f"build it again: {_build_command(lost)}"
        )
    missing = next((one for one in planned if one.missing), None)
    if missing is not None and not settings.build:
        raise MissingProxy(f"{str(missing.path)!r} does not exist; to build it: {_build_command(missing)}")


def _build_command(plan: PlannedProxy) -> str:
    """The command line that builds a missing proxy set."""
    assert plan.wanted is not None
    dataset, method = plan.wanted.dataset, plan.wanted.method
    if "source" not in dataset.source:
        return "proxyset.build in Python, where the images are"
    name = method.name if method.name in METHODS else f"{type(method).__module__}:{type(method).__qualname__}"
    words = ["proxyset", "build", "--method", name, "--ipc", str(plan.wanted.ipc), "--seed", str(plan.wanted.seed)]
    data = {"dataset" if key == "source" else key: value for key, value in dataset.source.items()}
    for key, value in (data | method.model_dump(exclude_defaults=True)).items():
        flag = key.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif value is not None:
            words += [f"--{flag}", str(value)]
    return shlex.join([*words, "--out", str(plan.path)])


def announce(plans: Sequence[PlannedProxy], session: Session) -> list[str]:
    """What will be built and how long it should take, in lines; with advice, where that is long.

    Raises:
        InputError: it needs more memory than the limit allows.
    """
    lines, seconds = [], 0.0
    for plan in plans:
        if plan.missing and plan.wanted is not None:
            wanted, engine = plan.wanted, plan.wanted.engine(session)
            estimate = wanted.method.estimate(wanted.problem, session, engine)
            engine.check_memory(estimate)
            took = estimate.seconds + _preparing(plan, session)
            time = f", estimated: {duration(took)}" if took >= 1 else ""
            lines.append(f"to build first: {plan.name}, {wanted.ipc} images per class, as {plan.path}{time}")
            seconds += took
    shorter = advice(seconds, cheaper_sets([plan.wanted.method for plan in plans if plan.missing and plan.wanted]))
    return [*lines, *([shorter] if shorter else [])]


def seconds_to_build(plans: Sequence[PlannedProxy], session: Session) -> list[tuple[float, float]]:
    """Estimated, for each of those that are missing: what its networks take that are trained first, and its steps."""
    return [
        (_preparing(plan, session), one.method.estimate(one.problem, session, one.engine(session)).seconds)
        for plan in plans
        if plan.missing and (one := plan.wanted) is not None
    ]


def _preparing(plan: PlannedProxy, session: Session) -> float:
    """Seconds of what is not kept yet of the networks that a missing set needs."""
    if plan.wanted is None or plan.path is None:
        return 0.0
    return preparation_seconds(plan.wanted.method, plan.wanted.problem, session, keep_folder(plan.path))


def obtain(plan: PlannedProxy, session: Session, progress: Progress) -> ProxySet:
    """The proxy set of a plan, built now if it is missing; an interrupted build goes on where it stopped.

    Raises:
        InputError, RunError: as `build_file`.
    """
    if plan.given is not None:
        if plan.wanted is not None and plan.path is not None:
            tidy(plan.given, plan.path)
        return plan.given
    assert plan.wanted is not None
    assert plan.path is not None
    return load_or_build(plan.wanted, plan.path, session=session, progress=progress)
