"""`proxyset export`."""

import json
from pathlib import Path
from typing import Literal

import tyro
from pydantic import Field, ValidationInfo, field_validator

from proxyset.cli.app import say
from proxyset.cli.options import Command, Output
from proxyset.cli.parse import parse
from proxyset.cli.sets import load_set
from proxyset.settings import SeedNumber

SUFFIX = {"folder": "", "npz": ".npz", "parquet": "-parquet", "hub": "-hub"}


class Exported(Output):
    """What is written."""

    format: Literal["folder", "npz", "parquet", "hub"] = Field(
        "folder", description="PNGs by class, arrays, a table, or a table with a card, as a hub of datasets wants it"
    )
    stored: bool = Field(
        False, description="of a formation, the images as they are stored: pictures of tiles, no dataset"
    )
    draw: int | None = Field(
        None, ge=1, description="in place of the set's images, so many of every class, drawn from its generator (gtn)"
    )
    seed: SeedNumber = Field(0, description="of that draw")

    @field_validator("seed")
    @classmethod
    def _of_a_draw(cls, value: int, info: ValidationInfo) -> int:
        if info.data.get("draw") is None:
            raise ValueError("is for `draw`")
        return value

    out: Path | None = Field(None, description="where it goes (default: beside FILE, named like it)")


class Export(Command):
    """Write a proxy set for other tools. `--dataset` and `proxyset.load` read the result back."""

    examples = (
        "proxyset export proxysets/digits-dsa-ipc1-seed0.safetensors",
        "proxyset export mine.safetensors --format npz --out mine.npz",
        "proxyset export mine.safetensors --format hub",
    )

    file: tyro.conf.Positional[Path] = Field(Path(), title="FILE", description="proxy set")
    output: Exported = Field(Exported(), title="output")


def export_command(argv: list[str]) -> None:
    command = parse(Export, argv, "proxyset export")
    from proxyset.artefact.export import export

    form = command.output.format
    proxy = load_set(command.file)
    if command.output.draw is not None:
        from proxyset.artefact.draw import draw

        proxy = draw(proxy, command.output.draw, command.output.seed)
    drawn = "" if command.output.draw is None else "-drawn"
    out = command.output.out or command.file.with_name(command.file.stem + drawn + SUFFIX[form])
    stored, formation = command.output.stored, proxy.data.formation
    clipped = export(proxy, out, form, stored=stored, force=command.output.force)
    images = len(proxy.data) if stored else proxy.data.trained_on
    what = f"{images} images"
    if formation > 1:
        tiles = f"{len(proxy.data)} stored images of {formation}×{formation} tiles"
        what = tiles if stored else f"{images} training images, the tiles of {len(proxy.data)} stored ones"
    say(f"{out}: {what}; {clipped:.1%} of the values lay outside 0..255 and were clipped")
    if proxy.data.targets is not None:
        place = "targets.csv, beside its images" if form == "folder" else "the targets beside them"
        say(f"the images go with soft targets: {place}; with plain labels they teach less")
    if command.output.as_json:
        print(json.dumps({"out": str(out), "images": images, "stored": len(proxy.data), "clipped": clipped}))
