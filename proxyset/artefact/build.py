"""From a dataset and a method to a proxy set with its provenance."""

import datetime
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from proxyset import __version__
from proxyset.artefact.clock import Clock
from proxyset.artefact.film import Film
from proxyset.artefact.outputs import checkpoint_path, claim_set, film_path, keep_folder
from proxyset.artefact.proxy_set import ProxySet
from proxyset.artefact.same import PLAIN, is_same
from proxyset.artefact.starting import read_start
from proxyset.artefact.storage import check_keep_as, rounded
from proxyset.artefact.trace import Trace, marks, split
from proxyset.checkpoint import EVERY, Checkpoint, State
from proxyset.compute.memory import peak_memory
from proxyset.compute.plan import Engine
from proxyset.compute.session import Session
from proxyset.data.images import ImageSet
from proxyset.data.spec import Dataset
from proxyset.errors import InputError, RunError, interruptible
from proxyset.methods.base import DEFAULT_NET, Context, Method, Problem
from proxyset.methods.registry import get_method
from proxyset.methods.synthesis import LearnedMethod
from proxyset.methods.teacher import make
from proxyset.progress import Progress, shown
from proxyset.seeds import make_generator
from proxyset.settings import KeepAs
from proxyset.tensors import digest_of

if TYPE_CHECKING:
    from proxyset.methods.base import Watch


@dataclass(frozen=True)
class ProxySpec:
    """Which proxy set is wanted. It may or may not exist yet."""

    dataset: Dataset
    method: Method
    ipc: int
    seed: int = 0
    keep_as: KeepAs = "float32"
    clock: Clock | None = None  # that set the method's iterations
    learner: State | None = None  # see `Context`; what it holds is part of which set is wanted
    trace: int = 0  # points at which a student is tested on images that are held out for that
    film: int = 0  # points at which the images are kept, in a file beside the set's own; those of a trace always are

    def __post_init__(self) -> None:
        check_keep_as(self.keep_as)

    @cached_property
    def problem(self) -> Problem:
        """What is to be condensed, with the set that learning starts from where the method's `init` names one.

        Raises:
            InputError: see `read_start`.
        """
        return Problem(self._split[0], self.dataset.spec, self.ipc, read_start(self.method, self.dataset))

    @cached_property
    def _split(self) -> tuple[ImageSet, ImageSet | None]:
        """The images that are condensed, and those that are held out for a trace."""
        if not self.trace:
            return self.dataset.train, None
        return split(self.dataset.train, self.dataset.spec)

    def watch(self, session: Session, clock: Checkpoint, film: Path | None) -> "Watch | None":
        """What looks at the set on the way, where that is wanted.

        Args:
            film: the file that keeps images (None: they are not kept).
        """
        total, each = self.method.total_steps(self.problem), self.method.steps_per_iteration(self.problem)
        spec, validation = self.dataset.spec, self._split[1]
        watchers: list[Watch] = []
        if film is not None and (self.film or self.trace):
            watchers.append(Film(marks(total, self.film or self.trace), each, spec, film, clock.identity))
        if validation is not None:
            net, points = getattr(self.method, "net", DEFAULT_NET), marks(total, self.trace)
            watchers.append(
                Trace(points, each, net=net, validation=validation, spec=spec, session=session, clock=clock)
            )
        return _one_after_another(watchers) if watchers else None

    @property
    def stem(self) -> str:
        """Its file's name without suffix, where nothing else is asked for."""
        method = self.method.name.replace(":", ".")
        return f"{self.dataset.spec.name}-{method}-ipc{self.ipc}-seed{self.seed}"

    def engine(self, session: Session) -> Engine:
        """How the steps of this work will run.

        Raises:
            InputError: the method cannot do that with this dataset.
        """
        self.method.check(self.problem)
        for name, points in (("trace", self.trace), ("film", self.film)):
            if points and not isinstance(self.method, LearnedMethod):
                raise InputError(
                    f"`{name}` is for methods that learn step by step; {self.method.name} has no steps to look at"
                )
        return session.plan(self.method.work(self.problem, session))

    def identity(self, engine: Engine) -> dict[str, Any]:
        """What determines its bits: a checkpoint of other work is refused, equal work may be used again."""
        kept = {} if self.keep_as == PLAIN else {"keep_as": self.keep_as}  # sets of before there was a choice stay same
        return {
            "dataset": self.dataset.source | {"sha256": self.dataset.sha256, "images": len(self.dataset.train)},
            "method": self.method.name,
            "settings": self.method.resolved(self.problem),
            "ipc": self.ipc,
            "seed": self.seed,
            **kept,
            **({} if self.learner is None else {"learner": digest_of(self.learner)}),
            **({"held_out": len(self._split[1])} if self._split[1] is not None else {}),
            **({} if self.clock is None else {"within": self.clock.facts()}),
        } | engine.facts()


def _one_after_another(watchers: "Sequence[Watch]") -> "Watch":
    def watch(step: int, result: Callable[[], ImageSet]) -> None:
        for each in watchers:
            each(step, result)

    return watch


