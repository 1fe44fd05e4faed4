"""Wrong inputs of `continual`: each is one line and exit code 2, and nothing is written, changed or removed."""

import contextlib
import io
import json
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from continual.cli import main

QUICK = ("--net", "convnet-w4-d1", "--epochs", "1", "--balance-epochs", "1", "--ipc", "2")
SMALL = ("--dataset", "data.npz", "--steps", "2", *QUICK)
RUN = ("run", *SMALL, "--memory", "random", "--out", "out")
COMPARE = ("compare", *SMALL, "--memory", "none", "random", "--seeds", "0", "--out", "out")

RUNS = [  # after `continual run --memory random`
    ("--steps", "5"),
    ("--steps", "1"),
    ("--steps", "0"),
    ("--steps", "two"),
    ("--limit", "1"),
    ("--limit", "0"),
    ("--limit", "49"),
    ("--ipc", "0"),
    ("--ipc", "-1"),
    ("--ipc", "13"),
    ("--ipc", "1.5"),
    ("--ipc", "99999999999999999999"),
    ("--budget", "0"),
    ("--budget", "3"),
    ("--budget", "49"),
    ("--budget", "none"),
    ("--seed", "-1"),
    ("--seed", "4294967296"),
    ("--seed", "99999999999999999999"),
    ("--seed", "one"),
    ("--lr", "inf"),
    ("--lr", "nan"),
    ("--lr", "0"),
    ("--lr", "-0.1"),
    ("--lr", "1e400"),
    ("--balance-lr", "inf"),
    ("--balance-lr", "nan"),
    ("--weight-decay", "inf"),
    ("--weight-decay", "nan"),
    ("--weight-decay", "-1"),
    ("--momentum", "1"),
    ("--momentum", "nan"),
    ("--temperature", "0"),
    ("--temperature", "inf"),
    ("--kd-weight", "inf"),
    ("--kd-weight", "nan"),
    ("--kd-weight", "-1"),
    ("--epochs", "0"),
    ("--epochs", "2.5"),
    ("--balance-epochs", "0"),
    ("--gdumb-epochs", "0"),
    ("--lr-every", "0"),
    ("--batch-size", "1"),
    ("--optimiser", "sgdd"),
    ("--schedule", "never"),
    ("--loss", "mse"),
    ("--augment", "crop_crup"),
    ("--augment", ""),
    ("--scheme", "gdumm"),
    ("--current-data", "half"),
    ("--batches", "all"),
    ("--kd-softmax", "none"),
    ("--scheme", "gdumb", "--kd"),
    ("--memory", "none", "--scheme", "gdumb"),
    ("--memory", "none", "--current-data", "memory"),
    ("--memory", "joint", "--kd"),
    ("--steps", "4", "--kd"),
    ("--memory", ""),
    ("--memory", "herdign"),
    ("--memory", "no_such_module:Mean"),
    ("--memory", "json:no_such_class"),
    ("--memory", "json:loads"),
    ("--memory", "a:b:c"),
    ("--memory", "gone.safetensors"),
    ("--memory", "notes.safetensors"),
    ("--memory", "other.safetensors"),
    ("--memory", "other.safetensors,other.safetensors"),
    ("--memory", "folder.safetensors"),
    ("--memory", "random,herding"),
    ("--memory-settings", "iterations=5"),
    ("--memory-settings", "iterations"),
    ("--memory-settings", "=5"),
    ("--memory", "dsa", "--memory-settings", "iteration=5"),
    ("--memory", "dsa", "--memory-settings", "iterations=x"),
    ("--memory", "dsa", "--memory-settings", "iterations=0"),
    ("--memory", "dsa", "--memory-settings", "iterations=[1"),
    ("--memory", "dsa", "--memory-settings", "iterations=5", "iterations=6"),
    ("--memory", "dsa", "--memory-settings", "net_epochs=5", "net-epochs=6"),
    ("--memory", "dsa", "--memory-settings", "lr_img=.inf"),
    ("--memory", "dsa", "--memory-settings", "iterations=true"),
    ("--memory", "dsa", "--memory-settings"),
    ("--net", "resnet"),
    ("--net", "convnet-w0"),
    ("--net", "convnet-d9"),
    ("--net", "no_such_module:net"),
    ("--net", "json:loads"),
    ("--net", ""),
    ("--dataset", "nothing"),
    ("--dataset", "gone.npz"),
    ("--dataset", "notes.npz"),
    ("--dataset", "."),
    ("--dataset", ""),
    ("--tasks",),
    ("--tasks", "data.npz"),
    ("--tasks", "data.npz", "data.npz"),
    ("--tasks", "data.npz", "./data.npz"),
    ("--tasks", "data.npz", "three.npz"),
    ("--tasks", "data.npz", "gone.npz"),
    ("--size", "7"),
    ("--size", "100000"),
    ("--size", "x"),
    ("--channels", "2"),
    ("--device", "tpu"),
    ("--device", "cuda:99"),
    ("--precision", "fp8"),
    ("--compile", "maybe"),
    ("--memory-limit", "0"),
    ("--memory-limit", "nan"),
    ("--memory-limit", "inf"),
    ("--memory-limit", "0.0000001"),
    ("--memory", "dsa", "--memory-limit", "0.0000001"),
    ("--resume", "--force"),
    ("--resume",),
    ("--out", "notes.txt"),
    ("--out", "notes.txt/below"),
    ("--out", "images"),
    ("--out", "images", "--force"),
    ("--out", "images", "--resume"),
    ("--out", "."),
    ("--out", ""),
    ("--out", "finished"),
    ("--out", "finished", "--lr", "0.5", "--resume"),
    ("--out", "grid", "--force"),
    ("--out", "damaged", "--resume"),
    ("--out", "dangling"),
    ("--store", "notes.txt", "--memory", "random"),
    ("--config", "gone.yaml"),
    ("--config", "notes.txt"),
    ("--config", "wrong.yaml"),
    ("--workers", "2"),
    ("--seeds", "0", "1"),
    ("--nett", "x"),
    ("stray",),
    ("--epochs",),
]
COMPARES = [  # after `continual compare --memory none random --seeds 0`
    ("--seeds",),
    ("--seeds", "0", "0"),
    ("--seeds", "-1"),
    ("--seeds", "0", "4294967296"),
    ("--seeds", "zero"),
    ("--seeds", "0.5"),
    ("--memory",),
    ("--memory", "random", "random"),
    ("--memory", "random", "rnadom"),
    ("--memory", ""),
    ("--memory", "a/x.safetensors", "b/x.safetensors"),
    ("--memory-settings", "iterations=5"),
    ("--memory", "random", "dsa", "--memory-settings", "iterations=5", "iterations=6"),
    ("--kd", "maybe"),
    ("--kd", "with", "--scheme", "gdumb", "--memory", "none"),
    ("--workers", "0"),
    ("--workers", "-1"),
    ("--workers", "many"),
    ("--workers", "1.5"),
    ("--workers", "100000"),
    ("--address", "nowhere"),
    ("--address", ""),
    ("--steps", "5"),
    ("--lr", "inf"),
    ("--budget", "3"),
    ("--budget", "49"),
    ("--limit", "49"),
    ("--resume", "--force"),
    ("--resume",),
    ("--out", "notes.txt"),
    ("--out", "images"),
    ("--out", "images", "--force"),
    ("--out", "grid"),
    ("--out", "finished", "--force"),
    ("--config", "wrong.yaml"),
    ("--seed", "1"),
]
REPORTS = [  # whole commands
    ("report",),
    ("report", "gone"),
    ("report", "notes.txt"),
    ("report", "images"),
    ("report", "broken"),
    ("report", "partly"),
    ("report", "finished", "more"),
    ("report", "finished", "--out", "notes.txt"),
    ("report", "finished", "--out", "images"),
    ("report", "finished", "--out", "notes.txt/below"),
    ("report", "finished", "--outt", "x"),
    ("report", "finished", "--json", "3"),
    ("reprot", "finished"),
    ("finished",),
]
WRONG = [(*RUN, *more) for more in RUNS] + [(*COMPARE, *more) for more in COMPARES] + REPORTS


