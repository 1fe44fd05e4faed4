"""What a person sees while long work runs."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from proxyset import progress as module
from proxyset.artefact.build import build
from proxyset.compute.session import Session
from proxyset.data.spec import Dataset
from proxyset.methods.dsa import DC
from proxyset.progress import ProgressLine, duration, in_notebook, part_of, shown, silent, size
from proxyset.train.evaluate import evaluate
from proxyset.train.protocols import Evaluation


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


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the kernel of a notebook."""

    class ZMQInteractiveShell:
        pass

    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=ZMQInteractiveShell))


def test_by_default_a_line_is_shown_where_somebody_watches(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    assert shown(None, "work") is silent
    assert shown(False, "work") is silent
    assert isinstance(shown(True, "work"), ProgressLine)
    assert not in_notebook()
    for place in ("terminal", "notebook"):
        request.getfixturevalue(place)
        assert isinstance(shown(None, "work"), ProgressLine)
        assert shown(False, "work") is silent
    assert in_notebook()


def test_a_function_is_taken_as_it_is() -> None:
    def mine(done: float, total: int, loss: float | None = None) -> None:
        pass

    assert shown(mine, "work") is mine


@pytest.mark.parametrize(("progress", "lines"), [(True, True), (False, False), (None, False)])
def test_building_and_scoring_show_what_they_are_asked_to(
    progress: bool | None, lines: bool, tiny: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    """None: there is no terminal here."""
    session = Session(device="cpu", compile="off")
    build(tiny, DC(net="mlp", iterations=2), 1, session=session, progress=progress)
    protocol = Evaluation(nets=1, epochs=2)
    evaluate(tiny.train, tiny.test, tiny.spec, protocol, net="mlp", session=session, progress=progress)
    printed = capsys.readouterr()
    assert not printed.out
    assert ("tiny-dc-ipc1-seed0  2/2" in printed.err) == lines
    assert ("tiny on mlp  2/2" in printed.err) == lines
    assert bool(printed.err) == lines


def lines_of(*calls: Any) -> list[str]:
    """What a line says, one call a second."""
    said: list[str] = []
    line = ProgressLine("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line, "_print", said.append)
        patch.setattr(module.time, "monotonic", iter(range(1000, 100000, 20)).__next__)
        for call in calls:
            line(*call)
    return said


def test_fractions_are_shown_where_there_are_few_iterations() -> None:
    assert lines_of((0.5, 2), (1, 2), (1.5, 2))[0].startswith("work  0.5/2")
    assert lines_of((9.5, 20), (10, 20))[0].startswith("work  9/20")


def test_what_is_left_is_judged_by_this_process_alone() -> None:
    """A resumed run starts in the middle: what was done before took no time now."""
    said = lines_of((50, 100), (51, 100), (60, 100))
    assert "left" not in said[0]
    assert said[1] == "work  51/100  16 min 20 s left"  # 49 iterations of 20 s
    assert said[2] == "work  60/100  2 min 40 s left"  # 40 of 4 s


def test_a_part_has_a_line_of_its_own(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    line = ProgressLine("work")
    line(1, 9)
    part = part_of(line, "teacher")
    part(1, 3)
    line.close()  # as after Ctrl-C: also ends the line of the part
    shown_lines = capsys.readouterr().err.split("\n")
    assert shown_lines[0].startswith("\rwork  1/9")
    assert shown_lines[1].startswith("\rwork, teacher  1/3")
    assert shown_lines[2] == ""


def test_a_function_that_counts_steps_sees_no_parts() -> None:
    seen: list[float] = []
    part_of(lambda done, total, loss=None: seen.append(done), "teacher")(1, 3)
    assert not seen