def build(
    dataset: Dataset,
    method: Method | str,
    ipc: int,
    *,
    seed: int = 0,
    keep_as: KeepAs = "float32",
    session: Session | None = None,
    progress: Progress | bool | None = None,
) -> ProxySet:
    """Condense the training split of `dataset` to `ipc` images per class.

    The same arguments on the same kind of device with the same number of threads give the same bits. An interruption
    loses the work: `build_file` goes on where it stopped.

    Args:
        method: its settings, or its name.
        keep_as: how a file keeps the values. What does not fit is rounded here, so that what is scored reads back.
        session: where it runs (None: decided here).
        progress: see `proxyset.progress.shown`.

    Raises:
        InputError: the method cannot do that with this dataset.
        RunError: the work failed.
    """
    method = get_method(method)() if isinstance(method, str) else method
    wanted = ProxySpec(dataset, method, ipc, seed, keep_as)
    session = session or Session()
    engine = wanted.engine(session)
    return _build(wanted, session, engine, shown(progress, wanted.stem))


def build_file(
    wanted: ProxySpec,
    path: Path,
    *,
    session: Session | None = None,
    progress: Progress | bool | None = None,
    every: int = EVERY,
    force: bool = False,
) -> ProxySet:
    """Build into the artefact `path`, going on where an earlier call for it was interrupted or killed.

    The same call gives the same bits, whether or not the work was stopped in between. A finished set is read back.

    Args:
        every: iterations between two writes of the state, which lies beside the artefact until that is whole.
        force: start over in place of going on, and replace an artefact.

    Raises:
        InputError: as `build`; what an earlier call left is of other work; something else is at `path`; another process
            is building it.
        RunError, KeyboardInterrupt: the last good state is kept.
    """
    session = session or Session()
    with claim_set(path, resume=True, force=force, picture=False) as claim:
        if claim.existed and not force and not checkpoint_path(path).exists():
            return read_finished(wanted, path, session)
        return build_claimed(wanted, path, session=session, progress=progress, every=every, force=force)


def read_finished(wanted: ProxySpec, path: Path, session: Session) -> ProxySet:
    """The artefact at `path`, where that is the wanted one.

    Raises:
        InputError: it is another, or damaged.
    """
    proxy = ProxySet.load(path)
    if not is_same(proxy, wanted, session):
        raise InputError(f"{str(path)!r} exists and is of other work: `force=True` replaces it, `out` names another")
    return proxy


def build_claimed(
    wanted: ProxySpec,
    path: Path,
    *,
    session: Session,
    progress: Progress | bool | None = None,
    every: int = EVERY,
    force: bool = False,
) -> ProxySet:
    """`build_file` for who has claimed `path` (see `claim_set`). What is there is replaced."""
    engine = wanted.engine(session)
    each = wanted.method.steps_per_iteration(wanted.problem)
    checkpoint = Checkpoint(checkpoint_path(path), every * each, wanted.identity(engine))
    if force:
        checkpoint.remove()
    if wanted.clock is not None:
        checkpoint.begin(wanted.clock.spent)
    try:
        with interruptible():
            proxy = _build(wanted, session, engine, shown(progress, path.stem), checkpoint, path)
    except RunError as error:
        where = f" ({checkpoint.path})" if checkpoint.path.exists() else ""
        raise RunError(f"{error}{where}") from None
    except KeyboardInterrupt:
        checkpoint.write()
        raise KeyboardInterrupt(f"interrupted, {checkpoint.step} steps are kept") from None
    proxy.save(path)
    checkpoint.remove()
    return proxy


def _build(
    wanted: ProxySpec,
    session: Session,
    engine: Engine,
    progress: Progress,
    checkpoint: Checkpoint | None = None,
    path: Path | None = None,
) -> ProxySet:
    method = wanted.method
    if wanted.dataset.train.targets is not None and not method.uses_targets:
        session.say_once(f"the soft targets of {wanted.dataset.spec.name} are left out: {method.name} goes by labels")
    identity = checkpoint.identity if checkpoint is not None else wanted.identity(engine)
    clock = checkpoint or Checkpoint(Path(), 1, {})  # counts the seconds of all the processes that worked on it
    generator = make_generator(wanted.seed, "condense", method.name)
    keep, film = (None, None) if path is None else (keep_folder(path), film_path(path))
    watch = wanted.watch(session, clock, film)
    context = Context(generator, session, engine, progress, checkpoint, keep, watch, learner=wanted.learner)
    data = make(method, wanted.problem, context)
    if not data.labels.equal(wanted.problem.labels):
        raise RunError(
            f"method {method.name} did not give {wanted.ipc} images of every class, ordered by class: "
            "hold it against proxyset.testing.check_method"
        )
    data = rounded(data, wanted.keep_as)
    facts = _circumstances(engine, context, clock.elapsed()) | clock.notes
    provenance = identity | facts | {"keep_as": wanted.keep_as}
    proxy = ProxySet(data, wanted.dataset.spec, provenance, wanted.keep_as, context.generated_by)
    return replace(proxy, provenance=proxy.provenance | {"bytes": proxy.nbytes})


def _circumstances(engine: Engine, context: Context, seconds: float) -> dict[str, Any]:
    """How a set was made, besides what determines its bits."""
    return {
        "compile": "failed" if context.compile_failed() else engine.facts()["compile"],
        "device": _device_name(engine.device),
        "threads": torch.get_num_threads(),
        "seconds": round(seconds, 3),
        "peak_memory_bytes": peak_memory(engine.device),
        "versions": {
            "proxyset": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **context.facts,
        "scores": [],
    }


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
