"""`proxyset report`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import tyro
from pydantic import Field

from proxyset.cli.app import say
from proxyset.cli.options import AsJson, Command, Opened
from proxyset.cli.parse import parse
from proxyset.cli.sets import by_name, check_distinct, load_set
from proxyset.errors import InputError

MOST_SETS = 50


class Written(Opened, AsJson):
    """Where the page goes."""

    out: Path | None = Field(
        None, description="the page (default: NAME-report.html beside one FILE, report.html beside several)"
    )


class Report(Command):
    """Write one page about a proxy set, or about several beside each other: images, scores, settings that differ."""

    examples = (
        "proxyset report proxysets/digits-dsa-ipc1-seed0.safetensors --open",
        "proxyset report a.safetensors b.safetensors --out compared.html",
        "proxyset report proxysets",
        "proxyset report grids/table1",
    )

    files: tyro.conf.Positional[tuple[Path, ...]] = Field(
        (), title="FILE ...", description="proxy sets, or a folder with some, such as that of a grid"
    )
    output: Written = Field(Written(), title="output")


def report_command(argv: list[str]) -> None:
    command = parse(Report, argv, "proxyset report")
    from proxyset.report.grid_page import grid_sections
    from proxyset.report.page import save_page
    from proxyset.report.set_page import set_page

    files = _files(command.files)
    names = by_name(files)
    proxies = {name: load_set(path) for name, path in names.items()}
    page = set_page(names, proxies)
    grids = [section for path in command.files if path.is_dir() for section in grid_sections(path)]
    page = replace(page, sections=[*grids, *page.sections])
    path = save_page(page, command.output.out or _place(command.files))
    if command.output.as_json:
        print(json.dumps({"out": str(path), "sets": [str(file) for file in files]}))
    say(str(path))
    open_if(command.output, path)


def open_if(wanted: Opened, path: Path) -> None:
    """Open a page where that is wanted.

    Args:
        path: the page, or the folder of the run that it is about.
    """
    from proxyset.report.page import NAME, open_page

    if wanted.open_it and not open_page(path / NAME if path.is_dir() else path):
        say("no browser was found: open that file in one")


def _files(given: tuple[Path, ...]) -> list[Path]:
    """The proxy sets that are meant: a folder stands for those in it.

    Raises:
        InputError: none is given, there are none in the folder, one is given twice, or they are too many.
    """
    from proxyset.artefact.outputs import is_artefact
    from proxyset.report.grid_page import is_grid

    if not given:
        raise InputError("no proxy set given: proxyset report FILE [FILE ...], or a folder with some")
    files: list[Path] = []
    for path in given:
        found = [path]
        if path.is_dir():
            below = sorted([*path.glob("*.safetensors"), *path.glob("sets/*.safetensors")])
            found = [file for file in below if is_artefact(file)]
            if is_grid(path) and len(found) > MOST_SETS:
                say(f"{path}: of {len(found)} sets the first {MOST_SETS} are shown; the table has all")
                found = found[:MOST_SETS]
            if not found:
                raise InputError(f"no proxy sets in the folder {str(path)!r}")
        files += found
    check_distinct(files)
    if len(files) > MOST_SETS:
        raise InputError(f"{len(files)} proxy sets are more than fit on one page, which holds {MOST_SETS}: name some")
    return files


def _place(given: tuple[Path, ...]) -> Path:
    from proxyset.report.page import NAME

    if len(given) > 1:
        return given[0].parent / NAME
    return given[0] / NAME if given[0].is_dir() else given[0].with_name(f"{given[0].stem}-{NAME}")
