"""What every test shares: one thread, untouched global generators, and small datasets."""

import random
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
import rich.style  # noqa: F401 (draws from the global generator when first imported)
import torch
import tyro
from matplotlib.figure import Figure

from proxyset.compute.parallel import Pool, ray_running
from proxyset.compute.ray_environment import prepare_ray
from proxyset.data.images import ImageSet
from proxyset.data.picture import png
from proxyset.data.spec import Dataset, DatasetSpec

prepare_ray()  # before any test imports Ray, which reads its environment only then
torch.set_num_threads(1)  # as many workers as cores; and bits that do not depend on the machine's cores
# A shell without job control starts background processes with SIGINT ignored, and whatever they start inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slow tests first, so that no worker is left alone with them at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(autouse=True, scope="session")
def tyro_draws_are_undone() -> Iterator[None]:
    """tyro empties its caches at random, by the global generator; nothing of ours depends on that."""
    parse = tyro.cli

    def cli(*arguments: Any, **options: Any) -> Any:
        state = random.getstate()
        try:
            return parse(*arguments, **options)
        finally:
            random.setstate(state)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tyro, "cli", cli)
        yield


@pytest.fixture(autouse=True)
def modules_of_a_test_are_forgotten(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A module that a test wrote and imported must not answer to its name in the next test."""
    written = tmp_path_factory.getbasetemp()
    modules, path = set(sys.modules), list(sys.path)
    yield
    for name in set(sys.modules) - modules:
        file = getattr(sys.modules[name], "__file__", None)
        if file and Path(file).is_relative_to(written):
            del sys.modules[name]
    sys.path[:] = path


@pytest.fixture(autouse=True)
def global_generators_stay_put() -> Iterator[None]:
    """Fail a test in which anything drew from, or seeded, a global generator: the library takes generators.

    A test that must let foreign code draw (Ray, say) overrides this fixture by name.
    """
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()
    yield
    moved = []
    if not torch.equal(before[0], torch.get_rng_state()):
        moved.append("torch")
    if not all(np.array_equal(a, b) for a, b in zip(before[1], np.random.get_state(), strict=True)):
        moved.append("numpy")
    if before[2] != random.getstate():
        moved.append("random")
    assert not moved, f"the global generator of {', '.join(moved)} was moved"


@pytest.fixture(autouse=True)
def pictures_are_a_pixel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made and saved, but not drawn, which is half the time of a small run; `draws` marks who looks."""
    if request.node.get_closest_marker("draws"):
        return

    def save(figure: Figure, file: BinaryIO, **options: Any) -> None:
        file.write(png(torch.zeros(1, 1, dtype=torch.uint8)))

    monkeypatch.setattr(Figure, "savefig", save)


def make_dataset(
    classes: int = 3,
    counts: tuple[int, ...] | int = 12,
    channels: int = 1,
    size: int = 8,
    seed: int = 0,
    test_count: int = 4,
    flip: bool = True,
) -> Dataset:
    """Noisy copies of one random pattern per class, in shuffled order; learnable, and made in a millisecond."""
    counts = (counts,) * classes if isinstance(counts, int) else counts
    generator = torch.Generator().manual_seed(seed)
    patterns = torch.rand(classes, channels, size, size, generator=generator)

    def split(per_class: tuple[int, ...]) -> ImageSet:
        labels = torch.cat([torch.full((count,), label) for label, count in enumerate(per_class)])
        labels = labels[torch.randperm(len(labels), generator=generator)]
        noise = torch.rand(len(labels), channels, size, size, generator=generator)
        return ImageSet(((patterns[labels] + noise) * 127).round().byte(), labels)

    train, test = split(counts), split((test_count,) * classes)
    names = tuple(f"class{label}" for label in range(classes))
    spec = DatasetSpec("tiny", channels, size, names, (0.5,) * channels, (0.25,) * channels, flip)
    arguments = {"size": size, "channels": channels, "flip": flip, "test_fraction": 0.2}
    return Dataset(train, test, spec, {"source": "tiny", **arguments})


@pytest.fixture(name="make_dataset")
def _make_dataset() -> Callable[..., Dataset]:
    return make_dataset


@pytest.fixture
def tiny() -> Dataset:
    """Three classes of grey 8×8 images, unevenly many of each."""
    return make_dataset(counts=(12, 9, 15))


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """One Ray of two cores for the session: what needs Ray uses the one that runs in its process."""
    with ray_running(Pool(workers=2)):
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real data beside the project; a test that needs it is skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("no real data beside the project")
    return SHARED_DATA
