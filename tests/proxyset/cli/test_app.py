"""The program: its commands and its exit codes."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

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
        (OSError(errno.ENOSPC, "No space left on device", "a.png"), 1, "'a.png': No space left on device"),
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


@pytest.mark.parametrize("command", ["show", "eval", "report", "export"])
def test_a_name_that_no_file_can_have_is_one_line(cli: Cli, command: str) -> None:
    result = cli(command, "x" * 300)
    assert result.code == 2
    assert "File name too long" in result.err
    assert len(result.err.splitlines()) == 1


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


PROGRAMS = {"proxyset": "build --dataset digits", "search": "run", "continual": "run"}


@pytest.mark.parametrize("prog", PROGRAMS)
@pytest.mark.parametrize("delay", [0.0, 0.1, 0.2, 0.4])
def test_an_interruption_while_modules_load_is_one_line(prog: str, delay: float, tmp_path: Path) -> None:
    """From when our first module runs; before that it is Python's own to end."""
    # Python is up when it opens the first file of ours, which tells the test through a FIFO
    fifo = tmp_path / "up"
    os.mkfifo(fifo)
    code = f"import sys; open({str(fifo)!r}, 'w').close(); from {prog}.__main__ import main; main()"
    argv = [sys.executable, "-c", f"import proxyset.cli.start; {code}", *PROGRAMS[prog].split()]
    process = subprocess.Popen(argv, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with open(fifo) as up:
        up.read()
    time.sleep(0.02 + delay)  # `main` has been called
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", f"{prog}: interrupted\n")
    assert [path.name for path in tmp_path.iterdir()] == ["up"]


@pytest.mark.parametrize("prog", PROGRAMS)
def test_every_program_alone_shows_its_usage(prog: str) -> None:
    done = subprocess.run([sys.executable, "-m", prog], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: {prog} COMMAND")


ONE_AFTER_ANOTHER = """
import sys
from proxyset.cli.app import main

for words in sys.argv[1:]:
    try:
        main(words.split())
    except SystemExit as left:
        assert not left.code, words
"""


def test_a_terminal_without_our_signs_gets_plain_ones(tmp_path: Path) -> None:
    """Where stdout and stderr are ASCII: results, help and the table of scores, without a traceback."""
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "OMP_NUM_THREADS": "1"}
    commands = [
        "build --method random --out set.safetensors",
        "eval set.safetensors --net mlp --nets 1 --epochs 1",
        "show set.safetensors",
        "build --help",
    ]
    done = subprocess.run(
        [sys.executable, "-c", ONE_AFTER_ANOTHER, *commands],
        cwd=tmp_path, env=environment, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "+-" in (done.stdout + done.stderr).decode("ascii")
