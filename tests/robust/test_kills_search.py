"""`search run`, killed at every write point and run again."""

import json
from pathlib import Path
from typing import Any

import pytest

from proxyset.folders import MARKER
from proxyset.parsing import read_rows
from search.finals import FINALS, NETWORKS, read_finals
from search.folder import CONFIG, PLAN, RESULTS, ROWS, SOURCES
from search.network import Network
from tests.conftest import make_dataset
from tests.robust.kills import EVERY, Spec, kill_all
from tests.search.conftest import save_images

MODULES = [
    "search.cli",
    "search.commands",
    "search.driver",
    "search.report",
    "search.figures",
    "search.page",
    "proxyset.data.load",
]
MODULES += ["proxyset.methods.coreset", "matplotlib.backends.backend_agg", "torch._dynamo", "pyarrow.parquet"]
MODULES += ["scipy.stats", "search.tables", "pandas", "rich.console"]
FLAGS = "--dataset tiny.npz --where width<=32,depth<=1 --sample 2 --ipc 2 --epochs 1 --whole-epochs 1 --no-free "
FLAGS += "--truth all --promote 1 --final-epochs 1"
ARGV = ["run", *FLAGS.split(), "--workers", "0", "--proxy", "random", "--out", "run"]
OF_RUN = (MARKER, CONFIG, PLAN, SOURCES, ROWS, FINALS, NETWORKS, *RESULTS)
FILES = {"tiny.npz", "run", "proxysets", *(f"run/{name}" for name in OF_RUN)}


def kill(tmp_path: Path, argv: list[str], before: list[list[str]]) -> list[dict[str, Any]]:
    """What came of a kill at each write point; the run that was not killed first."""
    template, copies = tmp_path / "template", tmp_path / "copies"
    template.mkdir()
    copies.mkdir()
    save_images(make_dataset(counts=12), template / "tiny.npz")
    main = "tests.robust.search_world:go_on"
    spec = Spec(main, MODULES, str(template), str(copies), argv, ["again", *argv], before, EVERY)
    return kill_all([spec], tmp_path)[0]


def outcome(folder: Path) -> tuple[Any, ...]:
    """What must not depend on a kill: rows and summary without times, and which files there are."""
    rows = [{**row, "seconds": 0} for row in read_rows(folder / "run" / ROWS)]
    summary = json.loads((folder / "run" / "summary.json").read_text())
    for facts in summary["sources"].values():
        facts["build_seconds"] = facts["trial_seconds"] = 0
    finals = summary["finals"] = [{**row, "seconds": 0} for row in read_finals(folder / "run")]
    names = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    kept = {f"run/{NETWORKS}/{row['name']}.safetensors" for row in finals}
    assert {name for name in names if not name.startswith("proxysets/")} == FILES | kept
    nets = [Network.load(folder / name) for name in sorted(kept)]  # their data lies at another place in every copy
    weights = [{key: tensor.tolist() for key, tensor in net.weights.items()} for net in nets]
    return rows, summary, names, weights, [{**net.facts, "dataset": None} for net in nets]


@pytest.mark.slow
@pytest.mark.parametrize("over", [False, True], ids=["new", "force"])
def test_a_killed_run_goes_on_to_the_same_rows_and_leaves_nothing_over(over: bool, tmp_path: Path) -> None:
    argv = [*ARGV, "--force"] if over else ARGV
    whole, *runs = kill(tmp_path, argv, [[*ARGV, "--seed", "3"]] if over else [])
    expected = outcome(Path(whole["folder"]))
    assert len(runs) > 50 / EVERY
    for one in runs:
        folder = Path(one["folder"])
        if over and json.loads((folder / "run" / CONFIG).read_text())["seed"] == 3:
            continue  # the old run had not gone yet: it is still whole
        assert outcome(folder) == expected, one
