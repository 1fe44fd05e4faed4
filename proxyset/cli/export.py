"""`proxyset export`."""

import json
import shutil
from pathlib import Path
from typing import Literal

import tyro
from pydantic import Field

from proxyset.cli.app import say
from proxyset.cli.options import Command, Output
from proxyset.cli.parse import parse
from proxyset.cli.sets import load_set
from proxyset.errors import InputError

SUFFIX = {"folder": "", "npz": ".npz", "parquet": "-parquet"}
EXPORTED = {"train", "train.parquet", "targets.csv"}


class Exported(Output):
    """What is written."""

    format: Literal["folder", "npz", "parquet"] = Field("folder", description="PNGs by class, arrays, or a table")
    out: Path | None = Field(None, description="where it goes (default: beside FILE, named like it)")


class Export(Command):
    """Write a proxy set for other tools. `--dataset` and `proxyset.load` read the result back."""

    examples = (
        "proxyset export proxysets/digits-dsa-ipc1-seed0.safetensors",
        "proxyset export mine.safetensors --format npz --out mine.npz",
    )

    file: tyro.conf.Positional[Path] = Field(Path(), title="FILE", description="proxy set")
    output: Exported = Field(Exported(), title="output")


def export_command(argv: list[str]) -> None:
    command = parse(Export, argv, "proxyset export")
    from proxyset.artefact.export import export

    form = command.output.format
    proxy = load_set(command.file)
    out = command.output.out or command.file.with_name(command.file.stem + SUFFIX[form])
    if form == "npz" and out.suffix != ".npz":
        raise InputError(f"`out` must end in .npz, got {str(out)!r}")
    _make_room(out, command.output.force)
    clipped = export(proxy, out, form)
    say(f"{out}: {len(proxy.data)} images; {clipped:.1%} of the values lay outside 0..255 and were clipped")
    if command.output.as_json:
        print(json.dumps({"out": str(out), "images": len(proxy.data), "clipped": clipped}))


def _make_room(out: Path, force: bool) -> None:
    """Remove an earlier export where that is wanted, and nothing that does not look like one.

    Raises:
        InputError: something is there, and it is not to be removed or not an export.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not force:
        raise InputError(f"{str(out)!r} exists: `force=True` replaces it, `out` names another place")
    if out.is_file():
        out.unlink()
    elif {entry.name for entry in out.iterdir()} <= EXPORTED:
        shutil.rmtree(out)
    else:
        raise InputError(f"{str(out)!r} holds more than an export: remove it yourself or name another `out`")
