"""What every method promises, as checks that anybody can run on a method of their own.

    from proxyset.testing import check_method
    check_method(MyMethod(iterations=2))

or, as a test for each promise:

    @pytest.mark.parametrize("promise", PROMISES)
    def test_my_method(promise, tmp_path):
        PROMISES[promise](MyMethod(iterations=2), tmp_path)

Each check condenses a tiny dataset, so settings that make the method quick are worth giving.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from proxyset.artefact.build import ProxySpec, build_file, checkpoint_path
from proxyset.artefact.proxy_set import ProxySet
from proxyset.compute.session import Session
from proxyset.data.images import ImageSet
from proxyset.data.spec import Dataset, DatasetSpec, normalise
from proxyset.errors import InputError
from proxyset.methods.base import Context, Method, Problem
from proxyset.methods.registry import get_method
from proxyset.progress import Progress

CLASSES, SIZE, IPC = 3, 8, 2
Check = Callable[[Method, Path], None]


def check_method(method: Method, folder: Path | None = None) -> None:
    """Hold a method against every promise.

    Args:
        folder: where the checks that need files write (None: a temporary folder).

    Raises:
        AssertionError: a promise is broken; the message says which and how.
    """
    with tempfile.TemporaryDirectory() as temporary:
        for check in PROMISES.values():
            check(method, folder or Path(temporary))


def tiny_dataset(counts: tuple[int, ...] = (12, 9, 15), seed: int = 0) -> Dataset:
    """Noisy copies of one random pattern per class: grey, 8×8, in shuffled order, with a test split."""
    generator = torch.Generator().manual_seed(seed)
    patterns = torch.rand(len(counts), 1, SIZE, SIZE, generator=generator)

    def split(per_class: tuple[int, ...]) -> ImageSet:
        labels = torch.cat([torch.full((count,), label) for label, count in enumerate(per_class)])
        labels = labels[torch.randperm(len(labels), generator=generator)]
        noise = torch.rand(len(labels), 1, SIZE, SIZE, generator=generator)
        return ImageSet(((patterns[labels] + noise) * 127).round().byte(), labels)

    names = tuple(f"class{label}" for label in range(len(counts)))
    spec = DatasetSpec("tiny", 1, SIZE, names, (0.5,), (0.25,))
    return Dataset(split(counts), split((4,) * len(counts)), spec)


def condense(method: Method, dataset: Dataset | None = None, ipc: int = IPC, seed: int = 0) -> ImageSet:
    """The method's set for a dataset (None: the tiny one), on the CPU, without compilation."""
    dataset, session = dataset or tiny_dataset(), Session(device="cpu", compile="off")
    problem = Problem(dataset.train, dataset.spec, ipc)
    method.check(problem)
    engine = session.plan(method.work(problem, session))
    return method.condense(problem, Context(torch.Generator().manual_seed(seed), session, engine))


def _registered(method: Method, folder: Path) -> None:
    assert getattr(type(method), "name", ""), "the class must have a name: `name: ClassVar[str] = ...`"
    reference = f"{type(method).__module__}:{type(method).__qualname__}"
    if "<locals>" not in reference:
        assert get_method(reference) is type(method), f"{reference} must lead to the class"
    undescribed = [field for field, info in type(method).model_fields.items() if not info.description]
    assert not undescribed, f"fields are documentation and flags: describe {', '.join(undescribed)}"
    assert type(method)(**method.model_dump()) == method, "settings must survive being written down and read again"


def _form(method: Method, folder: Path) -> None:
    data = condense(method)
    labels = torch.arange(CLASSES).repeat_interleave(IPC)
    assert data.labels.equal(labels), f"{IPC} images of each class, ordered by class, got labels {data.labels.tolist()}"
    assert data.images.shape == (CLASSES * IPC, 1, SIZE, SIZE), f"images of shape {tuple(data.images.shape)}"
    assert data.images.dtype == torch.float32, f"float32 images in normalised space, got {data.images.dtype}"
    assert data.images.device.type == "cpu", f"images on the CPU, got {data.images.device}"
    assert data.images.isfinite().all(), "images must be finite"
    if data.targets is not None:
        rows = (CLASSES * IPC,) if data.formation == 1 else (CLASSES * IPC, data.formation**2)
        assert data.targets.shape == (*rows, CLASSES), f"targets of shape {tuple(data.targets.shape)}"


