"""Commands: model default < YAML < flags, exit codes, and one line for every mistake. Used by all three packages."""

import contextlib
import io
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import tyro
import yaml
from pydantic import Field

from proxyset.settings import Compute, InputError, RunError, Settings, nearest

DONE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130


class Command(Compute):
    """What every command takes."""

    seed: int = Field(0, ge=0, description="every random choice derives from it")
    out: Path | None = Field(None, description="where the result goes")
    config: Path | None = Field(None, description="YAML file with defaults for any of these settings; flags win")
    as_json: Annotated[bool, tyro.conf.arg(name="json")] = Field(False, description="print the result as JSON")
    force: bool = Field(False, description="replace what is already there")
    data_root: Path = Field(Path("data"), description="where torchvision's datasets lie or are downloaded to")


class DataChoice(Settings):
    """What a command that reads a dataset takes."""

    dataset: str = Field("digits", description="name, or path of a folder, .npz or .parquet")
    size: int | None = Field(None, description="resize to this many pixels")
    channels: int | None = Field(None, description="1 or 3: convert to grey or colour")
    flip: bool | None = Field(None, description="whether a mirrored image keeps its label (None: all but known digits)")
    test_fraction: float = Field(0.2, description="share held out as test where the dataset has no split of its own")


C = TypeVar("C", bound=Command)
S = TypeVar("S", bound=Settings)


def parse(model: type[C], argv: Sequence[str], prog: str, *, pairs: bool = False) -> C:
    """The settings of a command from its defaults, the YAML file named by --config, and the flags.

    Args:
        pairs: show every switch in both directions (--kd and --no-kd) in the help, not only in the one that changes
            its default. Both are understood anyway: a YAML file may have changed the default.

    Raises:
        InputError: anything unknown, ill-typed or out of range, in the file or in the flags.
    """
    defaults = read_yaml(peek(argv, "config"), model)
    captured = io.StringIO()
    short = not pairs and any(argument in ("-h", "--help") for argument in argv)
    try:
        with contextlib.redirect_stderr(captured):
            settings, unknown = tyro.cli(
                model,
                prog=prog,
                args=list(argv),
                default=model(**defaults),
                return_unknown_args=True,
                config=(tyro.conf.FlagCreatePairsOff,) if short else (),
            )
    except SystemExit as stop:
        if not stop.code:
            raise  # --help
        raise InputError(_first_words(captured.getvalue())) from None
    flags = [argument for argument in unknown if argument.startswith("-")]
    if flags:
        names = {f"--{_flag(name)}" for name in model.model_fields}
        raise InputError("; ".join(f"unknown flag {flag}: {nearest(flag.split('=')[0], names)}" for flag in flags))
    if unknown:
        raise InputError(f"unexpected argument {unknown[0]!r}: see {prog} --help")
    return settings


def with_fields(command: type[C], settings: type[Settings]) -> type[C]:
    """`command` with the fields of `settings` (a method's, say) as further flags."""
    return type(command.__name__, (command, settings), {"__doc__": command.__doc__, "__module__": command.__module__})


def extract(command: Command, settings: type[S]) -> S:
    """The `settings` that a command made by `with_fields` was given."""
    return settings(**{name: getattr(command, name) for name in settings.model_fields})


def peek(argv: Sequence[str], name: str) -> str | None:
    """The value of one flag, before the command line is understood; of several the last, as the parser has it."""
    value = None
    for position, argument in enumerate(argv):
        if argument == f"--{name}" and position + 1 < len(argv):
            value = argv[position + 1]
        elif argument.startswith(f"--{name}="):
            value = argument.split("=", 1)[1]
    return value


def read_yaml(path: str | None, model: type[Command] | None = None) -> dict[str, Any]:
    """The mapping in a YAML file with its keys as field names; empty without a file.

    Raises:
        InputError: unreadable, no mapping, or a key that `model` does not know.
    """
    if path is None:
        return {}
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise InputError(f"cannot read the config {path!r}: {reason}") from None
    if not isinstance(values, dict):
        raise InputError(f"the config {path!r} must be a mapping of settings to values")
    values = {"as_json" if key == "json" else str(key).replace("-", "_"): value for key, value in values.items()}
    if model is not None:
        try:
            model(**values)
        except InputError as error:
            raise InputError(f"config {path}: {error}") from None
    return values


def _flag(field: str) -> str:
    return "json" if field == "as_json" else field.replace("_", "-")


def _first_words(box: str) -> str:
    """tyro's framed message as one line: its first paragraph without the frame."""
    lines = [re.sub(r"[│╭╮╰╯─]+", " ", line).strip() for line in box.splitlines()[1:]]
    paragraph: list[str] = []
    for line in lines:
        if not line and paragraph:
            break
        paragraph += [line] if line else []
    return " ".join(paragraph) or "wrong usage"


Handler = Callable[[list[str]], None]


def run(
    prog: str, about: str, commands: Mapping[str, tuple[str, Handler]], argv: Sequence[str] | None = None
) -> NoReturn:
    """Dispatch to a command and leave with its exit code: 0 done, 1 failed, 2 wrong usage or input, 130 interrupted."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help"):
        print(f"usage: {prog} COMMAND [flags]\n\n{about}\n")
        for name, (words, _) in commands.items():
            print(f"  {name:<9} {words}")
        print(f"\n{prog} COMMAND --help lists the flags.")
        sys.exit(DONE if argv else WRONG)
    if argv[0] == "--version":
        from proxyset import __version__

        print(__version__)
        sys.exit(DONE)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        if argv[0] not in commands:
            raise InputError(f"unknown command {argv[0]!r}: {nearest(argv[0], commands)}")
        commands[argv[0]][1](argv[1:])
    except InputError as error:
        _leave(prog, str(error), WRONG)
    except (RunError, MemoryError) as error:
        _leave(prog, str(error) or "out of memory", FAILED)
    except RuntimeError as error:  # torch has no common type for running out of memory on a CPU and on a GPU
        if not re.search("out of memory|can't allocate memory", str(error)):
            raise
        _leave(prog, f"out of memory: {str(error).splitlines()[0]}", FAILED)
    except BrokenPipeError:  # the reader of our output has left
        sys.stderr.close()
        sys.exit(FAILED)
    except KeyboardInterrupt as stop:
        _leave(prog, str(stop) or "interrupted", INTERRUPTED)
    sys.exit(DONE)


def _interrupt(signum: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _leave(prog: str, message: str, code: int) -> NoReturn:
    print(f"{prog}: {message}", file=sys.stderr)
    sys.exit(code)


def say(text: str) -> None:
    """A line for the person at the terminal; results go to stdout."""
    print(text, file=sys.stderr, flush=True)
