"""Notes on a run: time and memory per task, accuracy after every epoch, and a network that collapsed."""

from pathlib import Path

import pytest

from continual.api import learn_stream
from continual.results import read_results
from continual.settings import Budget, Learning
from continual.stream import Stream
from proxyset.errors import RunError
from tests.continual.conftest import make_scheme, stopped_and_resumed, untimed


@pytest.mark.draws
def test_a_trace_has_every_epoch_and_changes_nothing(growing: Stream, quick: Learning, tmp_path: Path) -> None:
    budget, traced = Budget(ipc=2, store=tmp_path), quick.model_copy(update={"trace": True})
    plain = learn_stream(growing, "random", budget, quick)
    result = learn_stream(growing, "random", budget, traced, folder=tmp_path / "run")
    assert result["correct"] == plain["correct"]
    assert "trace" not in plain
    points = [(point["stage"], point["phase"], point["epoch"]) for point in result["trace"]]
    stages = [(1, ("new",)), (2, ("new", "balanced")), (3, ("new", "balanced"))]
    assert points == [(stage, phase, epoch) for stage, names in stages for phase in names for epoch in (1, 2)]
    for stage in (1, 2, 3):
        last = [point["correct"] for point in result["trace"] if point["stage"] == stage][-1]
        assert last == result["correct"][stage - 1]
    assert (tmp_path / "run" / "trace.png").stat().st_size > 5000
    assert read_results(tmp_path / "run")[0].to_dict() == result.to_dict()


def test_a_trace_goes_on_after_a_stop(growing: Stream, quick: Learning, tmp_path: Path) -> None:
    budget, traced = Budget(ipc=2, store=tmp_path), quick.model_copy(update={"trace": True})
    whole = learn_stream(growing, "random", budget, traced)
    resumed = stopped_and_resumed(growing, "random", budget, traced, tmp_path / "run")
    assert untimed(resumed) == untimed(whole)


def test_every_task_has_its_bytes(growing: Stream, quick: Learning, tmp_path: Path) -> None:
    result = learn_stream(growing, "random", Budget(ipc=2, store=tmp_path), quick)
    assert [cost["images"] for cost in result["per_task"]] == [4, 8, 12]
    assert [cost["bytes"] for cost in result["per_task"]] == [4 * 64, 8 * 64, 12 * 64]
    assert sum(cost["seconds"] for cost in result["per_task"]) <= result["seconds"] + 0.3


@pytest.mark.parametrize("scheme", ["eeil", "der"])
def test_divergence_is_an_error_that_names_the_setting(
    growing: Stream, quick: Learning, tmp_path: Path, scheme: str
) -> None:
    learning = quick.model_copy(update={"lr": 1e30, "scheme": scheme})
    with pytest.raises(RunError, match="lower `lr`"):
        learn_stream(growing, "random", Budget(ipc=2, store=tmp_path), learning)


def test_a_network_that_answers_all_the_same_is_said(
    growing: Stream, quick: Learning, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scheme = make_scheme(growing, quick, tmp_path)
    for parameter in scheme.net.parameters():
        parameter.data.zero_()
    with caplog.at_level("WARNING"):
        scheme.test(0)
    assert "has collapsed" in caplog.text


def test_notes_of_another_run_are_refused(growing: Stream, quick: Learning, tmp_path: Path) -> None:
    from continual.record import Record

    record = Record(growing)
    state = record.state()
    with pytest.raises(ValueError, match="another run"):
        record.set_state(state, 1)
    record.set_state(state, 0)
    assert record.to_dict() == {"per_task": []}
