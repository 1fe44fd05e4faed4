"""`proxyset build`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from proxyset.artefact.outputs import (
    checkpoint_path,
    claim_set,
    film_path,
    film_pictures,
    is_film,
    is_picture,
    picture_path,
    trace_path,
)
from proxyset.claims import REPLACES, check_file
from proxyset.cli.app import say
from proxyset.cli.build_estimate import announce_build, estimate_build
from proxyset.cli.method import Choice, asked_for, without_a_name
from proxyset.cli.options import ConfiguredCommand, Data, LogTo, Output, Seed, extract, flatten, with_group
from proxyset.cli.parse import parse
from proxyset.cli.sets import announce, check_contest, load_set, net_of, score
from proxyset.cli.within import choose, recall
from proxyset.errors import InputError
from proxyset.methods.recommended import recommended
from proxyset.methods.registry import get_method
from proxyset.settings import Compute, Duration, KeepAs, Seeds
from proxyset.train.protocols import PAPER, Evaluation, ProtocolName
from proxyset.train.recipe import MOST_EPOCHS

if TYPE_CHECKING:
    from proxyset.artefact.build import ProxySpec
    from proxyset.artefact.proxy_set import ProxySet
    from proxyset.compute.session import Session
    from proxyset.data.spec import Dataset
    from proxyset.methods.base import Method

STORE = Path("proxysets")


class How(Seed, Choice):
    """How."""

    within: Duration | None = Field(
        None,
        title="DURATION",
        description="for each set: in place of the method's iterations, as many as this time allows, such as 20min or "
        "1h30min; with no --method, what does best in such a time",
    )
    trace: int = Field(
        0,
        ge=0,
        le=100,
        description="test a student at this many points on the way, on training images held out for that, and draw "
        "accuracy against seconds",
    )
    film: int = Field(
        0,
        ge=0,
        le=100,
        description="keep the images at this many points on the way, and draw them as a strip and as an animation",
    )
    seeds: Seeds | None = Field(None, description="build one set for each of these (default: only that of --seed)")


class Built(LogTo, Output):
    """What is written."""

    out: Path | None = Field(
        None,
        description="the set's file, with {seed} in its name where there are several "
        "(default: proxysets/DATASET-METHOD-ipcN-seedN.safetensors)",
    )
    keep_as: KeepAs = Field(
        "float32",
        description="how the file keeps values: in 4, 2 or 1 bytes each; the set that is scored is rounded so",
    )
    nets: int = Field(0, ge=0, le=10_000, description="score each finished set with this many fresh networks")
    protocol: ProtocolName = Field(
        PAPER, description="how these are trained; `proxyset eval` has more choices, and says what they are"
    )
    resume: bool = Field(False, description="go on where an interrupted run stopped; finished sets are kept")
    checkpoint_every: int = Field(
        10, ge=1, le=MOST_EPOCHS, description="iterations (epochs for coresets) between two checkpoints"
    )


class Build(ConfiguredCommand):
    """Condense a dataset into a few images per class."""

    examples = (
        "proxyset build",
        "proxyset build --dataset mnist --net convnet-w32 --iterations 200 --nets 20",
        "proxyset build --dataset my_images/ --size 32 --net convnet-w32 --iterations 200",
        "proxyset build --dataset my_images/ --size 32 --net convnet-w32 --method herding --ipc 10",
        "proxyset build --method my_module:MyMethod --help",
    )

    data: Data = Field(Data(), title="what you condense")
    how: How = Field(How(), title="how")
    compute: Compute = Field(Compute(), title="where it runs")
    output: Built = Field(Built(), title="output")


def build_command(argv: list[str]) -> None:
    wanted_method = asked_for(argv)
    method_class = get_method(without_a_name(argv) if wanted_method is None else wanted_method)
    name = method_class.name
    command = parse(with_group(Build, method_class, f"flags of method {name}", "method"), argv, "proxyset build")
    from proxyset.artefact.build import ProxySpec
    from proxyset.compute.session import Session
    from proxyset.data.advice import no_test_images
    from proxyset.data.load import load

    session = Session(command.compute)  # refuses a device that is not there before anything is read
    seeds = command.how.seeds or (command.how.seed,)
    _check_out(command, seeds)
    dataset = load(command.data.dataset, progress=True, **command.data.choices())
    method = extract(command, method_class)
    if wanted_method is None and command.how.within is not None:
        problem = ProxySpec(dataset, method, command.how.ipc, trace=command.how.trace).problem
        method, why = recommended(method, problem, command.how.within)
        say(why)
    sets = _wanted(command, dataset, method, seeds)
    if command.output.nets and not len(dataset.test):
        raise no_test_images(dataset.spec.name, dataset.source, "or leave out `nets`")
    within = command.how.within
    if within is not None and command.output.resume:
        sets, session = recall(sets, within, session)
    with ExitStack() as claims:
        todo = {path: spec for path, spec in sets.items() if _must_build(command, path, spec, session, claims)}
        if within is not None:
            finished = {path: sets[path] for path in sets if path not in todo}
            todo, session = choose(todo, finished, within, session)
        estimated = estimate_build(todo, session, resume=command.output.resume) if within is None else []
        announce_build(next(iter((todo or sets).values())), session)
        for line in estimated:
            say(line)
        for path in sets:
            if path in todo:
                _build_one(command, todo[path], path, session, argv)
            else:
                say(f"{path}: already built")
                _draw(command, load_set(path), path)
    if command.output.nets:  # each score claims the file that keeps it
        _score(command, list(sets), dataset, session)
    elif command.output.as_json:
        print(json.dumps([{"file": str(path), **load_set(path).provenance} for path in sets]))
    for path in sets:
        say(f"{path}\n{picture_path(path)}")


def _check_out(command: Build, seeds: Sequence[int]) -> None:
    """Refuse what --out names before images are read, which can take minutes."""
    for path in [_named(command, seed) for seed in seeds]:
        if path is not None and not (command.output.resume or command.output.force):
            claim_set(path).release()


def _wanted(command: Build, dataset: Dataset, method: Method, seeds: Sequence[int]) -> dict[Path, ProxySpec]:
    """The sets, by their files: one for each seed."""
    from proxyset.artefact.build import ProxySpec

    how, keep_as = command.how, command.output.keep_as
    sets = [ProxySpec(dataset, method, how.ipc, seed, keep_as, trace=how.trace, film=how.film) for seed in seeds]
    method.check(sets[0].problem)
    return {_output(command, spec): spec for spec in sets}


def _output(command: Build, wanted: ProxySpec) -> Path:
    """The artefact's file for one seed."""
    return _named(command, wanted.seed) or STORE / f"{wanted.stem}.safetensors"


