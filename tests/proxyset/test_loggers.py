"""Numbers reach the loggers that are named, and a logger that fails does not stop the work."""

import logging
import struct
from pathlib import Path
from typing import Any

import pytest

from proxyset.errors import InputError
from proxyset.loggers import LOGGERS, Logged, Numbers, Subject, logging_to
from proxyset.progress import silent

SUBJECT = Subject("some", Path(), {"lr": 0.1})


class Kept:
    """Writes down what it is given."""

    seen: list[tuple[dict[str, float], int]]
    closed: int

    def __init__(self, subject: Subject) -> None:
        assert subject.settings
        type(self).seen, type(self).closed = [], 0

    def log(self, values: Numbers, step: int) -> None:
        self.seen.append((dict(values), step))

    def close(self) -> None:
        type(self).closed += 1


class Failing(Kept):
    """Fails at step 3."""

    def log(self, values: Numbers, step: int) -> None:
        if step == 3:
            raise ConnectionError("the server is gone")
        super().log(values, step)


KEPT = f"{__name__}:Kept"


def test_the_loss_of_whole_iterations_is_passed_on() -> None:
    with logging_to([KEPT], SUBJECT) as log:
        show = Logged(silent, log)
        for done in (0.5, 1, 1.5, 2):
            show(done, 2, loss=done)
        show(2, 2)
    assert Kept.seen == [({"loss": 1}, 1), ({"loss": 2}, 2)]
    assert Kept.closed == 1


def test_a_logger_that_fails_is_left_out_and_the_work_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "proxyset"), logging_to([f"{__name__}:Failing"], SUBJECT) as log:
        for step in range(6):
            log({"loss": 1.0}, step)
    assert [step for _, step in Failing.seen] == [0, 1, 2]
    assert [record.getMessage() for record in caplog.records] == [
        f"nothing more is logged to {__name__}:Failing: ConnectionError: the server is gone"
    ]


def test_what_cannot_be_logged_to_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="unknown logger 'tensorbord': did you mean 'tensorboard'"):
        logging_to(["tensorbord"], SUBJECT).__enter__()
    monkeypatch.setitem(__import__("sys").modules, "mlflow", None)
    with pytest.raises(InputError, match=r"proxyset\[mlflow\]"):
        logging_to(["mlflow"], SUBJECT).__enter__()
    assert set(LOGGERS) == {"tensorboard", "mlflow"}


def events(folder: Path) -> list[Any]:
    """What event files hold: records of a length, its checksum, the bytes, theirs."""
    from tensorboardX.proto.event_pb2 import Event  # type: ignore[import-untyped,unused-ignore]

    found = []
    for file in sorted(folder.glob("events.*")):
        data = file.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            found.append(Event.FromString(data[12 : 12 + length]))
            data = data[16 + length :]
    return found


def test_tensorboard_finds_every_number_at_its_step(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    with logging_to(["tensorboard"], Subject("run", tmp_path)) as log:
        log({"loss": 0.5, "accuracy": 0.25}, 1)
        log({"loss": 0.125}, 2)
    scalars = [
        (event.step, value.tag, value.simple_value)
        for event in events(tmp_path / "tensorboard" / "run")
        for value in event.summary.value
    ]
    assert scalars == [(1, "loss", 0.5), (1, "accuracy", 0.25), (2, "loss", 0.125)]


def test_mlflow_finds_settings_and_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri(f"file:{tmp_path}")
    with logging_to(["mlflow"], SUBJECT) as log:
        log({"loss": 0.5}, 1)
        log({"loss": 0.25}, 2)
    client = mlflow.MlflowClient()
    (run,) = client.search_runs([client.get_experiment_by_name("proxyset").experiment_id])
    assert run.data.params == {"lr": "0.1"}
    assert run.info.status == "FINISHED"
    assert [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "loss")] == [(1, 0.5), (2, 0.25)]


def test_the_logger_that_the_pages_show_works(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "examples"))
    with logging_to(["my_logger:Lines"], SUBJECT) as log:
        log({"loss": 0.25}, 7)
    assert capsys.readouterr().out == "some 7 loss 0.25\nsome is done\n"
