"""The networks that a run keeps: a line each in `finals.jsonl`, and their weights in the folder `networks`."""

import hashlib
import os
import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from proxyset.errors import InputError
from proxyset.files import append_line, drop_torn_line, is_leftover, remove_empty
from proxyset.names import path_name
from proxyset.parsing import checksummed, read_rows
from proxyset.progress import duration
from search.records import Final

if TYPE_CHECKING:
    from search.trial import Row

FINALS, NETWORKS = "finals.jsonl", "networks"
SUFFIX = ".safetensors"


def network_path(run: Path, name: str) -> Path:
    """Where the weights of an architecture lie; different names give different files."""
    stem = path_name(name)
    if stem != name:
        stem += f"~{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return run / NETWORKS / f"{stem}{SUFFIX}"


def read_finals(run: Path) -> "list[Row]":
    """The lines, of each architecture the last: one that failed may be tried again. A last line that a kill cut short
    does not count.

    Raises:
        InputError: another line is damaged, was changed, or repeats an architecture that had not failed.
    """
    path = run / FINALS
    latest: dict[str, Row] = {}
    for row in read_rows(path, Final) if path.exists() else []:
        name = row["name"]
        if name in latest and latest[name]["error"] is None:
            raise InputError(f"{str(path)!r} has {name!r} twice")
        latest[name] = row
    return list(latest.values())


def append_final(run: Path, row: "Row") -> None:
    """Keep a line. Its weights must be there already, so that a line always has its file.

    Raises:
        RunError: the disk is full.
    """
    drop_torn_line(run / FINALS)
    append_line(run / FINALS, checksummed(row))


def command_to_keep(run: Path, within: float | None) -> str:
    """The words that train, test and keep a network of a run that keeps none.

    Args:
        within: the seconds of its limit: what goes on without one runs every trial that is left.
    """
    words = f"search run --resume {shlex.quote(str(run))} --promote 1"
    if within is None:
        return words
    limit = re.sub(r" 00 (s|min)", "", duration(max(1.0, within))).replace(" ", "")
    return f"{words} --within {limit} (trials that are left run first)"


def clear_finals(run: Path, names: Iterable[str]) -> None:
    """Remove what a run of these architectures kept; files of others stay."""
    (run / FINALS).unlink(missing_ok=True)
    if (run / NETWORKS).is_dir():
        for name in names:
            network_path(run, name).unlink(missing_ok=True)
        tidy_networks(run)


def tidy_networks(run: Path) -> None:
    """Remove what processes that were killed while they wrote weights left."""
    folder = run / NETWORKS
    if folder.is_dir():
        for entry in os.listdir(folder):
            name = entry[1:].rsplit(".", 2)[0]
            if name.endswith(SUFFIX) and is_leftover(entry, name):
                (folder / entry).unlink(missing_ok=True)
        remove_empty([folder])
