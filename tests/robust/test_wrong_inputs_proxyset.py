"""Wrong inputs to `proxyset`: one line, exit code 2, no file left or changed."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import proxyset
from proxyset.cli.app import main
from tests.proxyset.cli.made import save_folder, save_npz
from tests.robust.table import Wrong, assert_refused

BUILD = [
    Wrong("biuld", "did you mean 'build'"),
    Wrong("--verion"),
    Wrong("build surplus", "unexpected argument"),
    Wrong("build --method dsaa", "did you mean 'dsa'"),
    Wrong("build --method no_such_module:Method", "no_such_module"),
    Wrong("build --method json:dumps", "json:dumps"),
    Wrong("build --method ''", "unknown method"),
    Wrong("build --dataset ''"),
    Wrong("build --dataset digit", "did you mean 'digits'"),
    Wrong("build --dataset no/such/place", "no dataset at"),
    Wrong("build --dataset notes.txt", "notes.txt"),
    Wrong("build --dataset mine.safetensors", "mine.safetensors"),
    Wrong("build --dataset half.npz", "half.npz"),
    Wrong("build --dataset empty", "empty"),
    Wrong("build --dataset one_class", "one_class"),
    Wrong("build --dataset three.npz --size 7", "--size"),
    Wrong("build --dataset three.npz --size 100000", "--size"),
    Wrong("build --dataset three.npz --channels 2", "--channels"),
    Wrong("build --dataset three.npz --test-fraction 1", "--test-fraction"),
    Wrong("build --dataset three.npz --test-fraction nan", "--test-fraction"),
    Wrong("build --ipc 0", "--ipc"),
    Wrong("build --ipc -1", "--ipc"),
    Wrong("build --ipc 1.5", "--ipc"),
    Wrong("build --ipc 1000000000", "--ipc"),
    Wrong("build --ipc 1000000000 --init noise", "--ipc"),
    Wrong(f"build --ipc {10**30}", "--ipc"),
    Wrong(f"build --ipc {'9' * 5000}", "--ipc"),
    Wrong("build --ipc"),
    Wrong("build --ipc 1 2"),
    Wrong("build --seed -1", "--seed"),
    Wrong("build --seed 4294967296", "--seed"),
    Wrong("build --seed 1e3", "--seed"),
    Wrong("build --seeds", "--seeds"),
    Wrong("build --seeds 0 1 0", "--seeds", "0 twice"),
    Wrong("build --seeds 0 -1", "--seeds"),
    Wrong("build --seeds 4294967296", "--seeds"),
    Wrong("build --seeds 0 one", "--seeds"),
    Wrong("build --seeds 0 1 --out one.safetensors", "{seed}"),
    Wrong("build --iterations 0", "--iterations"),
    Wrong("build --iterations 1000000000000", "--iterations"),
    Wrong("build --inner-steps 0", "--inner-steps"),
    Wrong("build --net-epochs 1000000000000", "--net-epochs"),
    Wrong("build --batch-real 0", "--batch-real"),
    Wrong("build --batch-synthetic -1", "--batch-synthetic"),
    Wrong("build --batch-net 0", "--batch-net"),
    Wrong("build --lr-img inf", "--lr-img"),
    Wrong("build --lr-img nan", "--lr-img"),
    Wrong("build --lr-img 0", "--lr-img"),
    Wrong("build --lr-net -inf", "--lr-net"),
    Wrong("build --momentum-img 1", "--momentum-img"),
    Wrong("build --distance l2", "--distance"),
    Wrong("build --net resnet", "did you mean 'resnet18'"),
    Wrong("build --net resnet18", "at least 16 pixels"),
    Wrong("build --net convnet-w0", "at least 1"),
    Wrong("build --net json:dumps", "cannot be built"),
    Wrong("build --augment crop_shear", "unknown augmentation"),
    Wrong("build --augment-real sometimes", "--augment-real"),
    Wrong("build --method herding --epochs 0", "--epochs"),
    Wrong("build --method herding --epochs 1000000000000", "--epochs"),
    Wrong("build --method herding --lr inf", "--lr"),
    Wrong("build --method herding --iterations 5", "--iterations"),
    Wrong("build --nets -1", "--nets"),
    Wrong("build --nets 1000000000", "--nets"),
    Wrong("build --checkpoint-every 0", "--checkpoint-every"),
    Wrong("build --device gpu", "--device"),
    Wrong("build --device cuda:99", "cuda:99"),
    Wrong("build --precision fp8", "--precision"),
    Wrong("build --memory-limit 0", "--memory-limit"),
    Wrong("build --memory-limit inf", "--memory-limit"),
    Wrong("build --memory-limit 0.000001 --method dsa", "--memory-limit"),
    Wrong("build --out notes.txt", ".safetensors"),
    Wrong("build --out set.safetensors --method random", "--force"),
    Wrong("build --out mine.safetensors --method random --force", "mine.safetensors"),
    Wrong("build --out photo.safetensors --method random", "photo.png"),
    Wrong("build --out photo.safetensors --method random --force", "photo.png"),
    Wrong("build --out notes.txt/set.safetensors --method random", "notes.txt"),
    Wrong("build --out nowhere.safetensors --method random", "leads nowhere"),
    Wrong("build --dataset mnist --data-root notes.txt", "notes.txt"),
    Wrong("build --config missing.yaml", "missing.yaml"),
    Wrong("build --config notes.txt", "notes.txt"),
    Wrong("build --config bad.yaml", "bad.yaml", "lr_img"),
    Wrong("build --config empty", "empty"),
    Wrong("build --config"),
]

EVAL = [
    Wrong("eval", "no proxy set given"),
    Wrong("eval missing.safetensors", "missing.safetensors"),
    Wrong("eval notes.txt", "notes.txt"),
    Wrong("eval mine.safetensors", "mine.safetensors"),
    Wrong("eval empty", "empty"),
    Wrong("eval set.safetensors set.safetensors", "twice"),
    Wrong("eval set.safetensors ./empty/../set.safetensors", "twice"),
    Wrong("eval set.safetensors other.safetensors", "different data"),
    Wrong("eval set.safetensors --dataset three.npz", "is not the data"),
    Wrong("eval set.safetensors --net mlp mlp", "--net", "mlp twice"),
    Wrong("eval set.safetensors --net lenet", "at least 16 pixels"),
    Wrong("eval set.safetensors --net mpl", "did you mean 'mlp'"),
    Wrong("eval set.safetensors --baseline whole whole", "--baseline", "whole twice"),
    Wrong("eval set.safetensors --baseline dsa", "unknown baseline"),
    Wrong("eval set.safetensors --baseline randon", "did you mean 'random'"),
    Wrong("eval set.safetensors --nets 0", "--nets"),
    Wrong("eval set.safetensors --nets 1000000000", "--nets"),
    Wrong("eval set.safetensors --epochs 0", "--epochs"),
    Wrong("eval set.safetensors --epochs 1000000000000", "--epochs"),
    Wrong("eval set.safetensors --whole-epochs 0", "--whole-epochs"),
    Wrong("eval set.safetensors --lr inf", "--lr"),
    Wrong("eval set.safetensors --lr nan", "--lr"),
    Wrong("eval set.safetensors --weight-decay inf", "--weight-decay"),
    Wrong("eval set.safetensors --batch-size 0", "--batch-size"),
    Wrong("eval set.safetensors --augment crop_shear", "unknown augmentation"),
    Wrong("eval set.safetensors --schedule linear", "--schedule"),
    Wrong("eval set.safetensors --seed -1", "--seed"),
    Wrong("eval set.safetensors --seed 4294967296", "--seed"),
    Wrong("eval set.safetensors --seeds 1", "unknown flag --seeds"),
    Wrong("eval set.safetensors --out scores", ".csv"),
    Wrong("eval set.safetensors --out scores.xlsx", ".csv"),
    Wrong("eval set.safetensors --out notes.md", "notes.md"),
    Wrong("eval set.safetensors --out notes.md --force", "notes.md"),
    Wrong("eval set.safetensors --out notes.txt/scores.md", "notes.txt"),
    Wrong("eval set.safetensors --config bad.yaml", "bad.yaml"),
]

GRID = [
    Wrong("grid", "no grid given"),
    Wrong("grid --config missing.yaml", "missing.yaml"),
    Wrong("grid --config grid.yaml --workers 0", "--workers"),
    Wrong("grid --config grid.yaml --workers 2 --address auto", "--workers"),
    Wrong("grid --config grid.yaml --ipc 0", "--ipc"),
    Wrong("grid --config grid.yaml --place digits", "NAME=PATH"),
    Wrong("grid --config grid.yaml --place other=set.safetensors", "other"),
    Wrong("grid --config grid.yaml --place digits=no/such/place", "no dataset at"),
    Wrong("grid --config grid.yaml --rows size", "--rows"),
    Wrong("grid --config grid.yaml --out notes.txt", "notes.txt"),
    Wrong("grid --config grid.yaml --device cuda:99", "cuda:99"),
]
SHOW = [
    Wrong("show", "no proxy set given"),
    Wrong("show missing.safetensors", "missing.safetensors"),
    Wrong("show notes.txt", "notes.txt"),
    Wrong("show mine.safetensors", "mine.safetensors"),
    Wrong("show set.safetensors other.safetensors", "unexpected argument"),
    Wrong("show set.safetensors --out picture.xyz", ".png"),
    Wrong("show set.safetensors --out photo.png", "photo.png"),
    Wrong("show set.safetensors --out photo.png --force", "photo.png"),
    Wrong("show set.safetensors --out empty", "empty"),
    Wrong("show set.safetensors --seed 1", "unknown flag --seed"),
]

EXPORT = [
    Wrong("export", "no proxy set given"),
    Wrong("export missing.safetensors", "missing.safetensors"),
    Wrong("export notes.txt", "notes.txt"),
    Wrong("export set.safetensors --format zip", "--format"),
    Wrong("export set.safetensors --draw 3", "--draw"),
    Wrong("export set.safetensors --draw 0", "--draw"),
    Wrong("export set.safetensors --seed 3", "--draw"),
    Wrong("export set.safetensors --format npz --out set.zip", ".npz"),
    Wrong("export set.safetensors --format npz --out three.npz", "three.npz"),
    Wrong("export set.safetensors --format npz --out three.npz --force", "three.npz"),
    Wrong("export set.safetensors --out photos", "photos"),
    Wrong("export set.safetensors --out photos --force", "photos"),
    Wrong("export set.safetensors --out notes.txt --force", "notes.txt"),
    Wrong("export set.safetensors --format parquet --out notes.txt --force", "notes.txt"),
    Wrong("export set.safetensors --out nowhere.safetensors", "leads nowhere"),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a proxy set, one of other data, and things of the user's."""
    folder = tmp_path_factory.mktemp("world")
    save_npz(folder / "three.npz")
    digits, three = proxyset.load("digits"), proxyset.load(folder / "three.npz")
    proxyset.build(digits, "random", 1).save(folder / "set.safetensors")
    proxyset.build(three, "random", 1).save(folder / "other.safetensors")
    for name in ("notes.txt", "notes.md", "mine.safetensors"):
        (folder / name).write_text("things to do\n")
    (folder / "half.npz").write_bytes((folder / "three.npz").read_bytes()[:200])
    (folder / "bad.yaml").write_text("lr_img: many\nlr: many\n")
    (folder / "grid.yaml").write_text("datasets: {digits: {}}\nmethods: {random: {}}\n")
    (folder / "nowhere.safetensors").symlink_to(folder / "gone" / "away")
    (folder / "empty").mkdir()
    save_folder(folder / "one_class", classes=1)
    save_folder(folder / "photos" / "train")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "photo.png")
    return folder


@pytest.mark.parametrize("row", [*BUILD, *EVAL, *GRID, *SHOW, *EXPORT], ids=lambda row: str(row)[:60])
def test_a_wrong_input_is_one_line_and_leaves_everything_as_it_was(
    row: Wrong, world: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert_refused(row, "proxyset", main, world, capfd)
