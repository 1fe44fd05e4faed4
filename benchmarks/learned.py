"""How well learned proxy sets rank, beside random images: the paper's space on street digits, and NAS-Bench-201.

    OMP_NUM_THREADS=1 python -m benchmarks.learned svhn svhn10k.npz --out learned-svhn
    OMP_NUM_THREADS=1 python -m benchmarks.learned nasbench201 cifar10/ --truth-file nasbench201.csv --out learned-cells

Images have 16×16 pixels, and sets have 10 stored images per class. On every set an architecture is trained on as many
images, epochs counted: four tiles are four images. A call that was stopped goes on.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from proxyset.compute.parallel import Pool
from proxyset.data.load import load
from proxyset.methods.base import Method
from proxyset.methods.coreset import Random
from proxyset.methods.dm import DM
from proxyset.methods.dsa import DSA
from search.api import rank_architectures
from search.settings import RankingSettings, SpaceChoice
from search.sources.proxies import ProxyLike

SIZE = 16
CELL = "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_3x3~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
QUICK: dict[str, Any] = {"batch_real": 64, "lr_img": 5.0, "schedule_img": "cosine"}
TRAINED: dict[str, Any] = {"networks": "between", "trainings": 4, "weight_classes": 3.0, "net": "convnet-w32"}


def street_digits(given: argparse.Namespace) -> None:
    """48 of the paper's 720 ConvNets, of width 32 and 64, against training on the whole set."""
    proxies: dict[str, ProxyLike] = {
        "dm, 4 in one": DM(formation=2, iterations=1000, teacher_epochs=12, **QUICK, **TRAINED),
        "random, 4 in one": Random(formation=2),
        "early-stop": "early-stop",
        "whole": "whole",
        "asha": "asha",
    }
    settings = RankingSettings(epochs=50, whole_epochs=8, batch_size=100, validation=0.2)
    dataset = load(given.dataset, size=SIZE, flip=False)
    space = SpaceChoice(where="width<=64", sample=48)
    rank_architectures(dataset, proxies, space=space, settings=settings, pool=Pool(workers=1), folder=given.out)


def cells(given: argparse.Namespace) -> None:
    """100 cells of NAS-Bench-201 against published accuracies: sets of whole images, then one of tiles."""
    whole: Mapping[str, Method] = {
        "random": Random(),
        "dm, by a cell": DM(net=CELL, iterations=150, **QUICK),
        "dsa": DSA(net="convnet-w32", lr_img=1.0, iterations=30),
    }
    tiles: Mapping[str, Method] = {
        "dm, 4 in one": DM(formation=2, iterations=1000, teacher_epochs=4, **QUICK, **TRAINED)
    }
    for name, proxies, epochs in (("whole", whole, 15), ("tiles", tiles, 4)):
        settings = RankingSettings(
            epochs=epochs,
            batch_size=20,
            lr=0.05,
            schedule="cosine",
            augment="crop_flip",
            score_images=1000,
            free=False,
            truth_file=given.truth_file,
            truth_column="cifar10_200",
            rank_columns=("cifar10_12",),
        )
        space = SpaceChoice(space="nasbench201", sample=100)
        dataset = load(given.dataset, size=SIZE)
        rank_architectures(dataset, dict(proxies), space=space, settings=settings, folder=given.out / name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["svhn", "nasbench201"])
    parser.add_argument("dataset", help="path of a folder, .npz or .parquet")
    parser.add_argument("--truth-file", type=Path, help="CSV file of NAS-Bench-201's accuracies")
    parser.add_argument("--out", type=Path, default=Path("learned"), help="folder for the runs")
    given = parser.parse_args()
    {"svhn": street_digits, "nasbench201": cells}[given.what](given)


if __name__ == "__main__":
    main()
