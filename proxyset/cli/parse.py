"""From the words of a command line to a command: defaults < YAML < flags. tyro splits the words and writes the help."""

import contextlib
import io
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tyro

from proxyset.cli.form import make_form, title_of
from proxyset.cli.messages import plain, remember
from proxyset.cli.options import C, Command, compose, flags, flatten, groups, peek, prefixed, read_yaml
from proxyset.cli.start import work_begins
from proxyset.errors import InputError, nearest

WIDEST = 120  # columns of the help


def parse(model: type[C], argv: Sequence[str], prog: str, stored: Mapping[str, Any] | None = None) -> C:
    """The settings of a command from its defaults, the YAML file named by --config, and the flags.

    `--help` prints the help and leaves with `SystemExit`.

    Args:
        stored: more defaults, by the names of the settings: those of a run that goes on.

    Raises:
        InputError: everything unknown, ill-typed or out of range: first of the file, then of the flags.
    """
    remember(model)
    path = peek(argv, "config") if "config" in flags(model) else None
    values = read_yaml(path) | dict(stored or {})
    try:
        defaults = compose(model, values)
    except InputError as error:
        place = f"config {path}" if stored is None else "the settings of the run"
        raise InputError(f"{place}: {plain(str(error))}") from None
    command = compose(model, values | _split(defaults, argv, prog))
    work_begins()
    return command


def _split(defaults: Command, argv: Sequence[str], prog: str) -> dict[str, Any]:
    """The values of the flags that are given, as words, by the names of the settings.

    The others keep their defaults without being set, because some defaults depend on what is given.
    """
    model = type(defaults)
    for_help = any(argument in ("-h", "--help") for argument in argv)
    filled: Any
    form = make_form(defaults, for_help)
    about = " ".join((model.__doc__ or "").split())
    errors, screen = io.StringIO(), _Screen()
    try:
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(screen), _one_column():
            filled, unknown = tyro.cli(
                form, prog=prog, description=about, args=_short(model, argv), return_unknown_args=True
            )
    except SystemExit as stop:
        if stop.code:
            raise InputError(_first_words(errors.getvalue())) from None
        sys.stdout.write(_finished(screen.getvalue(), model) if for_help else screen.getvalue())
        raise
    _refuse(model, unknown, prog)
    values, before = {}, flatten(defaults)
    named = {word.partition("=")[0].replace("_", "-") for word in _short(model, argv)}
    for name, flag in flags(model).items():
        part = getattr(filled, flag.group) if flag.group else filled
        value = getattr(part, flag.field, before[name])  # a field of a type that no flag can give is only in YAML
        if value is not before[name] or named & {flag.option, flag.off}:
            values[name] = value
    return values


def _short(model: type[Command], argv: Sequence[str]) -> list[str]:
    """The words with --PREFIX.NAME as --NAME where the command knows it by that."""
    options = {}
    for full, name in prefixed(model).items():
        prefix, _, last = full.partition(".")
        for before in ("", "no_"):
            options[f"{prefix}.{before}{last}"] = f"{before}{name}" if name == last else f"{prefix}.{before}{last}"
    words = []
    for word in argv:
        option, equals, value = word.partition("=")
        name = option.removeprefix("--").replace("-", "_")
        if option.startswith("--") and name in options:
            word = f"--{options[name].replace('_', '-')}{equals}{value}"
        words.append(word)
    return words


def _refuse(model: type[Command], unknown: Sequence[str], prog: str) -> None:
    """Raise `InputError` for words that are no flag of the command, all at once."""
    wrong = [word for word in unknown if re.match("--?[A-Za-z]", word)]
    if wrong:
        options = {f"--{name.replace('_', '-')}" for name in (*flags(model), *prefixed(model))}
        raise InputError("; ".join(f"unknown flag {word}: {nearest(word.split('=')[0], options)}" for word in wrong))
    if unknown:
        raise InputError(f"unexpected argument {unknown[0]!r}: see {prog} --help")


def _first_words(box: str) -> str:
    """tyro's framed message as one line: its first paragraph without the frame."""
    lines = [re.sub(r"[│╭╮╰╯─]+", " ", line).strip() for line in box.splitlines()[1:]]
    paragraph: list[str] = []
    for line in lines:
        if not line and paragraph:
            break
        paragraph += [line] if line else []
    return " ".join(paragraph).removeprefix("Error parsing ") or "wrong usage"


class _Screen(io.StringIO):
    """Keeps what is printed, and looks like the stdout of the moment, so that help is drawn for that."""

    encoding = property(lambda screen: screen.stdout.encoding)

    def __init__(self) -> None:
        super().__init__()
        self.stdout = sys.stdout

    def isatty(self) -> bool:
        return self.stdout.isatty()


@contextlib.contextmanager
def _one_column() -> Iterator[None]:
    """Beyond 130 columns tyro sets the groups side by side, which loses their order."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(min(shutil.get_terminal_size().columns, WIDEST))
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


def _finished(text: str, model: type[Command]) -> str:
    """tyro's help with the groups' titles as they are ("NAME options" there), and the examples at the end."""
    for name in groups(model):
        title = title_of(model, name)
        text = text.replace(f"{title} options ─", f"{title} ─────────")
    examples = "".join(f"\n  {example}" for example in model.examples)
    return f"{text.rstrip()}\n\nexamples:{examples}\n" if examples else text
