"""Accuracy against seconds for several methods: one picture, and the numbers in it.

    OMP_NUM_THREADS=2 python -m benchmarks.minutes cifar10/ --within 900 --out minutes-cifar10

Each method learns 10 images per class for as long, with features or gradients of a ConvNet of width 32. A student of
that width is tested on held-out training images on the way (`--trace`). Random images in tiles with a teacher's answers
learn nothing, so that they are one point, at the seconds that the teacher took. A call that was stopped goes on.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.given import dataset_of, learned_within, parser_for
from proxyset.artefact.build import ProxySpec, build_file
from proxyset.artefact.proxy_set import ProxySet
from proxyset.artefact.trace import EPOCHS, split
from proxyset.compute.session import Session
from proxyset.data.spec import Dataset
from proxyset.errors import InputError
from proxyset.methods.coreset import Random
from proxyset.methods.dm import DM
from proxyset.methods.dsa import DSA
from proxyset.methods.krr import KRR
from proxyset.methods.synthesis import LearnedMethod
from proxyset.report.curves import Curve, save_curves
from proxyset.settings import Compute
from proxyset.train.evaluate import evaluate
from proxyset.train.protocols import Evaluation

IPC = 10
NET = "convnet-w32"
QUICK: dict[str, Any] = {"net": NET, "batch_real": 64, "lr_img": 5.0}
TRAINED: dict[str, Any] = {"networks": "between", "teacher_epochs": 4, "weight_classes": 3.0}
METHODS: dict[str, LearnedMethod] = {
    "DSA, lr_img 1": DSA(net=NET, lr_img=1.0),  # at the paper's 0.1 so few iterations hardly change the images
    "DM": DM(**QUICK),
    "DM, 4 in one": DM(formation=2, **QUICK),
    "DM, 4 in one, trained networks": DM(formation=2, **QUICK, **TRAINED),
    "krr": KRR(net=NET, batch_real=512),
}
RANDOM = "random, 4 in one, teacher"


def traced(dataset: Dataset, method: LearnedMethod, seconds: float, points: int, path: Path) -> ProxySet:
    """The set of a method, with its trace."""
    wanted = ProxySpec(dataset, method, IPC, trace=points)
    return learned_within(wanted, seconds, path, Session(Compute()), progress=True)


def untaught(dataset: Dataset, path: Path) -> tuple[float, float]:
    """Seconds and accuracy of random images in tiles with a teacher's answers: see above."""
    session = Session(Compute())
    real, validation = split(dataset.train, dataset.spec)
    method = Random(formation=2, targets="teacher", teacher_net=NET)
    proxy = build_file(ProxySpec(replace(dataset, train=real), method, IPC), path, session=session)
    protocol = Evaluation(nets=1, epochs=EPOCHS, protocol="equal-updates")
    score = evaluate(proxy.data, validation, proxy.spec, protocol, net=NET, session=session)
    return proxy.provenance["teacher"]["seconds"], score.mean


def main() -> None:
    parser = parser_for(__doc__, "minutes")
    parser.add_argument("--within", type=float, default=900, help="seconds for each method")
    parser.add_argument("--points", type=int, default=4, help="students of each method, besides the one at its start")
    given = parser.parse_args()
    dataset = dataset_of(given)
    curves: dict[str, Curve] = {RANDOM: [untaught(dataset, given.out / "random.safetensors")]}
    for number, (name, method) in enumerate(METHODS.items()):
        try:
            proxy = traced(dataset, method, given.within, given.points, given.out / f"{number}.safetensors")
        except InputError as error:  # its networks alone take longer
            print(name, error, flush=True)
            continue
        curves[name] = [(row["seconds"], row["accuracy"]) for row in proxy.provenance["trace"]]
        print(name, " · ".join(f"{seconds:.0f} s {accuracy:.1%}" for seconds, accuracy in curves[name]), flush=True)
    title = f"{dataset.spec.name} · students on held-out training images"
    save_curves(curves, title, given.out / "curves.png")
    (given.out / "curves.json").write_text(json.dumps(curves, indent=1) + "\n")


if __name__ == "__main__":
    main()
