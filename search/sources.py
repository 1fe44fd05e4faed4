"""From the names a user gives to the sources of a ranking; missing proxy sets are built first."""

import math
import shlex
from dataclasses import dataclass
from pathlib import Path

from proxyset.builder import build_file, engine_for, identity, store_path
from proxyset.checkpoint import check_writable
from proxyset.config import say
from proxyset.data import Dataset
from proxyset.methods import METHODS, Method
from proxyset.progress import ProgressLine, duration
from proxyset.proxy import ProxySet
from proxyset.settings import Compute, InputError, nearest
from search.settings import Run, Schedule, part
from search.trial import JACOBIAN_IMAGES, Source

STORE = Path("proxysets")
TRUTH, AGAIN, EARLY = "whole", "whole-again", "early-stop"
FREE = ("params", "jacobian")  # sources that train nothing


@dataclass(frozen=True)
class Plan:
    """A proxy set that a source needs: its file, and how to build it where that is absent (None: the user's file)."""

    name: str
    path: Path
    method: Method | None = None

    @property
    def missing(self) -> bool:
        return not self.path.exists()


def plan_proxies(command: Run, dataset: Dataset) -> list[Plan]:
    """The proxy sets that `command.proxy` names, in order.

    Raises:
        InputError: an unknown name, settings that no method can work with, or a missing set under --no-build.
    """
    plans = [_plan(name, command, dataset) for name in command.proxy if name not in (EARLY, TRUTH)]
    names = [plan.name for plan in plans]
    if len(set(command.proxy)) < len(command.proxy) or len(set(names)) < len(names):
        raise InputError(f"--proxy names something twice: {' '.join(command.proxy)}")
    missing = [plan for plan in plans if plan.missing]
    if missing and not command.build:
        raise InputError(f"{str(missing[0].path)!r} does not exist; to build it: {_build_command(missing[0], command)}")
    return plans


def _plan(name: str, command: Run, dataset: Dataset) -> Plan:
    if name.endswith(".safetensors"):
        if not Path(name).is_file():
            raise InputError(f"no proxy set at {name!r}: no such file")
        return Plan(Path(name).stem, Path(name))
    if name not in METHODS:
        known = [*METHODS, EARLY, TRUTH]
        raise InputError(f"unknown proxy {name!r}: {nearest(name, known)} (or a .safetensors file)")
    fields = METHODS[name].model_fields
    own = {"iterations": command.iterations, "net": command.condense_net}
    method = METHODS[name](**{key: value for key, value in own.items() if key in fields})
    method.check(dataset.train, dataset.spec, command.ipc)
    engine = engine_for(dataset, method, command.ipc, part(command, Compute))
    facts = identity(dataset, method, command.ipc, command.seed, engine)
    return Plan(name, store_path(facts, dataset.spec.name, STORE), method)


def _build_command(plan: Plan, command: Run) -> str:
    """The command line that builds a missing proxy set."""
    assert plan.method is not None
    data = {name: getattr(command, name) for name in ("dataset", "size", "channels", "flip", "test_fraction")}
    flags = ["proxyset", "build", "--method", plan.method.name, "--ipc", str(command.ipc), "--seed", str(command.seed)]
    for name, value in (data | plan.method.model_dump(exclude_defaults=True)).items():
        if value is not None and value is not False and value is not True:
            flags += [f"--{name.replace('_', '-')}", str(value)]
    flags += [] if command.flip is None else ["--flip", str(command.flip)]
    return shlex.join([*flags, "--data-root", str(command.data_root), "--out", str(plan.path)])


def announce(plans: list[Plan], command: Run, dataset: Dataset) -> None:
    """Say what will be built, and how long it should take."""
    for plan in plans:
        if plan.missing and plan.method is not None:
            engine = engine_for(dataset, plan.method, command.ipc, part(command, Compute))
            estimate = plan.method.estimate(dataset.train, dataset.spec, command.ipc, engine)
            engine.check_memory(estimate)
            time = f", estimated: {duration(estimate.seconds)}" if estimate.seconds >= 1 else ""
            say(f"to build first: {plan.name}, {command.ipc} images per class, as {plan.path}{time}")


def provide(plan: Plan, command: Run, dataset: Dataset) -> ProxySet:
    """The proxy set of a plan, built now if it is missing; an interrupted build goes on where it stopped.

    Raises:
        InputError: it was made from other data, or is not whole.
        RunError: building failed.
    """
    if plan.missing and plan.method is not None:
        return _build(plan, plan.method, command, dataset)
    proxy = ProxySet.load(plan.path)
    if proxy.provenance.get("dataset", {}).get("sha256") != dataset.train.sha256():
        source = proxy.provenance.get("dataset", {})
        raise InputError(
            f"{str(plan.path)!r} was made from other data than {dataset.spec.name} "
            f"({source.get('source')}, size {source.get('size')}): name its data with --dataset and --size"
        )
    return proxy


def _build(plan: Plan, method: Method, command: Run, dataset: Dataset) -> ProxySet:
    check_writable(plan.path.parent)
    line = ProgressLine(plan.path.stem)
    try:
        compute = part(command, Compute)
        proxy = build_file(dataset, method, command.ipc, plan.path, seed=command.seed, compute=compute, progress=line)
    finally:
        line.close()
    say(f"{plan.path}: built in {duration(proxy.provenance['seconds'])}")
    return proxy


def make_sources(
    command: Run, schedule: Schedule, dataset: Dataset, proxies: list[tuple[Plan, ProxySet]]
) -> dict[str, Source]:
    """Every source of a ranking by its name; the truth comes last."""
    whole = len(dataset.train)
    size = len(proxies[0][1].data) if proxies else command.ipc * dataset.spec.classes
    sources = []
    for plan, proxy in proxies:
        seconds = float(proxy.provenance.get("seconds", 0.0))
        sha256, file = proxy.data.sha256(), str(plan.path)
        sources.append(Source(plan.name, "proxy", len(proxy.data), seconds, sha256=sha256, file=file))
    if EARLY in command.proxy:
        batch = min(schedule.batch_size, size)
        batches = math.ceil(size / batch)
        images = min(whole, schedule.epochs * batch * batches)
        sources.append(Source(EARLY, "early-stop", images, batch=batch, batches=batches))
    if command.free:
        sources.append(Source("params", "params"))
        sources.append(Source("jacobian", "jacobian", min(whole, JACOBIAN_IMAGES)))
    if TRUTH in command.proxy:
        sources.append(Source(AGAIN, "whole", whole))
    sources.append(Source(TRUTH, "whole", whole))
    return {source.name: source for source in sources}
