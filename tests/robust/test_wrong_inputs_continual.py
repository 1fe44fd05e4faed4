"""Wrong inputs of `continual`: each is one line and exit code 2, and nothing is written, changed or removed."""

import contextlib
import json
import shlex
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from continual.cli import main
from tests.robust.table import Wrong, assert_refused

SMALL = "--dataset data.npz --steps 2 --net convnet-w4-d1 --epochs 1 --balance-epochs 1 --ipc 2"
RUN = f"run {SMALL} --memory random"
COMPARE = f"compare {SMALL} --memory none random --seeds 0"

RUNS: dict[str, str] = {  # what follows `continual run --memory random`
    "--steps 5": "--steps",
    "--steps 1": "--steps",
    "--steps 0": "--steps",
    "--steps two": "--steps",
    "--limit 1": "--limit",
    "--limit 0": "--limit",
    "--limit 49": "--limit",
    "--ipc 0": "--ipc",
    "--ipc -1": "--ipc",
    "--ipc 13": "--ipc",
    "--ipc 1.5": "--ipc",
    "--ipc 99999999999999999999": "--ipc",
    "--budget 0": "--budget",
    "--budget 3": "--budget",
    "--budget none": "--budget",
    "--seed -1": "--seed",
    "--seed 4294967296": "--seed",
    "--seed 99999999999999999999": "--seed",
    "--seed one": "--seed",
    "--lr inf": "--lr",
    "--lr nan": "--lr",
    "--lr 0": "--lr",
    "--lr -0.1": "--lr",
    "--lr 1e400": "--lr",
    "--balance-lr inf": "--balance-lr",
    "--balance-lr nan": "--balance-lr",
    "--weight-decay inf": "--weight-decay",
    "--weight-decay nan": "--weight-decay",
    "--weight-decay -1": "--weight-decay",
    "--momentum 1": "--momentum",
    "--momentum nan": "--momentum",
    "--temperature 0": "--temperature",
    "--temperature inf": "--temperature",
    "--kd-weight inf": "--kd-weight",
    "--kd-weight nan": "--kd-weight",
    "--kd-weight -1": "--kd-weight",
    "--epochs 0": "--epochs",
    "--epochs 2.5": "--epochs",
    "--balance-epochs 0": "--balance-epochs",
    "--gdumb-epochs 0": "--gdumb-epochs",
    "--lr-every 0": "--lr-every",
    "--batch-size 1": "--batch-size",
    "--optimiser sgdd": "--optimiser",
    "--schedule never": "--schedule",
    "--loss mse": "--loss",
    "--augment crop_crup": "'crup'",
    "--augment ''": "augmentation",
    "--scheme gdumm": "--scheme",
    "--current-data half": "--current-data",
    "--batches all": "--batches",
    "--kd-softmax none": "--kd-softmax",
    "--scheme gdumb --kd": "--kd",
    "--memory none --scheme gdumb": "--scheme",
    "--memory none --current-data memory": "--current-data",
    "--memory joint --kd": "--kd",
    "--steps 4 --kd": "--kd",
    "--memory ''": "unknown memory",
    "--memory herdign": "herdign",
    "--memory no_such_module:Mean": "no_such_module:Mean",
    "--memory json:no_such_class": "json:no_such_class",
    "--memory json:loads": "json:loads",
    "--memory a:b:c": "a:b:c",
    "--memory gone.safetensors": "gone.safetensors",
    "--memory notes.safetensors": "notes.safetensors",
    "--memory other.safetensors": "other.safetensors",
    "--memory other.safetensors,other.safetensors": "other.safetensors",
    "--memory folder.safetensors": "folder.safetensors",
    "--memory random,herding": "random,herding",
    "--memory-settings iterations=5": "--memory-settings",
    "--memory-settings iterations": "--memory-settings",
    "--memory-settings =5": "--memory-settings",
    "--memory dsa --memory-settings iteration=5": "--memory-settings",
    "--memory dsa --memory-settings iterations=x": "--memory-settings",
    "--memory dsa --memory-settings iterations=0": "--memory-settings",
    "--memory dsa --memory-settings 'iterations=[1'": "--memory-settings",
    "--memory dsa --memory-settings iterations=5 iterations=6": "--memory-settings",
    "--memory dsa --memory-settings net_epochs=5 net-epochs=6": "--memory-settings",
    "--memory dsa --memory-settings lr_img=.inf": "--memory-settings",
    "--memory dsa --memory-settings iterations=true": "--memory-settings",
    "--net resnet": "resnet",
    "--net convnet-w0": "width",
    "--net convnet-d9": "512 pixels",
    "--net no_such_module:net": "no_such_module:net",
    "--net json:loads": "cannot be built",
    "--net ''": "ConvNet",
    "--dataset nothing": "nothing",
    "--dataset gone.npz": "gone.npz",
    "--dataset notes.npz": "notes.npz",
    "--dataset .": "folder.safetensors",
    "--dataset ''": "folder.safetensors",
    "--tasks data.npz": "two tasks",
    "--tasks data.npz data.npz": "different names",
    "--tasks data.npz ./data.npz": "different names",
    "--tasks data.npz three.npz": "--tasks",
    "--tasks data.npz gone.npz": "gone.npz",
    "--size 7": "--size",
    "--size 100000": "--size",
    "--size x": "--size",
    "--channels 2": "--channels",
    "--device tpu": "--device",
    "--device cuda:99": "--device",
    "--precision fp8": "--precision",
    "--compile maybe": "--compile",
    "--memory-limit 0": "--memory-limit",
    "--memory-limit nan": "--memory-limit",
    "--memory-limit inf": "--memory-limit",
    "--memory-limit 0.0000001": "--memory-limit",
    "--memory dsa --memory-limit 0.0000001": "--memory-limit",
    "--resume --force": "--force",
    "--out notes.txt": "--out",
    "--out notes.txt/below": "notes.txt/below",
    "--out images": "--out",
    "--out images --force": "--out",
    "--out images --resume": "--out",
    "--out .": "--out",
    "--out ''": "--out",
    "--out finished": "--out",
    "--out finished --lr 0.5 --resume": "finished",
    "--out grid --force": "--out",
    "--out damaged --resume": "damaged",
    "--out dangling": "--out",
    "--store notes.txt --memory random": "--store",
    "--config gone.yaml": "gone.yaml",
    "--config notes.txt": "notes.txt",
    "--config wrong.yaml": "wrong.yaml",
    "--workers 2": "--workers",
    "--seeds 0 1": "--seeds",
    "--nett x": "--nett",
    "stray": "stray",
    "--epochs": "--epochs",
}
COMPARISONS: dict[str, str] = {  # what follows `continual compare --memory none random --seeds 0`
    "--seeds": "--seeds",
    "--seeds 0 0": "--seeds",
    "--seeds -1": "--seeds",
    "--seeds 0 4294967296": "--seeds",
    "--seeds zero": "--seeds",
    "--seeds 0.5": "--seeds",
    "--memory": "--memory",
    "--memory random random": "--memory",
    "--memory random rnadom": "rnadom",
    "--memory ''": "unknown memory",
    "--memory a/x.safetensors b/x.safetensors": "same name",
    "--memory-settings iterations=5": "--memory-settings",
    "--memory random dsa --memory-settings iterations=5 iterations=6": "--memory-settings",
    "--kd maybe": "--kd",
    "--kd with --scheme gdumb --memory none": "--memory",
    "--workers 0": "--workers",
    "--workers -1": "--workers",
    "--workers many": "--workers",
    "--workers 1.5": "--workers",
    "--address nowhere": "--address",
    "--address ''": "--address",
    "--steps 5": "--steps",
    "--lr inf": "--lr",
    "--budget 3": "--budget",
    "--limit 49": "--limit",
    "--resume --force": "--force",
    "--out notes.txt": "--out",
    "--out images": "--out",
    "--out images --force": "--out",
    "--out grid": "--out",
    "--out finished --force": "--out",
    "--config wrong.yaml": "wrong.yaml",
    "--seed 1": "--seed",
}
REPORTS: dict[str, str] = {
    "": "no run given",
    "gone": "gone",
    "notes.txt": "notes.txt",
    "images": "images",
    "broken": "broken",
    "partly": "partly",
    "finished more": "more",
    "finished --out notes.txt": "--out",
    "finished --out images": "--out",
    "finished --out notes.txt/below": "notes.txt/below",
    "finished --outt x": "--outt",
    "finished --json 3": "report",
}

