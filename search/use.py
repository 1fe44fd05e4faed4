"""`search export` and `search predict`: what a finished search is for."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proxyset.claims import claim_file
from proxyset.cli.app import say
from proxyset.cli.parse import parse
from proxyset.errors import InputError, RunError, nearest
from proxyset.names import clean_name
from proxyset.registry import is_reference
from search.commands import ExportSettings, PredictSettings

if TYPE_CHECKING:
    from search.network import Network

LONGEST_PATH = 4096


def export_command(argv: list[str]) -> None:
    command = parse(ExportSettings, argv, "search export")
    network = pick(command.run, command.network.arch, command.network.trust, "search export RUN")
    from search.export import check_format, export

    form = command.output.format
    check_format(form)
    out = command.output.out or command.run / f"export-{form}"
    export(network, network.build(), form, out, force=command.output.force)
    say(f"{out}: {clean_name(network.name)}")
    if command.output.as_json:
        print(json.dumps({"out": str(out), "name": network.name, "format": form, "test": network.facts.get("test")}))


def predict_command(argv: list[str]) -> None:
    command = parse(PredictSettings, argv, "search predict")
    if not command.pictures:
        raise InputError("no picture given: search predict RUN PICTURE ...")
    network = pick(command.run, command.network.arch, command.network.trust, "search predict RUN PICTURE ...")
    from search.predict import classify, is_answers, pictures_in, write_answers

    output, pictures, failed = command.output, pictures_in(command.pictures), list[str]()
    with contextlib.ExitStack() as stack:
        claim = None
        if output.out is not None:
            claim = stack.enter_context(
                claim_file(output.out, kind="table", made_by_us=is_answers, force=output.force, suffixes=(".csv",))
            )
        rows = classify(network, pictures, output.top, failed.append)
        if len(pictures) == len(failed) == 1:
            raise InputError(f"cannot read image {failed[0]}")
        for line in failed:
            say(f"cannot read image {clean_name(line, longest=LONGEST_PATH)}")
        if not rows:
            raise InputError(f"none of the {len(pictures)} pictures can be read")
        if claim is not None:
            write_answers(rows, claim.path)
    show(rows, output.as_json)
    if failed:
        raise RunError(f"{len(failed)} of {len(pictures)} pictures cannot be read and are left out")


def show(rows: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """Print what `classify` gives."""
    if as_json:
        print(json.dumps(rows))
        return
    for row in rows:
        classes = ", ".join(f"{clean_name(name)} {100 * share:.1f} %" for name, share in row["classes"])
        print(f"{clean_name(str(row['file']), longest=LONGEST_PATH)}: {classes}")


def pick(run: Path, arch: str | None, trust: bool, usage: str) -> Network:
    """The network of that architecture in a run's folder; None: the best.

    Raises:
        InputError: no run, no such network, or one whose architecture is code that is not trusted.
    """
    from search.finals import command_to_keep, network_path, read_finals
    from search.folder import CONFIG, RunFolder
    from search.network import Network
    from search.records import WITHIN
    from search.report import found

    if run == Path():
        raise InputError(f"no run given: {usage}")
    folder = RunFolder.open(run)
    finals = read_finals(folder.path)
    names = [row["name"] for row in finals if row["error"] is None]
    if not names:
        within = (folder.read(CONFIG) or {}).get(WITHIN)
        raise InputError(f"{str(run)!r} keeps no network; to train one: {command_to_keep(run, within)}")
    if arch is not None and arch not in names:
        raise InputError(f"{str(run)!r} keeps no {arch!r}: {nearest(arch, names)}")
    name = arch or found(finals)["name"]
    network = Network.load(network_path(run, name))
    if network.name != name:
        raise InputError(f"{str(network_path(run, name))!r} holds {network.name!r}, not {name!r}")
    code = next(filter(is_reference, (network.name, network.space or "")), None)  # a space by name is installed
    if code is not None and not trust:
        raise InputError(f"{clean_name(name)!r} is code that would be run: {code}; if you trust it: `trust=True`")
    return network
