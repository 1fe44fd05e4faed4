"""Commands that the pages show are understood by the real parsers; nothing is run."""

import importlib.util
import re
import shlex
import tomllib
from collections.abc import Iterator
from types import ModuleType

import pytest

from proxyset.cli.parse import parse
from tests.docs.pages import PAGES, ROOT, blocks, name

PROGRAMS = {"proxyset": "proxyset.cli.app", "search": "search.cli", "continual": "continual.cli"}


def _load_hook() -> ModuleType:
    """What writes the reference of commands; it finds the settings of a command without running it."""
    spec = importlib.util.spec_from_file_location("command_line", ROOT / "docs" / "hooks" / "command_line.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REFERENCE = _load_hook()
ASSIGNMENT = re.compile(r"[A-Z_]+=\S*")


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every command line of the `bash` blocks and of the first lines of configs: where it is, and its words."""
    for page in PAGES:
        for block in blocks(page, "bash"):
            for line in block.text.replace("\\\n", " ").splitlines():
                yield f"{name(page)}: {line.strip()}", _words(line)
    for config in sorted(ROOT.glob("configs/*/*.yaml")):
        line = config.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        yield f"{name(config)}: {line}", _words(line)


def _words(line: str) -> list[str]:
    words = shlex.split(line, comments=True)
    while words and ASSIGNMENT.fullmatch(words[0]):
        words.pop(0)
    return words


OURS = [(place, words) for place, words in commands() if words and words[0] in PROGRAMS]


@pytest.fixture
def from_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths such as configs/... start at the root; modules of the examples are found."""
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(str(ROOT / "examples"))


@pytest.mark.parametrize(("place", "words"), OURS, ids=[place for place, _ in OURS])
def test_command_is_understood(place: str, words: list[str], from_the_root: None) -> None:
    program, *words = words
    if words in (["--version"], ["--help"]):
        return
    listed = REFERENCE.program_commands(PROGRAMS[program])
    assert words[0] in listed
    if words[-1] == "--help":
        words.pop()
    if program == "search" and "--resume" in words:
        words = [words[0]]  # the other settings are those of the run that is named
    model = REFERENCE.command_model(listed[words[0]], words[1:])
    parse(model, words[1:], f"{program} {words[0]}")


def test_every_command_is_shown_somewhere() -> None:
    shown = {(words[0], words[1]) for _, words in OURS if len(words) > 1}
    for program, module in PROGRAMS.items():
        assert {(program, command) for command in REFERENCE.program_commands(module)} <= shown


def test_benchmarks_exist_and_have_the_flags() -> None:
    shown = [(place, words) for place, words in commands() if words[:2] == ["python", "-m"]]
    assert shown
    for place, (_, _, module, *rest) in shown:
        text = (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
        if "benchmarks.given import" in text:  # which has the arguments that scripts share
            text += (ROOT / "benchmarks/given.py").read_text(encoding="utf-8")
        assert [word for word in rest if word.startswith("--") and f'"{word}"' not in text] == [], place


def test_targets_of_make_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = {words[1] for _, words in commands() if words[:1] == ["make"]}
    assert {"demo", "test", "docs"} <= targets
    assert not [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)]


def test_programs_are_those_of_the_package() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert set(scripts) == set(PROGRAMS)
    for program, where in scripts.items():
        assert where == f"{program}.__main__:main"
