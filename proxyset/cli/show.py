"""`proxyset show`."""

import json
from pathlib import Path

import tyro
from pydantic import Field

from proxyset.cli.app import say
from proxyset.cli.options import Command, Output
from proxyset.cli.parse import parse
from proxyset.cli.sets import load_set
from proxyset.errors import InputError, RunError


class Picture(Output):
    """Where the picture goes."""

    out: Path | None = Field(None, description="the picture (default: FILE with .png, kept if it exists)")


class Show(Command):
    """Say where a proxy set comes from and how it scored, and draw it."""

    examples = (
        "proxyset show proxysets/digits-dsa-ipc1-seed0.safetensors",
        "proxyset show mine.safetensors --out picture.png",
    )

    file: tyro.conf.Positional[Path] = Field(Path(), title="FILE", description="proxy set")
    output: Picture = Field(Picture(), title="output")


def show_command(argv: list[str]) -> None:
    command = parse(Show, argv, "proxyset show")
    from proxyset.artefact.outputs import is_picture, picture_path
    from proxyset.claims import claim_file
    from proxyset.report.figures import save_preview
    from proxyset.report.tables import print_provenance

    proxy, out = load_set(command.file), command.output.out
    picture = out or picture_path(command.file)

    def draw() -> None:
        force = command.output.force
        with claim_file(picture, kind="picture", made_by_us=is_picture, force=force, suffixes=(".png",)) as claim:
            save_preview(proxy, claim.path)

    if out is not None:
        draw()
    if command.output.as_json:
        print(json.dumps({"file": str(command.file), **proxy.provenance}))
    else:
        print_provenance(proxy)
    if out is None and (command.output.force or not picture.exists()):
        try:
            draw()
        except (InputError, RunError) as error:  # nobody asked for it: such as beside a set in somebody else's folder
            say(f"no picture: {error}")
            return
    if not command.output.as_json:
        say(str(picture))