def _same_seed_same_bits(method: Method, folder: Path) -> None:
    first, again = condense(method), condense(method)
    assert first.sha256() == again.sha256(), "the same seed must give the same bits: use only `context.generator`"


def _global_generator_untouched(method: Method, folder: Path) -> None:
    before = torch.get_rng_state()
    condense(method)
    assert torch.equal(before, torch.get_rng_state()), "the global generator moved: use only `context.generator`"


def _input_untouched(method: Method, folder: Path) -> None:
    dataset = tiny_dataset()
    before = dataset.train.sha256()
    condense(method, dataset)
    assert dataset.train.sha256() == before, "the real images must stay as they are"


def _refuses(method: Method, folder: Path) -> None:
    dataset = tiny_dataset(counts=(3, 2, 4))
    for ipc in (0, 3) if method.needs_real_images() else (0,):
        try:
            method.check(Problem(dataset.train, dataset.spec, ipc))
        except InputError:
            continue
        raise AssertionError(f"`check` must refuse {ipc} images per class where the smallest class has 2")


def _picks_real(method: Method, folder: Path) -> None:
    if not method.picks_real:
        return
    dataset = tiny_dataset()
    real = normalise(dataset.train.images, dataset.spec).flatten(1)
    picked = condense(method, dataset)
    distances = torch.cdist(picked.images.flatten(1).double(), real.double())
    nearest = distances.argmin(1)
    assert distances.min(1).values.max() < 1e-5, "`picks_real` says that every image is a real one"
    assert dataset.train.labels[nearest].equal(picked.labels), "picked images must keep their labels"
    assert len(set(nearest.tolist())) == len(nearest), "no image may be picked twice"


def _resumes(method: Method, folder: Path) -> None:
    """Stopped after each of its first three steps, and after the last: the same bits as never stopped."""
    dataset, session = tiny_dataset(), Session(device="cpu", compile="off")
    wanted = ProxySpec(dataset, method, IPC)
    whole = build_file(wanted, folder / "whole.safetensors", session=session, progress=False, force=True)
    total = method.total_steps(wanted.problem)
    for stop in sorted({1, 2, 3, total} & set(range(1, total + 1))):
        path = folder / f"stopped-{stop}.safetensors"

        at = stop / method.steps_per_iteration(wanted.problem)
        try:
            build_file(wanted, path, session=session, progress=_interrupt_at(at), force=True)
        except KeyboardInterrupt:
            assert checkpoint_path(path).exists(), f"stopped after step {stop}: no state was kept"
        else:
            raise AssertionError(f"after step {stop} nothing was shown: call `context.progress` after every step")
        later = Session(device="cpu", compile="off")  # what only a session remembers is lost with its process
        proxy = build_file(wanted, path, session=later, progress=False)
        same = proxy.data.sha256() == whole.data.sha256()
        assert same, f"stopped after step {stop} of {total} and resumed: other bits than never stopped"


def _interrupt_at(iterations: float) -> Progress:
    def interrupt(done: float, total: int, loss: float | None = None) -> None:
        if done >= iterations - 1e-6:
            raise KeyboardInterrupt

    return interrupt


def _survives_a_file(method: Method, folder: Path) -> None:
    path = folder / "file.safetensors"
    proxy = build_file(ProxySpec(tiny_dataset(), method, IPC), path, session=Session(device="cpu"), progress=False)
    loaded = ProxySet.load(path)
    assert loaded.data.sha256() == proxy.data.sha256(), "the set must read back from its file as it was"


PROMISES: dict[str, Check] = {
    "named, described, serialisable": _registered,
    "balanced, ordered, finite": _form,
    "same seed, same bits": _same_seed_same_bits,
    "global generator untouched": _global_generator_untouched,
    "input untouched": _input_untouched,
    "refuses what cannot work": _refuses,
    "picks real images if it says so": _picks_real,
    "resumed = uninterrupted": _resumes,
    "survives a file": _survives_a_file,
}
"""Every promise by name: a function of the method and a folder to write to."""
