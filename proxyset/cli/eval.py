"""`proxyset eval`."""

from pathlib import Path

import tyro
from pydantic import Field

from proxyset.cli.options import AsJson, ConfiguredCommand, DataRoot, Seed
from proxyset.cli.parse import parse
from proxyset.cli.sets import load_set, net_of, real_data, score
from proxyset.errors import InputError
from proxyset.settings import Compute, Settings
from proxyset.train.protocols import Evaluation


class Contenders(Settings):
    """What is scored."""

    net: tuple[str, ...] = Field(
        (),
        description="networks by name or package.module:function, several for a cross-architecture table "
        "(default: the set's own)",
    )
    baseline: tuple[str, ...] = Field(
        (),
        description="what to score beside them: random (a new draw for every network), herding, ..., whole "
        "(default: nothing)",
    )
    whole_epochs: int = Field(100, ge=1, description="training epochs of the baseline `whole`")


class Real(DataRoot):
    """What it is tested on."""

    dataset: str | None = Field(None, description="where the real images are (default: where the set was built from)")


class Protocol(Seed, Evaluation):
    """How the networks are trained."""


class Eval(ConfiguredCommand):
    """Train fresh networks on each proxy set and test them on the real test split. Scores are kept in the files."""

    examples = (
        "proxyset eval proxysets/digits-dsa-ipc1-seed0.safetensors --baseline random whole",
        "proxyset eval a.safetensors b.safetensors --net convnet resnet18 --nets 5",
        "proxyset eval mine.safetensors --net my_module:my_net --json",
    )

    files: tyro.conf.Positional[tuple[Path, ...]] = Field((), title="FILE ...", description="proxy sets")
    contenders: Contenders = Field(Contenders(), title="what is scored")
    real: Real = Field(Real(), title="what it is tested on")
    protocol: Protocol = Field(Protocol(), title="how the networks are trained")
    compute: Compute = Field(Compute(), title="where it runs")
    output: AsJson = Field(AsJson(), title="output")


def eval_command(argv: list[str]) -> None:
    command = parse(Eval, argv, "proxyset eval")
    if not command.files:
        raise InputError("no proxy set given: proxyset eval FILE [FILE ...]")
    from proxyset.compute.session import Session
    from proxyset.report.scores import Contest

    session = Session(command.compute)
    proxies = {str(path): load_set(path) for path in command.files}
    dataset = real_data(proxies, command.real.dataset, command.real.data_root)
    contest = Contest(
        dataset,
        Evaluation(**command.protocol.model_dump(exclude={"seed"})),
        command.contenders.net or (net_of(next(iter(proxies.values()))),),
        command.protocol.seed,
        command.contenders.whole_epochs,
    )
    score(proxies, command.contenders.baseline, contest, session, command.output.as_json)