def _named(command: Build, seed: int) -> Path | None:
    """What --out says for a seed, for which `{seed}` in it stands; None where it says nothing."""
    out = command.output.out
    if out is None:
        return None
    if len(command.how.seeds or ()) > 1 and "{seed}" not in str(out):
        raise InputError("with several `seeds`, `out` needs '{seed}' in its name, such as sets/mine-{seed}.safetensors")
    path = Path(str(out).replace("{seed}", str(seed)))
    if path.suffix != ".safetensors":
        raise InputError(f"`out` names the artefact's file, which ends in .safetensors, got {str(path)!r}")
    return path


def _must_build(command: Build, path: Path, wanted: ProxySpec, session: Session, claims: ExitStack) -> bool:
    """Claim `path`; whether there is work to do for it; an error where doing it could lose something.

    --resume keeps a finished set of the same work, --force replaces one of other work; to go on after an
    interrupted --force takes both.
    """
    from proxyset.artefact.same import is_same

    resume, force = command.output.resume, command.output.force
    existed = claims.enter_context(claim_set(path, resume=resume, force=force)).existed
    pictures = [trace_path(path)] if command.how.trace else []
    pictures += film_pictures(path) if command.how.film else []
    if command.how.film or command.how.trace:
        check_file(film_path(path), kind="film", made_by_us=is_film, force=resume or force, hint=REPLACES)
    for picture in pictures:
        check_file(picture, kind="picture", made_by_us=is_picture, force=resume or force, hint=REPLACES)
    if not resume or checkpoint_path(path).exists():
        return True
    if not existed:
        say(f"{path.absolute()}: nothing to go on from, built from the start")
        return True
    if is_same(load_set(path), wanted, session):
        return False
    if not force:
        raise InputError(f"{str(path)!r} exists and is of other work: `force=True` replaces it, `out` names another")
    return True


def _build_one(command: Build, wanted: ProxySpec, path: Path, session: Session, argv: list[str]) -> None:
    from proxyset.artefact.build import build_claimed
    from proxyset.loggers import Logged, Subject, logging_to
    from proxyset.progress import ProgressLine, duration

    line, output = ProgressLine(path.stem), command.output
    force = output.force and not output.resume
    subject = Subject(path.stem, path.parent, flatten(command) | {"seed": wanted.seed})
    with logging_to(output.log_to, subject) as log:
        try:
            show, every = Logged(line, log), output.checkpoint_every
            proxy = build_claimed(wanted, path, session=session, progress=show, every=every, force=force)
        except KeyboardInterrupt as stop:
            again = [*(argument for argument in argv if argument != "--resume"), "--resume"]
            what = str(stop) or "interrupted"
            raise KeyboardInterrupt(f"{what}; to go on: proxyset build {shlex.join(again)}") from None
        finally:
            line.close()
        for row in proxy.provenance.get("trace", []):
            log({"held-out accuracy": row["accuracy"]}, round(row["iteration"]))
    _draw(command, proxy, path)
    say(f"{path.stem}: built in {duration(proxy.provenance['seconds'])}")


def _draw(command: Build, proxy: ProxySet, path: Path) -> None:
    """Also where the set was there already: a kill may have come before the picture, or left that of an older set."""
    from proxyset.artefact.film import read_film
    from proxyset.report.curves import save_trace
    from proxyset.report.figures import save_preview, title_of
    from proxyset.report.film import save_animation, save_strip

    save_preview(proxy, picture_path(path))
    if proxy.provenance.get("trace"):
        say(str(save_trace(proxy, trace_path(path))))
    if command.how.film and film_path(path).exists():
        frames, (strip, animation) = read_film(film_path(path)), film_pictures(path)
        say(str(save_strip(frames, proxy.spec, title_of(proxy), strip)))
        say(str(save_animation(frames, proxy.spec, animation)))


def _score(command: Build, paths: list[Path], dataset: Dataset, session: Session) -> None:
    from proxyset.report.scores import Contest

    proxies = {str(path): load_set(path) for path in paths}
    nets = (net_of(proxies[str(paths[0])]),)
    protocol = Evaluation(nets=command.output.nets, protocol=command.output.protocol)
    contest = Contest(dataset, protocol, nets, command.how.seed)
    check_contest(proxies, (), contest, session)
    announce(proxies, (), contest, session)
    score(proxies, (), contest, session, command.output.as_json)
