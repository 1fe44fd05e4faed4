"""What each ingredient of a quick set gives: the same seconds of learning for every row, and the same students.

    OMP_NUM_THREADS=1 python -m benchmarks.ingredients cifar10/ --within 150 --out ingredients

The set that `proxyset build --within` would make is the first row. Every other row changes one thing, or leaves out the
trained networks, or learns nothing. Networks that are trained first, and the teacher, do not count. Students are tested
on training images that were held out. A call that was stopped goes on.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from benchmarks.given import dataset_of, learned_within, parser_for
from proxyset.artefact.build import ProxySpec, build_file
from proxyset.artefact.outputs import keep_folder
from proxyset.artefact.proxy_set import ProxySet
from proxyset.artefact.trace import split
from proxyset.compute.session import Session
from proxyset.data.images import ImageSet
from proxyset.data.spec import Dataset
from proxyset.files import write_atomic
from proxyset.methods.base import Context, Method
from proxyset.methods.coreset import Random
from proxyset.methods.dm import DM
from proxyset.methods.teacher import label
from proxyset.settings import Compute
from proxyset.train.evaluate import evaluate
from proxyset.train.protocols import Evaluation

IPC = 10
TEACHER = 12  # epochs, at most
NET = "convnet-w32"
QUICK: dict[str, Any] = {"net": NET, "batch_real": 64, "lr_img": 5.0, "schedule_img": "cosine"}
TRAINED: dict[str, Any] = {"networks": "between", "trainings": 2, "teacher_epochs": 4, "weight_classes": 3.0}


@dataclass(frozen=True)
class Row:
    """One set.

    Attributes:
        method: as it is without a teacher.
        precision: of the learning.
        teacher: give the set the answers of a teacher.
        shares: the row that learns the same set.
    """

    method: Method
    precision: Literal["fp32", "bf16"] = "fp32"
    teacher: bool = False
    shares: str = ""


def dm(**changes: Any) -> DM:
    """The method of the first row, changed."""
    return DM(**{"formation": 2, **QUICK, **TRAINED, **changes})


FRESH: dict[str, Any] = {"networks": "random", "weight_classes": 0.0}
ROWS: dict[str, Row] = {
    "default": Row(dm()),
    "weight_classes 10": Row(dm(weight_classes=10.0)),
    "weight_classes 30": Row(dm(weight_classes=30.0)),
    "k-means": Row(dm(real_batches="k-means")),
    "bf16": Row(dm(), "bf16"),
    "teacher": Row(dm(), teacher=True, shares="default"),
    "one in one": Row(dm(formation=1)),
    "fresh": Row(dm(**FRESH)),
    "fresh, k-means": Row(dm(**FRESH, real_batches="k-means")),
    "fresh, bf16": Row(dm(**FRESH), "bf16"),
    "fresh, teacher": Row(dm(**FRESH), teacher=True, shares="fresh"),
    "fresh, one in one": Row(dm(**FRESH, formation=1)),
    "k-means, bf16": Row(dm(real_batches="k-means"), "bf16"),
    "random": Row(Random(formation=2)),
    "random, teacher": Row(Random(formation=2), teacher=True, shares="random"),
    "random, one in one": Row(Random()),
}


class Ingredients:
    """The rows of one dataset.

    Args:
        dataset: its training images are split in two: one part is condensed, students are tested on the other.
        seconds: of learning.
        folder: for sets, networks and numbers.
    """

    def __init__(self, dataset: Dataset, seconds: float, folder: Path, student: str, protocol: Evaluation) -> None:
        real, self.held_out = split(dataset.train, dataset.spec)
        self.dataset, self.seconds, self.folder = replace(dataset, train=real), seconds, folder
        self.student, self.protocol = student, protocol

    def learn(self, name: str, row: Row) -> ProxySet:
        """The set of a row, without a teacher's answers; its networks are trained before the clock starts."""
        path = self.folder / f"{name.replace(', ', '-').replace(' ', '-')}.safetensors"
        session, wanted = Session(Compute(precision=row.precision)), ProxySpec(self.dataset, row.method, IPC)
        if isinstance(row.method, DM):
            row.method.trained_networks(wanted.problem, self.context(wanted, session))
            return learned_within(wanted, self.seconds, path, session)
        return build_file(wanted, path, session=session)

    def answered(self, proxy: ProxySet, method: Method) -> ImageSet:
        """The set with a teacher's answers."""
        teacher = Random(formation=method.tiles_across(), targets="teacher", teacher_net=NET, teacher_epochs=TEACHER)
        wanted, session = ProxySpec(self.dataset, teacher, IPC), Session(Compute())
        context = self.context(wanted, session)
        data = label(teacher, proxy.data, wanted.problem, context)
        print(context.facts["teacher"], flush=True)
        return data

    def context(self, wanted: ProxySpec, session: Session) -> Context:
        keep = keep_folder(self.folder / "any.safetensors")  # as for every set of the folder
        return Context(torch.Generator(), session, wanted.engine(session), keep=keep)

    def measure(self, name: str, row: Row) -> dict[str, Any]:
        proxy = self.learn(row.shares or name, row)
        data = self.answered(proxy, row.method) if row.teacher else proxy.data
        session, spec = Session(Compute()), self.dataset.spec
        score = evaluate(data, self.held_out, spec, self.protocol, net=self.student, session=session)
        within = proxy.provenance.get("within") or {"iterations": 0}
        return {"mean": score.mean, "std": score.std, "iterations": within["iterations"]}


def main() -> None:
    parser = parser_for(__doc__, "ingredients")
    parser.add_argument("--within", type=float, default=150, help="seconds of learning for each row")
    parser.add_argument("--rows", default=";".join(ROWS), help="which, by name, with semicolons between them")
    parser.add_argument("--net", default="convnet-w64", help="the students")
    parser.add_argument("--nets", type=int, default=3, help="students of each row")
    parser.add_argument("--epochs", type=int, default=400, help="of 100 images, or as many updates")
    given = parser.parse_args()
    dataset = dataset_of(given)
    protocol = Evaluation(nets=given.nets, epochs=given.epochs, protocol="equal-updates")
    rows = Ingredients(dataset, given.within, given.out, given.net, protocol)
    for name in given.rows.split(";"):
        path = given.out / f"{name}.json"
        if not path.exists():
            write_atomic(path, json.dumps(rows.measure(name, ROWS[name])).encode())
        print(name, path.read_text(), flush=True)


if __name__ == "__main__":
    main()
