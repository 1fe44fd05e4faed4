"""`proxyset eval`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from pydantic import Field

from proxyset.cli.app import say
from proxyset.cli.options import ConfiguredCommand, DataRoot, Output, Seed
from proxyset.cli.parse import parse
from proxyset.cli.sets import (
    announce,
    check_code,
    check_contest,
    check_distinct,
    common_net,
    load_set,
    real_data,
    score,
)
from proxyset.errors import InputError
from proxyset.settings import Compute, Distinct, Settings
from proxyset.train.protocols import PAPER, Evaluation
from proxyset.train.recipe import MOST_EPOCHS

if TYPE_CHECKING:
    from proxyset.artefact.proxy_set import ProxySet
    from proxyset.compute.session import Session
    from proxyset.report.scores import Contest

FAIR, FAIR_NETS = "dd-ranking", 5


class Contenders(Settings):
    """What is scored."""

    net: Annotated[tuple[str, ...], Distinct] = Field(
        (),
        description="networks by name, or package.module:function, whose code is run; several for a "
        "cross-architecture table (default: the set's own)",
    )
    baseline: Annotated[tuple[str, ...], Distinct] = Field(
        (),
        description="what to score beside them: random (a new draw for every network), herding, ..., whole "
        "(default: nothing)",
    )
    whole_epochs: int = Field(100, ge=1, le=MOST_EPOCHS, description="training epochs of the baseline `whole`")


class Real(DataRoot):
    """What it is tested on."""

    dataset: str | None = Field(None, description="where the real images are (default: where the set was built from)")
    trust: bool = Field(False, description="run the code that the sets name (package.module:...), whoever made them")


class Scored(Output):
    """Where the table goes."""

    out: Path | None = Field(
        None, description="also write the table to this file: .csv, .json, .md or .tex (default: nowhere)"
    )
    force: bool = Field(False, description="replace a table that an earlier call wrote there")


class Protocol(Seed, Evaluation):
    """How the networks are trained."""

    protocol: Literal["paper", "strong", "equal-updates", "dd-ranking"] = Field(  # type: ignore[assignment]
        PAPER,
        description="paper: the DSA paper's; strong: AdamW, cosine, CutMix, 2000 epochs; equal-updates: the paper's, "
        "but sets with a formation get no more updates than others; dd-ranking: the paper's with 5 networks, for "
        "scores that tell images from targets and augmentation",
    )

    @property
    def is_fair(self) -> bool:
        """Whether DD-Ranking's scores are wanted."""
        return self.protocol == FAIR

    def evaluation(self) -> Evaluation:
        values = self.model_dump(exclude={"seed"})
        if self.is_fair:
            values |= {"protocol": PAPER} | ({} if "nets" in self.model_fields_set else {"nets": FAIR_NETS})
        return Evaluation(**values)


class Eval(ConfiguredCommand):
    """Train fresh networks on each proxy set and test them on the real test split. Scores are kept in the files."""

    examples = (
        "proxyset eval proxysets/digits-dsa-ipc1-seed0.safetensors --baseline random whole",
        "proxyset eval a.safetensors b.safetensors --net convnet resnet18 --nets 5",
        "proxyset eval mine.safetensors --net my_module:my_net --nets 5 --out scores.md",
    )

    files: tyro.conf.Positional[tuple[Path, ...]] = Field((), title="FILE ...", description="proxy sets")
    contenders: Contenders = Field(Contenders(), title="what is scored")
    real: Real = Field(Real(), title="what it is tested on")
    protocol: Protocol = Field(Protocol(), title="how the networks are trained")
    compute: Compute = Field(Compute(), title="where it runs")
    output: Scored = Field(Scored(), title="output")


def eval_command(argv: list[str]) -> None:
    command = parse(Eval, argv, "proxyset eval")
    if not command.files:
        raise InputError("no proxy set given: proxyset eval FILE [FILE ...]")
    check_distinct(command.files)
    out = command.output.out
    if command.protocol.is_fair and (out is not None or command.contenders.baseline):
        raise InputError(
            "`protocol=dd-ranking` has its own baselines, and prints its scores: leave out `out` and `baseline`"
        )
    if out is None:
        _score(command)
        return
    from proxyset.claims import claim_file
    from proxyset.report.table_files import SUFFIXES, is_table

    with claim_file(out, kind="table", made_by_us=is_table, force=command.output.force, suffixes=SUFFIXES) as claim:
        _score(command, claim.path, partial=not claim.existed)


def _score(command: Eval, table: Path | None = None, partial: bool = False) -> None:
    """Score everything, and write the table there too; `partial`: also where not all of it could be done."""
    from proxyset.compute.session import Session
    from proxyset.report.scores import Contest
    from proxyset.report.table_files import write_scores

    session = Session(command.compute)
    proxies = {str(path): load_set(path) for path in command.files}
    used = (*([] if command.contenders.net else ["net"]), *(["teacher_net"] if command.contenders.baseline else []))
    check_code(proxies, used, command.real.trust)
    dataset = real_data(proxies, command.real.dataset, command.real.data_root)
    contest = Contest(
        dataset,
        command.protocol.evaluation(),
        command.contenders.net or (common_net(proxies),),
        command.protocol.seed,
        command.contenders.whole_epochs,
    )
    check_contest(proxies, command.contenders.baseline, contest, session)
    if command.protocol.is_fair:
        _score_fairly(command, proxies, contest, session)
        return
    announce(proxies, command.contenders.baseline, contest, session)

    def write(rows: list[dict[str, Any]], whole: bool) -> None:
        if table is not None and (whole or partial):
            write_scores(rows, contest.nets, table)
            say(str(table))

    score(proxies, command.contenders.baseline, contest, session, command.output.as_json, write)


def _score_fairly(command: Eval, proxies: dict[str, ProxySet], contest: Contest, session: Session) -> None:
    """DD-Ranking's scores of every set with every network."""
    import json

    from proxyset.cli.announce import announce_scores, say_score_estimate
    from proxyset.progress import ProgressLine
    from proxyset.report.estimate import estimate_scores
    from proxyset.report.fair import fair_scores, fair_sizes
    from proxyset.report.tables import print_fair

    sizes = [size for proxy in proxies.values() for size in fair_sizes(proxy, contest)]
    announce_scores(sizes, (), contest)
    say_score_estimate(estimate_scores(sizes, contest, session), contest, session)

    rows = []
    try:
        for name, proxy in proxies.items():
            for net in contest.nets:
                rows.append(fair_scores(name, proxy, contest, net, session, ProgressLine))
    finally:  # what there is by then is printed too where the rest is interrupted, or fails
        if rows:
            print_fair(rows)
    if command.output.as_json:
        print(json.dumps(rows))
