"""`proxyset build` and `proxyset export`, killed at write points and run again."""

from pathlib import Path
from typing import Any

import pytest

from proxyset.artefact.outputs import is_picture
from proxyset.folders import MARKER
from tests.proxyset.cli.made import STEPS, save_npz, snapshot, tensor_bytes
from tests.robust.kills import EVERY_SHORT, Spec, kill_all

pytestmark = pytest.mark.slow

MODULES = [
    *("proxyset.cli.app", "proxyset.cli.build", "proxyset.cli.export", "proxyset.methods.dsa"),
    *("proxyset.methods.coreset", "proxyset.methods.gradient_matching", "proxyset.artefact.build"),
    *("proxyset.artefact.export", "proxyset.data.load", "proxyset.report.figures", "matplotlib.figure"),
    *("matplotlib.backends.backend_agg", "torch._dynamo"),
]
OUT = ["--dataset", "three.npz", "--out", "sets/mine.safetensors"]
RANDOM = ["build", *OUT, "--method", "random"]
DSA = ["build", *OUT, *STEPS, "--iterations", "2", "--checkpoint-every", "1"]
FOLDER = ["export", "sets/mine.safetensors", "--out", "out"]
NPZ = ["export", "sets/mine.safetensors", "--format", "npz", "--out", "out.npz"]
SCENARIOS = {  # runs that come before, what is killed, what runs then
    "random": ([], RANDOM, [*RANDOM, "--resume"]),
    "dsa": ([], DSA, [*DSA, "--resume"]),
    "replaced": ([[*RANDOM, "--seed", "7"]], [*RANDOM, "--force"], [*RANDOM, "--force", "--resume"]),
    "folder": ([RANDOM, FOLDER], [*FOLDER, "--force"], [*FOLDER, "--force"]),
    "npz": ([RANDOM, NPZ], [*NPZ, "--force"], [*NPZ, "--force"]),
}
Runs = list[dict[str, Any]]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Runs]:
    """What came of each scenario: the run that was not killed, then one for each write point."""
    root = tmp_path_factory.mktemp("kills")
    specs = []
    for name, (setup, argv, again) in SCENARIOS.items():
        template = root / f"{name}-template"
        template.mkdir()
        save_npz(template / "three.npz")
        places, every = (str(template), str(root / name)), EVERY_SHORT
        specs.append(Spec("proxyset.cli.app:main", MODULES, *places, argv, again, setup, every))
    return dict(zip(SCENARIOS, kill_all(specs, root), strict=True))


@pytest.mark.parametrize("name", ["random", "dsa", "replaced"])
def test_a_killed_build_resumes_to_the_same_bits(name: str, killed: dict[str, Runs]) -> None:
    """The same artefact, its picture, and nothing else, wherever it was killed; also where an older set goes."""
    whole = Path(killed[name][0]["folder"])
    files = {"three.npz", "sets", "sets/mine.safetensors", "sets/mine.png"}
    picture = (whole / "sets/mine.png").read_bytes()
    bits = tensor_bytes(whole / "sets/mine.safetensors")
    assert len(killed[name]) > 12 / EVERY_SHORT
    for one in killed[name]:
        folder = Path(one["folder"])
        assert snapshot(folder).keys() == files, one
        assert tensor_bytes(folder / "sets/mine.safetensors") == bits, one
        assert (folder / "sets/mine.png").read_bytes() == picture, one
    assert is_picture(whole / "sets/mine.png")


def test_the_replaced_set_was_another(killed: dict[str, Runs]) -> None:
    folders = [Path(killed[name][0]["folder"]) for name in ("random", "replaced")]
    old = folders[1].parents[1] / "replaced-template"
    new, same = (tensor_bytes(folder / "sets/mine.safetensors") for folder in folders)
    assert new == same != tensor_bytes(old / "sets/mine.safetensors")


@pytest.mark.parametrize("name", ["folder", "npz"])
def test_a_killed_export_leaves_nothing_over(name: str, killed: dict[str, Runs]) -> None:
    whole = snapshot(Path(killed[name][0]["folder"])).keys()
    assert name == "npz" or f"out/{MARKER}" in whole
    for one in killed[name]:
        assert snapshot(Path(one["folder"])).keys() == whole, one
