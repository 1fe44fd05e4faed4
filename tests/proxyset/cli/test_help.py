"""What --help says, and how little it needs."""

import subprocess
import sys

import pytest

from tests.proxyset.cli.made import Cli

HEAVY = ("torch", "torchvision", "numpy", "scipy", "pandas", "sklearn", "matplotlib", "ray")
PROGRAMS = {
    "proxyset.cli.app": ("build", "eval", "show", "report", "export", "push"),
    "search.cli": ("run", "report"),
    "continual.cli": ("run", "compare", "report"),
}


@pytest.mark.parametrize(
    ("program", "command"), [(name, one) for name, commands in PROGRAMS.items() for one in commands]
)
def test_help_of_every_command_is_there_at_once(program: str, command: str) -> None:
    """Under a second of processor time, of this process and of what it starts; nothing heavy is imported for it."""
    code = f"""
import resource, sys
from {program} import main
try:
    main([{command!r}, "--help"])
except SystemExit as stop:
    assert not stop.code, stop.code
heavy = {set(HEAVY)!r} & set(sys.modules)
assert not heavy, heavy
used = resource.getrusage(resource.RUSAGE_SELF)
assert used.ru_utime + used.ru_stime < 1, used
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--help" in done.stdout
    assert "examples:" in done.stdout
    assert "None" not in done.stdout


def test_help_of_a_command_lists_the_flags_of_the_chosen_method(cli: Cli) -> None:
    dsa, herding = (cli("build", "--help", "--method", name) for name in ("dsa", "herding"))
    assert dsa.code == herding.code == 0
    assert "--inner-steps INT" in dsa.out
    assert "--inner-steps" not in herding.out
    assert "--no-l2-normalise" in herding.out  # on by default
    for result in (dsa, herding):
        for flag in ("seed", "out", "config", "json", "force", "data-root", "device", "resume"):
            assert f"--{flag}" in result.out


def test_help_comes_in_groups_with_the_methods_flags_last(cli: Cli) -> None:
    text = cli("build", "--help").out
    titles = ("what you condense", "how", "where it runs", "output", "flags of method dsa", "examples:")
    places = [text.index(f" {title}" if title != "examples:" else title) for title in titles]
    assert places == sorted(places)
    assert text.index("--dataset") < text.index("--ipc") < text.index("--device") < text.index("--out")
    assert text.index("flags of method dsa") < text.index("--iterations")


@pytest.mark.parametrize("command", ["show", "export"])
def test_a_command_takes_the_flags_that_it_uses_and_no_others(command: str, cli: Cli) -> None:
    text = cli(command, "--help").out
    for flag in ("--out", "--force", "--json", "FILE"):
        assert flag in text
    unused = {"--seed", "--device", "--precision", "--data-root", "--config", "--memory-limit"}
    for flag in unused - ({"--seed"} if command == "export" else set()):  # `export --draw` is seeded
        assert flag not in text
        assert cli(command, "set.safetensors", flag, "1").code == 2
