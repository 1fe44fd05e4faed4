"""What the commands do with proxy sets in files: read them, find their real data, score them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proxyset.errors import InputError

if TYPE_CHECKING:
    from proxyset.artefact.proxy_set import ProxySet
    from proxyset.compute.session import Session
    from proxyset.data.spec import Dataset
    from proxyset.report.scores import Contest


BEFORE_RESIZE = {"resize": "stretch"}  # what sets were made with that do not say it


def check_distinct(paths: Sequence[Path]) -> None:
    """Raise `InputError` where a file is given twice."""
    places = [path.resolve() for path in paths]
    if twice := [path for number, path in enumerate(paths) if places[number] in places[:number]]:
        raise InputError(f"{str(twice[0])!r} is given twice")


def by_name(paths: Sequence[Path]) -> dict[str, Path]:
    """Each by its file's name, or by all of its path where two have the same."""
    alike = len({path.stem for path in paths}) < len(paths)
    return {str(path) if alike else path.stem: path for path in paths}


def load_set(path: Path) -> ProxySet:
    """
    Raises:
        InputError: no file given, or no whole proxy set in it.
    """
    from proxyset.artefact.proxy_set import ProxySet

    if path == Path():
        raise InputError("no proxy set given: name its .safetensors file")
    return ProxySet.load(path)


def real_data(proxies: Mapping[str, ProxySet], place: str | None, data_root: Path) -> Dataset:
    """The dataset that proxy sets (by file) were made from, described as they describe it.

    Args:
        place: its name or path; None: where it was when the sets were built.

    Raises:
        InputError: a set does not say what it was made from, they differ, or what is at `place` is other data.
    """
    from proxyset.data.choice import Form
    from proxyset.data.load import load

    for file, proxy in proxies.items():
        if "dataset" not in proxy.provenance:
            raise InputError(f"{file!r} does not say which data it was built from, so it cannot be scored here")
    (file, proxy), *others = proxies.items()
    for other, another in others:
        if _content(another) != _content(proxy):
            raise InputError(f"{other!r} was built from different data than {file!r}: score them in separate calls")
    spec, source = proxy.spec, proxy.provenance["dataset"]
    if place is None and "source" not in source:
        raise InputError(f"{file!r} was built from images in memory: `dataset` says where they are")
    recorded = {name: source[name] for name in Form.__annotations__ if name in source}
    form = BEFORE_RESIZE | recorded | {"size": spec.size, "channels": spec.channels, "flip": spec.flip}
    try:
        dataset = load(place or source["source"], data_root=data_root, progress=True, **form)
    except InputError as error:
        raise error if place else InputError(f"{error}; `dataset` names another place") from None
    if dataset.sha256 != source["sha256"]:
        if parts := {"classes", "limit", "kept"} & source.keys():
            raise InputError(
                f"{file!r} was built from a part of {dataset.spec.name} ({', '.join(sorted(parts))}), a task of a "
                "stream, which has no test images of its own here: `continual` scores it"
            )
        raise InputError(
            f"{dataset.spec.name} is not the data that {file!r} was built from: it has changed since "
            "then, or `dataset` says where that is"
        )
    return replace(dataset, spec=replace(spec, name=dataset.spec.name))


def _content(proxy: ProxySet) -> tuple[Any, ...]:
    """What two sets must share to be tested on the same images: the data, and how they are normalised and flipped."""
    form = {key: value for key, value in asdict(proxy.spec).items() if key != "name"}
    return proxy.provenance["dataset"]["sha256"], form


def check_code(proxies: Mapping[str, ProxySet], settings: Sequence[str], trust: bool) -> None:
    """Refuse sets (by file) that name code which would be imported, where nobody says that they may.

    Args:
        settings: which of theirs are used.

    Raises:
        InputError: one of them is `package.module:name`.
    """
    from proxyset.registry import is_reference

    for file, proxy in proxies.items():
        made_with = proxy.provenance.get("settings", {})
        code = next(filter(is_reference, (str(made_with.get(name, "")) for name in settings)), None)
        if code is not None and not trust:
            raise InputError(f"{file!r} names code that would be run: {code}; if you trust it: `trust=True`")


def net_of(proxy: ProxySet) -> str:
    """The network that a set was made with; the paper's where its method has none."""
    net = proxy.provenance.get("settings", {}).get("net")
    return net if isinstance(net, str) else "convnet"


def common_net(proxies: Mapping[str, ProxySet]) -> str:
    """The network that all of some sets were made with.

    Raises:
        InputError: they were made with different ones, and scores by different networks make no table.
    """
    nets = {path: net_of(proxy) for path, proxy in proxies.items()}
    if len(set(nets.values())) > 1:
        which = ", ".join(f"{path}: {net}" for path, net in nets.items())
        raise InputError(f"the sets were made with different networks ({which}): name with `net` what scores them all")
    return next(iter(nets.values()))


def check_contest(
    proxies: Mapping[str, ProxySet], baselines: Sequence[str], contest: Contest, session: Session
) -> None:
    """Refuse what cannot be scored before anything is.

    Raises:
        InputError: no test images; an unknown network, baseline or augmentation, or one that does not suit the images.
    """
    from proxyset.data.advice import no_test_images
    from proxyset.data.augment import operations
    from proxyset.nets.build import check_net
    from proxyset.nets.depth import say_if_shallow
    from proxyset.report.scores import check_baselines

    spec = contest.dataset.spec
    if not len(contest.dataset.test):
        raise no_test_images(spec.name, contest.dataset.source)
    for net in contest.nets:
        check_net(net, **spec.shape)
        say_if_shallow(session.say_once, net, spec)
    check_baselines(baselines, contest.dataset, list(proxies.values()))
    operations(contest.protocol.augment, spec.flip)


def announce(proxies: Mapping[str, ProxySet], baselines: Sequence[str], contest: Contest, session: Session) -> None:
    """What is scored on what, where, and how long it will take."""
    from proxyset.cli.announce import announce_scores, say_score_estimate
    from proxyset.report.estimate import estimate_scores
    from proxyset.report.scores import sizes, teachers_missing

    scored = sizes(proxies, baselines, contest)
    announce_scores(scored, baselines, contest)
    estimate = estimate_scores(scored, contest, session)
    seconds = estimate.seconds + teachers_missing(proxies, baselines, contest, session)
    say_score_estimate(estimate.model_copy(update={"seconds": seconds}), contest, session)


def score(
    proxies: Mapping[str, ProxySet],
    baselines: Sequence[str],
    contest: Contest,
    session: Session,
    as_json: bool,
    write: Callable[[list[dict[str, Any]], bool], None] = lambda rows, whole: None,
) -> list[dict[str, Any]]:
    """Score the sets (by file) and the baselines with every network, keep the files' scores, print the table.

    What there is by then is printed too where the rest is interrupted, or fails.

    Args:
        write: is given the rows that there are in the end, if any, and whether they are all.

    Returns:
        The rows of `score_all`.
    """
    from proxyset.progress import ProgressLine
    from proxyset.report.scores import contenders, score_each
    from proxyset.report.tables import print_scores

    rows: list[dict[str, Any]] = []
    whole = False
    try:
        for row in score_each(contenders(dict(proxies), baselines, contest, session), contest, session, ProgressLine):
            rows.append(row)  # one by one: an interruption leaves those before it
        whole = True
    finally:
        if rows:
            print_scores(rows, contest.nets)
            write(rows, whole)
    if as_json:
        print(json.dumps(rows))
    return rows
