"""Every method within the same time: accuracy, seconds and peak memory, as a table.

    OMP_NUM_THREADS=1 python -m benchmarks.rivals digits --ipc 1 --within 60 --nets 10 --out rivals-digits-1

Each set is built by a process of its own, so that its peak memory is that of its method. Methods that learn step by
step take `--within`; the others take what they need. A call that was stopped goes on, and sets that are scored stay so.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.given import parser_for
from proxyset.artefact.proxy_set import ProxySet
from proxyset.data.load import load
from proxyset.data.spec import Dataset
from proxyset.methods.inducing_points import kernel_accuracy
from proxyset.methods.kip import KIP
from proxyset.methods.registry import METHODS, get_method
from proxyset.methods.synthesis import LearnedMethod

BEST = "(no method named)"


def command(*words: object) -> None:
    """Run `proxyset` with these words; what goes wrong ends this process too."""
    subprocess.run([sys.executable, "-m", "proxyset", *map(str, words)], check=True)


def built(name: str, given: argparse.Namespace, place: list[object]) -> Path:
    """The set of a method."""
    path: Path = given.out / f"{'best' if name == BEST else name}.safetensors"
    if path.exists():
        return path
    kind = None if name == BEST else get_method(name)
    words: list[object] = ["build", *place, "--ipc", given.ipc, "--out", path, "--resume"]
    words += [] if kind is None else ["--method", name]
    words += ["--net", given.net] if kind is None or "net" in kind.model_fields else []
    words += ["--within", f"{given.within}s"] if kind is None or issubclass(kind, LearnedMethod) else []
    command(*words, *given.settings.get(name, []))
    return path


def scored(path: Path, given: argparse.Namespace, place: list[object]) -> dict[str, Any]:
    """The score of a set that is there, or now."""
    if not ProxySet.load(path).provenance["scores"]:
        more = ["--no-flip"] if given.no_flip else []
        where = [word for word in place if word not in more]
        command("eval", path, *where, "--net", given.net, "--nets", given.nets, "--epochs", given.epochs)
    return dict(ProxySet.load(path).provenance["scores"][-1])


def row(name: str, path: Path, score: dict[str, Any], dataset: Dataset) -> dict[str, Any]:
    """What the table says of a set."""
    proxy = ProxySet.load(path)
    facts = proxy.provenance
    found = {
        "method": name,
        "seconds": round(facts["seconds"], 1),
        "iterations": facts["settings"].get("iterations"),
        "peak_mib": round(facts["peak_memory_bytes"] / 2**20),
        "bytes": facts["bytes"],
        "accuracy": score["mean"],
        "std": score["std"],
        "n": len(score["accuracies"]),
    }
    if name == KIP.name:
        used = {key: value for key, value in facts["settings"].items() if key in KIP.model_fields}
        found["kernel"] = kernel_accuracy(KIP(**used), proxy.data, dataset.test, proxy.spec)
    return found


def check_same(given: argparse.Namespace) -> None:
    """Keep what was asked in the folder; a call that asks for something else there is refused."""
    path, asked = (
        given.out / "asked.json",
        {name: str(value) for name, value in vars(given).items() if name != "methods"},
    )
    given.out.mkdir(parents=True, exist_ok=True)
    if path.exists() and json.loads(path.read_text()) != asked:
        raise SystemExit(f"{given.out} holds the sets of other arguments ({path}): --out names another folder")
    path.write_text(json.dumps(asked, indent=1) + "\n")


def main() -> None:
    parser = parser_for(__doc__, "rivals")
    parser.add_argument("--ipc", type=int, default=10)
    parser.add_argument("--within", type=int, default=600, help="seconds for each method that learns step by step")
    parser.add_argument("--net", default="convnet-w32")
    parser.add_argument("--nets", type=int, default=10, help="networks that score each set")
    parser.add_argument("--epochs", type=int, default=1000, help="epochs of each of them")
    parser.add_argument("--settings", type=json.loads, default={}, help='more flags, as {"mtt": ["--experts", "2"]}')
    parser.add_argument("--methods", nargs="+", default=[*METHODS, BEST])
    given = parser.parse_args()
    check_same(given)
    place = ["--dataset", given.dataset, "--data-root", given.data_root, *(["--no-flip"] if given.no_flip else [])]
    dataset = load(given.dataset, data_root=given.data_root, flip=False if given.no_flip else None)
    rows = []
    for name in given.methods:
        path = built(name, given, place)
        rows.append(row(name, path, scored(path, given, place), dataset))
        print(json.dumps(rows[-1]), flush=True)
        (given.out / "rivals.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