def call(argv: tuple[str, ...]) -> tuple[int, str]:
    """The exit code of a command, and what it wrote to stderr."""
    errors, state = io.StringIO(), random.getstate()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        try:
            main(list(argv))
        except SystemExit as stop:
            code = int(stop.code or 0)
    random.setstate(state)  # rich numbers its links with the global generator, which no result depends on
    return code, errors.getvalue()


def content(folder: Path) -> dict[str, bytes | str | None]:
    """Everything below a folder: files with their bytes, links with their targets, folders."""
    held: dict[str, bytes | str | None] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        held[name] = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
    return held


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with data, a run, a comparison, and what belongs to somebody else."""
    place = tmp_path_factory.mktemp("workplace")
    before, handler = Path.cwd(), signal.getsignal(signal.SIGTERM)
    os.chdir(place)
    for name, classes in (("data", 4), ("three", 3)):
        pixels = np.random.default_rng(0).integers(0, 255, (48, 8, 8), dtype=np.uint8)
        labels = np.arange(48) % classes
        np.savez(f"{name}.npz", x_train=pixels, y_train=labels, x_test=pixels[:12], y_test=labels[:12])
    for out, argv in (("finished", RUN), ("grid", COMPARE)):
        code, errors = call((*argv, "--out", out))
        assert code == 0, errors
    strangers()
    damage()
    yield place
    os.chdir(before)
    signal.signal(signal.SIGTERM, handler)


def strangers() -> None:
    """What this toolkit did not make."""
    Path("images", "train", "cat").mkdir(parents=True)
    Path("images", "train", "cat", "1.png").write_bytes(b"a picture")
    Path("images", "results.csv").write_text("mine\n")
    for name in ("notes.txt", "notes.npz", "notes.safetensors"):
        Path(name).write_text("- my own words\n- of several lines\n")
    Path("wrong.yaml").write_text("lr: .inf\nsteps: true\nseed: [1]\n")
    Path("folder.safetensors").mkdir()
    Path("dangling").symlink_to("nowhere/at/all")
    save_file({"images": torch.zeros(2, 1, 8, 8)}, "other.safetensors", metadata={"note": "of another program"})


def damage() -> None:
    """Runs with a file that is not what it was."""
    results = json.loads(Path("finished", "results.json").read_text())
    for name in ("broken", "partly", "damaged"):
        Path(name).mkdir()
        for file in Path("finished").iterdir():
            Path(name, file.name).write_bytes(file.read_bytes())
    Path("broken", "results.json").write_text("{")
    Path("partly", "results.json").write_text(json.dumps({key: results[key] for key in list(results)[:4]}))
    state = bytearray(Path("finished", "state.safetensors").read_bytes())
    state[-1] ^= 1
    Path("damaged", "state.safetensors").write_bytes(state)


@pytest.mark.parametrize(
    "argv", WRONG, ids=lambda argv: " ".join(argv[:1] + argv[argv.index("out") + 1 :] if "out" in argv else argv)
)
def test_a_wrong_input_is_one_line_and_leaves_everything_as_it_was(workplace: Path, argv: tuple[str, ...]) -> None:
    before = content(workplace)
    code, errors = call(argv)
    assert (code, len(errors.strip().splitlines())) == (2, 1), errors
    assert errors.startswith("continual: ")
    assert content(workplace) == before


def test_there_are_as_many_as_the_documentation_says() -> None:
    assert len(WRONG) >= 150
