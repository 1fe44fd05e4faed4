"""The program: its commands and its exit codes."""

import subprocess
import sys

import pytest

from proxyset.cli.app import main
from proxyset.errors import InputError, RunError
from tests.proxyset.cli.made import Cli, assert_refused


def test_a_wrong_command_names_the_nearest(cli: Cli) -> None:
    assert_refused(cli("biuld"), "unknown command 'biuld'", "did you mean 'build'")


def test_no_command_shows_the_commands(cli: Cli) -> None:
    for argv, code in (([], 0), (["--help"], 0)):
        result = cli(*argv)
        assert result.code == code
        for command in ("build", "eval", "show", "export"):
            assert command in result.out
    assert cli("--version").out.strip()


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (InputError("`size=3` is too small"), 2, "size=3 is too small"),
        (RunError("the disk is full"), 1, "the disk is full"),
        (MemoryError(), 1, "out of memory"),
        (RuntimeError("CUDA out of memory. Tried\nto allocate"), 1, "out of memory: CUDA out of memory. Tried"),
        (KeyboardInterrupt("to go on: --resume"), 130, "to go on: --resume"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
    ids=repr,
)
def test_each_kind_of_end_has_its_code_and_one_line(
    error: BaseException, code: int, words: str, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(argv: list[str]) -> None:
        raise error

    monkeypatch.setattr("proxyset.cli.show.show_command", stop)
    result = cli("show")
    assert (result.code, result.err) == (code, f"proxyset: {words}\n")


def test_a_mistake_in_the_program_itself_is_not_hidden(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(argv: list[str]) -> None:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr("proxyset.cli.show.show_command", stop)
    with pytest.raises(RuntimeError, match="shapes"):
        main(["show"])


@pytest.mark.parametrize("argv", ["--help", "build --help"])
def test_a_reader_that_leaves_early_causes_no_traceback(argv: str) -> None:
    shell = f"{sys.executable} -m proxyset.cli.app {argv} | {sys.executable} -c 'import sys; sys.stdin.close()'"
    done = subprocess.run(shell, shell=True, capture_output=True, text=True, check=False)
    assert done.stderr == ""
