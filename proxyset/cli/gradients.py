"""`proxyset gradients`."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import tyro
from pydantic import Field

from proxyset.cli.app import say
from proxyset.cli.eval import Real
from proxyset.cli.options import Command, Output, Seed
from proxyset.cli.parse import parse
from proxyset.cli.sets import by_name, check_code, check_distinct, load_set, real_data
from proxyset.errors import InputError
from proxyset.settings import Compute

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from proxyset.report.gradient_norms import Norms


class Picture(Output):
    """What is written."""

    out: Path = Field(
        Path("gradients.png"), description="the picture; a table of every layer and class goes beside it, as .csv"
    )


class GradientNorms(Command):
    """Compare how strong the gradients of real and of synthetic images are, in one more iteration of dc or dsa."""

    examples = (
        "proxyset gradients proxysets/digits-dc-ipc10-seed0.safetensors proxysets/digits-dsa-ipc10-seed0.safetensors",
    )

    files: tyro.conf.Positional[tuple[Path, ...]] = Field((), title="FILE ...", description="sets made by dc or dsa")
    real: Real = Field(Real(), title="the real images")
    how: Seed = Field(Seed(), title="how")
    compute: Compute = Field(Compute(), title="where it runs")
    output: Picture = Field(Picture(), title="output")


def gradients_command(argv: list[str]) -> None:
    command = parse(GradientNorms, argv, "proxyset gradients")
    if not command.files:
        raise InputError("no proxy set given: proxyset gradients FILE [FILE ...]")
    check_distinct(command.files)
    from proxyset.artefact.outputs import is_picture
    from proxyset.claims import REPLACES, check_file, claim_file
    from proxyset.compute.session import Session
    from proxyset.names import figure_name
    from proxyset.report.gradient_norms import gradient_norms, is_norms, method_of, save_norms, write_norms

    session, force = Session(command.compute), command.output.force
    proxies = {str(path): load_set(path) for path in command.files}
    check_code(proxies, ("net", "augment"), command.real.trust)
    for proxy in proxies.values():
        method_of(proxy)
    with claim_file(
        command.output.out, kind="picture", made_by_us=is_picture, force=force, suffixes=(".png",)
    ) as claim:
        table = claim.path.with_suffix(".csv")
        check_file(table, kind="table", made_by_us=is_norms, force=force, hint=REPLACES)
        dataset = real_data(proxies, command.real.dataset, command.real.data_root)
        norms = {
            file: gradient_norms(proxy, dataset, session, seed=command.how.seed) for file, proxy in proxies.items()
        }
        write_norms(norms, dataset, table)
        drawn = dict(zip(by_name(command.files), norms.values(), strict=True))
        save_norms(drawn, f"{figure_name(dataset.spec.name)} · one iteration, fresh network", claim.path)
    rows = _summary(norms)
    for row in rows:
        say(
            f"{row['file']}: median gradient magnitude of real images {row['real']:.3g}, of synthetic ones "
            f"{row['synthetic']:.3g}; at the last inner step {row['last_real']:.3g} and {row['last_synthetic']:.3g}"
        )
    if command.output.as_json:
        print(json.dumps(rows))
    say(f"{command.output.out}\n{table}")


def _summary(norms: Mapping[str, Sequence[Norms]]) -> list[dict[str, Any]]:
    """For each file the medians over classes, of all inner steps and of the last."""
    rows = []
    for file, seen in norms.items():
        last = [each.whole for each in seen if each.inner_step == seen[-1].inner_step]
        row = {"file": file, "inner_steps": seen[-1].inner_step + 1}
        for number, kind in enumerate(("real", "synthetic")):
            row[kind] = median(each.whole[number] for each in seen)
            row[f"last_{kind}"] = median(each[number] for each in last)
        rows.append(row)
    return rows
