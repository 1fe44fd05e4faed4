"""`build`, `show` and `export` in front of a user's own files: refused, with one line, and nothing left or changed."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxyset.claims import claim_file
from proxyset.cli.app import main
from tests.proxyset.cli.made import save_npz
from tests.robust.table import Wrong, assert_refused

BUILD = "build --dataset three.npz --method random --out"
EXPORT = "export set.safetensors --out"
ROWS = [
    Wrong(f"{BUILD} photo.safetensors", "photo.png", "exists"),
    Wrong(f"{BUILD} photo.safetensors --force", "photo.png", "exists"),
    Wrong(f"{BUILD} photo.safetensors --resume", "photo.png", "exists"),
    Wrong(f"{BUILD} weights.safetensors", "weights.safetensors", "no proxy set"),
    Wrong(f"{BUILD} weights.safetensors --force", "weights.safetensors", "no proxy set"),
    Wrong(f"{BUILD} weights.safetensors --resume", "weights.safetensors", "no proxy set"),
    Wrong(f"{BUILD} training.safetensors --force", "training.checkpoint", "no checkpoint"),
    Wrong(f"{BUILD} training.safetensors --resume", "training.checkpoint", "no checkpoint"),
    Wrong(f"{BUILD} set.safetensors", "set.safetensors", "--force"),
    Wrong(f"{BUILD} set.safetensors --resume --seed 1", "set.safetensors", "other work", "--force"),
    Wrong(f"{BUILD} folder.safetensors --force", "folder.safetensors", "is a folder"),
    Wrong(f"{BUILD} nowhere.safetensors --force", "nowhere.safetensors", "leads nowhere"),
    Wrong(f"{BUILD} set.npz", "set.npz", ".safetensors"),
    Wrong(f"{BUILD} new/folder/set.txt", "set.txt", ".safetensors"),
    Wrong(f"{BUILD} notes.txt/set.safetensors", "notes.txt", "cannot write"),
    Wrong(f"{BUILD} new/set.safetensors --ipc 1000", "--ipc"),
    Wrong(f"{BUILD} new/set.safetensors --nets 1 --dataset one.npz --test-fraction 0", "test"),
    Wrong(f"{BUILD} new/set.safetensors --method dsa --net nothing"),
    Wrong(f"{BUILD} {'x' * 300}.safetensors", "cannot write"),
    Wrong(f"{BUILD} held.safetensors", "held.safetensors", "another process", f"PID {os.getpid()}"),
    Wrong(f"{BUILD} held.safetensors --resume", "held.safetensors", "another process"),
    Wrong(f"{BUILD} held.safetensors --force", "held.safetensors", "another process"),
    Wrong(f"{EXPORT} notes.txt", "notes.txt", "is a file"),
    Wrong(f"{EXPORT} notes.txt --force", "notes.txt", "is a file"),
    Wrong(f"{EXPORT} mine", "mine", "no export"),
    Wrong(f"{EXPORT} mine --force", "mine", "no export"),
    Wrong(f"{EXPORT} mine --force --format parquet", "mine", "no export"),
    Wrong(f"{EXPORT} out", "out", "--force"),
    Wrong(f"{EXPORT} added --force", "added", "my.png", "no part of the export"),
    Wrong(f"{EXPORT} nowhere --force", "nowhere", "leads nowhere"),
    Wrong(f"{EXPORT} to-mine --force", "to-mine", "no export"),
    Wrong(f"{EXPORT} notes.txt/out", "notes.txt", "cannot write"),
    Wrong(f"{EXPORT} three.npz --format npz --force", "three.npz", "no export"),
    Wrong(f"{EXPORT} out.npz --format npz", "out.npz", "--force"),
    Wrong(f"{EXPORT} notes.txt --format npz --force", "notes.txt", ".npz"),
    Wrong(f"{EXPORT} mine.npz --format npz --force", "mine.npz", "is a folder"),
    Wrong("export missing.safetensors --out new/out", "missing.safetensors"),
    Wrong("export weights.safetensors --out new/out", "weights.safetensors"),
    Wrong("show set.safetensors --out x.xyz", "x.xyz", ".png"),
    Wrong("show set.safetensors --out notes.txt --force", "notes.txt", ".png"),
    Wrong("show set.safetensors --out photo.png", "photo.png", "no picture"),
    Wrong("show set.safetensors --out photo.png --force", "photo.png", "no picture"),
    Wrong("show set.safetensors --out set.png", "set.png", "--force"),
    Wrong("show set.safetensors --out notes.txt/x.png", "notes.txt", "cannot write"),
    Wrong("show missing.safetensors --out new/x.png", "missing.safetensors"),
]


def proxyset(*argv: object) -> None:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in argv])
    assert not stop.value.code


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A user's files, a set, exports of it, and an artefact that is being written."""
    folder = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        save_npz(folder / "three.npz")
        save_npz(folder / "one.npz")
        proxyset("build", "--dataset", "three.npz", "--method", "random", "--out", "set.safetensors")
        for out, form in (("out", "folder"), ("added", "folder"), ("out.npz", "npz")):
            proxyset("export", "set.safetensors", "--out", out, "--format", form)
    (folder / "added" / "train" / "my.png").write_bytes(b"holidays")
    (folder / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\nholidays")
    (folder / "weights.safetensors").write_bytes(b"\x02\x00\x00\x00\x00\x00\x00\x00{}")
    (folder / "training.checkpoint").write_bytes(b"PK weights")
    (folder / "notes.txt").write_text("ten years of work")
    (folder / "mine" / "train" / "cat").mkdir(parents=True)
    (folder / "mine" / "train" / "cat" / "1.png").write_bytes(b"cat")
    (folder / "mine.npz").mkdir()
    (folder / "folder.safetensors").mkdir()
    (folder / "nowhere").symlink_to("gone")
    (folder / "nowhere.safetensors").symlink_to("gone.safetensors")
    (folder / "to-mine").symlink_to("mine")
    with claim_file(folder / "held.safetensors", kind="proxy set", made_by_us=lambda path: False):
        yield folder


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_what_is_not_ours_is_refused(row: Wrong, world: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert_refused(row, "proxyset", main, world, capfd)
