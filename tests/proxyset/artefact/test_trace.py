"""Students on held-out images while a set is learned: they change nothing, and survive an interruption."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from proxyset.artefact import trace
from proxyset.artefact.build import ProxySpec, build_claimed, build_file
from proxyset.artefact.trace import marks, read_rows, split
from proxyset.compute.session import Session
from proxyset.data.spec import Dataset
from proxyset.errors import InputError
from proxyset.methods.coreset import Random
from proxyset.methods.dm import DM
from proxyset.report.curves import save_trace, save_traces
from tests.conftest import make_dataset

FAST: dict[str, Any] = {"net": "convnet-w4-d1", "batch_real": 4, "iterations": 4}


@pytest.fixture(autouse=True)
def short_trainings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "EPOCHS", 2)


@pytest.fixture
def session() -> Session:
    return Session(device="cpu", compile="off")


def test_points_lie_ever_farther_apart() -> None:
    assert marks(100, 4) == [0, 12, 25, 50, 100]
    assert marks(3, 4) == [0, 1, 2, 3]


def test_held_out_images_are_training_images_that_are_not_condensed() -> None:
    data = make_dataset(counts=50)
    real, validation = split(data.train, data.spec)
    assert len(validation) == 15
    assert len(real) + len(validation) == len(data.train)
    ours = {image.numpy().tobytes() for image in real.images}
    held = {image.numpy().tobytes() for image in validation.images}
    assert not ours & held
    assert ours | held == {image.numpy().tobytes() for image in data.train.images}
    wanted = ProxySpec(data, DM(**FAST), 1, trace=2)
    assert wanted.problem.real.sha256() == real.sha256()


@pytest.mark.draws
def test_a_trace_tells_iterations_seconds_and_accuracy(tiny: Dataset, session: Session, tmp_path: Path) -> None:
    path = tmp_path / "set.safetensors"
    proxy = build_file(ProxySpec(tiny, DM(**FAST), 1, trace=3), path, session=session, progress=False)
    rows = read_rows(proxy.provenance["trace"])
    assert [row["iteration"] for row in rows] == [0, 1, 2, 4]
    assert all(0 <= row["accuracy"] <= 1 for row in rows)
    seconds = [row["seconds"] for row in rows]
    assert seconds == sorted(seconds)
    assert proxy.provenance["held_out"] == 4
    assert save_trace(proxy, tmp_path / "trace.png").stat().st_size > 1000
    assert save_traces({"one": proxy, "two": proxy}, tmp_path / "traces.png").stat().st_size > 1000
    other = replace(proxy, spec=replace(proxy.spec, name="another"))
    with pytest.raises(InputError, match="one dataset"):
        save_traces({"one": proxy, "two": other}, tmp_path / "traces.png")


def test_looking_changes_nothing(tiny: Dataset, session: Session, tmp_path: Path) -> None:
    """The same images are condensed to the same bits, however often somebody looks."""
    wanted = [ProxySpec(tiny, DM(**FAST), 1, trace=points) for points in (1, 3)]
    few, many = (
        build_file(each, tmp_path / f"{each.trace}.safetensors", session=session, progress=False) for each in wanted
    )
    assert few.data.sha256() == many.data.sha256()
    assert few.provenance["trace"][-1]["accuracy"] == many.provenance["trace"][-1]["accuracy"]


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_an_interrupted_trace_is_that_of_one_run(stop: int, tiny: Dataset, session: Session, tmp_path: Path) -> None:
    def interrupt(done: float, total: int, loss: float | None = None) -> None:
        if done >= stop:
            raise KeyboardInterrupt

    wanted = ProxySpec(tiny, DM(**FAST), 1, trace=3)
    whole = build_file(wanted, tmp_path / "whole.safetensors", session=session, progress=False)
    path = tmp_path / "set.safetensors"
    with pytest.raises(KeyboardInterrupt):
        build_claimed(wanted, path, session=session, progress=interrupt)
    resumed = build_file(wanted, path, session=session, progress=False)
    assert resumed.data.sha256() == whole.data.sha256()
    without_time = [[{**row, "seconds": 0} for row in proxy.provenance["trace"]] for proxy in (whole, resumed)]
    assert without_time[0] == without_time[1]


@pytest.mark.parametrize("rows", [3, [3], [{"step": 1}], [{"step": -1, "iteration": 1, "seconds": 1, "accuracy": 0.5}]])
def test_what_is_no_trace_is_refused(rows: Any) -> None:
    with pytest.raises(InputError, match="trace"):
        read_rows(rows)


def test_methods_without_steps_are_refused(tiny: Dataset, session: Session) -> None:
    with pytest.raises(InputError, match="trace"):
        ProxySpec(tiny, Random(), 1, trace=2).engine(session)
