"""From a dataset and a method to a set with its provenance; what a person sees; pictures; small parts."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from proxyset import progress as module
from proxyset.builder import build, identity
from proxyset.checkpoint import Checkpoint
from proxyset.data import Dataset, DatasetSpec, ImageSet
from proxyset.engine import Engine, peak_memory, resolve_device
from proxyset.methods import DC, Herding, Random
from proxyset.plot import save_preview, tile
from proxyset.progress import ProgressLine, duration, size
from proxyset.proxy import ProxySet
from proxyset.seeds import make_generator
from proxyset.settings import InputError

CPU = torch.device("cpu")


def test_a_checkpoint_does_not_change_the_bits(tiny: Dataset, tmp_path: Path) -> None:
    method = DC(net="mlp", iterations=2)
    plain = build(tiny, method, 2, seed=5)
    kept = build(tiny, method, 2, seed=5, checkpoint=Checkpoint(tmp_path / "c", 1, {}))
    assert torch.equal(plain.data.images, kept.data.images)
    assert not torch.equal(plain.data.images, build(tiny, method, 2, seed=6).data.images)
    assert plain.spec == tiny.spec
    assert plain.provenance["seed"] == 5


def test_identity_changes_with_all_that_changes_the_bits(tiny: Dataset, make_dataset: Callable[..., Dataset]) -> None:
    base = identity(tiny, Herding(), 1, 0, Engine())
    assert identity(tiny, Herding(), 1, 0, Engine()) == base
    for other in (
        identity(make_dataset(seed=1), Herding(), 1, 0, Engine()),
        identity(tiny, Herding(epochs=3), 1, 0, Engine()),
        identity(tiny, Random(), 1, 0, Engine()),
        identity(tiny, Herding(), 2, 0, Engine()),
        identity(tiny, Herding(), 1, 1, Engine()),
        identity(tiny, Herding(), 1, 0, Engine(torch.device("cuda"))),
        identity(tiny, Herding(), 1, 0, Engine(precision="bf16")),
        identity(tiny, Herding(), 1, 0, Engine(compiled=True)),
    ):
        assert other != base


# Generators and devices.


def test_streams_of_one_seed_are_independent_and_repeatable() -> None:
    def stream(*arguments: int | str) -> list[float]:
        return torch.rand(4, generator=make_generator(*arguments)).tolist()  # type: ignore[arg-type]

    assert stream(0, "condense", "dsa") == stream(0, "condense", "dsa")
    different = [stream(0, "condense", "dsa"), stream(1, "condense", "dsa"), stream(0, "evaluate", "dsa")]
    different += [stream(0, "evaluate", 1), stream(0, "evaluate", 11), stream(0, "evaluate", 1, 1)]
    assert len({tuple(numbers) for numbers in different}) == len(different)


def test_devices() -> None:
    assert resolve_device("cpu") == CPU
    assert resolve_device("auto").type in ("cpu", "cuda", "mps")
    for name in ("gpu", "cuda:99", "meta"):
        with pytest.raises(InputError, match=name):
            resolve_device(name)
    assert 2**20 < peak_memory(CPU) < 2**40


# What a person sees.


def test_durations_and_sizes_as_a_person_says_them() -> None:
    assert [duration(seconds) for seconds in (0.4, 59.4, 60, 185, 3599, 7800)] == [
        "0 s",
        "59 s",
        "1 min 00 s",
        "3 min 05 s",
        "59 min 59 s",
        "2 h 10 min",
    ]
    assert [size(count) for count in (5 * 2**20, 3 * 2**29)] == ["5 MiB", "1.5 GiB"]


def test_progress_off_a_terminal_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    line = ProgressLine("title")
    for step in range(1, 101):
        now[0] += 1
        line(step, 100, 0.5)
    line.close()
    lines = capsys.readouterr().err.splitlines()
    assert 5 < len(lines) <= 12
    assert lines[1] == "title  11/100  loss 0.5  1 min 29 s left"
    assert lines[-1].startswith("title  100/100  loss 0.5")


def test_progress_on_a_terminal_stays_on_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    line = ProgressLine("title")
    line(1, 2, 1.5)
    line(2, 2, 1.25)
    line.close()
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert text.endswith("\n")
    assert text.count("\r") == 2


# Pictures.


def test_tiles_show_every_class_in_its_row_or_column() -> None:
    pixels = torch.arange(6, dtype=torch.uint8).view(6, 1, 1, 1).expand(6, 1, 8, 8).contiguous()  # 3 classes of 2
    rows, columns = tile(pixels, 3), tile(pixels, 3, across=True)
    assert rows.shape == (27, 18)
    assert rows[::9, ::9].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert columns[::9, ::9].tolist() == [[0, 2, 4], [1, 3, 5]]
    assert (rows[8] == 255).all()  # a white line between
    assert tile(pixels.expand(6, 3, 8, 8), 3).shape == (27, 18, 3)


@pytest.mark.parametrize(("classes", "ipc", "channels"), [(2, 1, 1), (10, 10, 3), (100, 1, 3), (3, 60, 1)])
def test_previews_open_as_pictures(classes: int, ipc: int, channels: int, tmp_path: Path) -> None:
    spec = DatasetSpec(
        "x", channels, 8, tuple(f"name {c}" for c in range(classes)), (0.5,) * channels, (0.5,) * channels
    )
    images = torch.randn(classes * ipc, channels, 8, 8, generator=torch.Generator().manual_seed(0))
    proxy = ProxySet(ImageSet(images, torch.arange(classes).repeat_interleave(ipc)), spec)
    path = tmp_path / "preview.png"
    save_preview(proxy, path)
    with Image.open(path) as picture:
        array = np.asarray(picture.convert("L"))
    assert min(array.shape) > 50
    assert max(array.shape) < 8000
    assert array.std() > 10
