"""A folder with what the robustness tests of `search` need: a dataset, proxy sets, a finished run, a user's files."""

import contextlib
import shlex
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from proxyset.artefact.build import build
from proxyset.data.load import load
from proxyset.data.spec import Dataset
from search.cli import main
from tests.conftest import make_dataset
from tests.search.conftest import SMALL, save_images

QUICK = f"--dataset tiny.npz {SMALL} --workers 0"
OWN = QUICK.replace("--where width<=32,depth<=2 --sample 4", "")  # for a space of one's own
RUN = f"run {QUICK} --proxy random --out run"
SPACES = """
from torch import nn

def one(channels, size, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size**2, classes))

def fine():
    yield from (("a", one), ("b", one))

def single():
    yield "a", one

def twice():
    yield from (("a", one), ("a", one))

def odd():
    yield from (1, 2)

def named():
    yield from (("a\\x1b[31m", one), ("b", one))

def misfits():
    yield from (("a", lambda c, s, k: nn.Flatten()), ("b", lambda c, s, k: nn.Flatten()))

def endless():
    while True:
        yield "a", one

def fails():
    raise ValueError("no")

number = 3
"""


def call(line: str) -> int:
    """The exit code of `search` with these words."""
    with pytest.raises(SystemExit) as stop:
        main(shlex.split(line))
    return int(stop.value.code or 0)


def make_world(folder: Path) -> Path:
    """Fill a folder."""
    folder.mkdir(exist_ok=True)
    tiny = save_images(make_dataset(counts=12), folder / "tiny.npz")
    other = save_images(make_dataset(counts=12, seed=5), folder / "other.npz")
    _save_without_test(make_dataset(counts=12, test_count=0), folder / "untested.npz")
    with contextlib.chdir(folder):
        for name, path in {"mine": tiny, "foreign": other}.items():
            build(load(path.name), "random", 2, progress=False).save(Path(f"{name}.safetensors"))
        Path("same").mkdir()
        Path("same/mine.safetensors").write_bytes(Path("mine.safetensors").read_bytes())
        Path("notes.safetensors").write_text("not a proxy set")
        save_file({"weights": np.zeros(3)}, "weights.safetensors")
        Path("spaces.py").write_text(SPACES)
        Path("broken.py").write_text("raise RuntimeError('no')\n")
        Path("notes.txt").write_text("mine")
        Path("images").mkdir()
        Path("images/letter.txt").write_text("mine")
        Path("dangling").symlink_to("nowhere")
        for name, text in CONFIGS.items():
            Path(f"{name}.yaml").write_text(text)
        assert call(RUN) == 0
    return folder


CONFIGS = {
    "unknown": "epochz: 3\n",
    "twice": "epochs: 3\nepochs: 4\n",
    "list": "- epochs\n",
    "true": "ipc: true\n",
    "infinite": "lr: .inf\n",
    "itself": "config: itself.yaml\n",
    "broken": "epochs: [1\n",
}


def _save_without_test(dataset: Dataset, path: Path) -> None:
    arrays = {"x_train": dataset.train.images.numpy(), "y_train": dataset.train.labels.numpy()}
    empty = {"x_test": arrays["x_train"][:0], "y_test": arrays["y_train"][:0]}
    np.savez(path, allow_pickle=False, **arrays, **empty)


def go_on(argv: list[str]) -> None:
    """`search` with these words; after `again` with `--resume`, or from the beginning where the run had not begun."""
    if argv[0] == "again":
        argv = ["run", "--resume", "run"] if Path("run/config.json").exists() else argv[1:]
    main(argv)
