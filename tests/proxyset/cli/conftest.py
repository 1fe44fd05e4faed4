"""A command line to call, and a small proxy set."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxyset.cli.app import main
from tests.proxyset.cli.made import FAST, Cli, Result


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    """Run a command in this process, in an empty folder; its exit code and all that it printed."""
    monkeypatch.chdir(tmp_path)
    handler = signal.getsignal(signal.SIGTERM)

    def run(*argv: object) -> Result:
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in argv])
        out, err = capfd.readouterr()
        return Result(int(stop.value.code or 0), out, err)

    yield run
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def built(cli: Cli, tmp_path: Path) -> Path:
    assert cli("build", *FAST, "--out", "set.safetensors").code == 0
    return tmp_path / "set.safetensors"
