"""`--log-to` reaches the work of all three programs."""

from pathlib import Path

import pytest

from tests.proxyset.cli.made import FAST, Cli, assert_refused
from tests.proxyset.test_loggers import KEPT, Kept


def test_a_build_logs_its_losses(cli: Cli, tmp_path: Path) -> None:
    assert cli("build", *FAST, "--out", "set.safetensors", "--log-to", KEPT).code == 0
    assert [step for _, step in Kept.seen] == [1, 2]
    assert all(set(values) == {"loss"} for values, _ in Kept.seen)
    assert_refused(
        cli("build", *FAST, "--out", "other.safetensors", "--log-to", "tensorbord"), "--log-to", "'tensorboard'"
    )
    assert not (tmp_path / "other.safetensors").exists()


def test_a_search_logs_its_trials_and_a_stream_its_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import continual.cli
    import search.cli

    monkeypatch.chdir(tmp_path)
    small = "--where width<=32,depth<=1 --sample 2 --ipc 1 --epochs 1 --whole-epochs 1 --workers 0 --size 8"
    with pytest.raises(SystemExit) as stop:
        search.cli.main(["run", "--proxy", "random", *small.split(), "--out", "run", "--log-to", KEPT])
    assert not stop.value.code
    names = {name for values, _ in Kept.seen for name in values}
    assert {"score by random", "score by whole"} <= names
    stream = "--steps 2 --limit 20 --ipc 1 --epochs 1 --balance-epochs 1 --net mlp --memory random"
    with pytest.raises(SystemExit) as stop:
        continual.cli.main(["run", *stream.split(), "--out", "stream", "--log-to", KEPT])
    assert not stop.value.code
    assert [step for _, step in Kept.seen] == [1, 2]
    values = Kept.seen[1][0]
    assert values["average accuracy"] == pytest.approx(sum(v for n, v in values.items() if "/" in n) / 2)