WRONG = [
    *(Wrong(f"{RUN} {more}", word) for more, word in RUNS.items()),
    *(Wrong(f"{COMPARE} {more}", word) for more, word in COMPARISONS.items()),
    *(Wrong(f"report {more}", word) for more, word in REPORTS.items()),
    Wrong("reprot finished", "did you mean 'report'?"),
    Wrong("finished", "unknown command"),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, a run, a comparison, and what belongs to somebody else."""
    place = tmp_path_factory.mktemp("world")
    with contextlib.chdir(place):
        for name, classes in (("data", 4), ("three", 3)):
            pixels = np.random.default_rng(0).integers(0, 255, (48, 8, 8), dtype=np.uint8)
            labels = np.arange(48) % classes
            np.savez(f"{name}.npz", x_train=pixels, y_train=labels, x_test=pixels[:12], y_test=labels[:12])
        call(f"{RUN} --out finished")
        call(f"{COMPARE} --out grid")
        strangers()
        damage()
    return place


def call(line: str) -> None:
    """A command that works."""
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as stop:
        main(shlex.split(line))
    assert not stop.value.code
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


@pytest.fixture(autouse=True)
def global_generators_stay_put() -> None:
    """rich numbers its links with the global generator, which no result depends on."""


@pytest.mark.parametrize("row", WRONG, ids=str)
def test_a_wrong_input_is_one_line_and_leaves_everything_as_it_was(
    row: Wrong, world: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert_refused(row, "continual", main, world, capfd)


def test_there_are_as_many_as_was_promised() -> None:
    assert len(WRONG) >= 150
