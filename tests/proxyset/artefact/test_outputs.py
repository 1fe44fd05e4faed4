"""Which files are ours, and the claim on the files of one set, in Python."""

import os
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from proxyset.artefact.build import ProxySpec, build_file
from proxyset.artefact.outputs import checkpoint_path, claim_set, is_artefact, is_checkpoint, is_picture, picture_path
from proxyset.artefact.store import load_or_build, store_path
from proxyset.checkpoint import Checkpoint
from proxyset.compute.session import Session
from proxyset.data.picture import png
from proxyset.data.spec import Dataset
from proxyset.errors import InputError
from proxyset.methods.coreset import Random
from proxyset.report.figures import save_preview, write_figure
from tests.proxyset.cli.made import snapshot


@pytest.fixture
def session() -> Session:
    return Session(device="cpu", compile="off")


@pytest.fixture
def wanted(tiny: Dataset) -> ProxySpec:
    return ProxySpec(tiny, Random(), 1)


@pytest.mark.draws
def test_files_of_ours_are_told_from_others(wanted: ProxySpec, session: Session, tmp_path: Path) -> None:
    proxy = build_file(wanted, tmp_path / "set.safetensors", session=session, progress=False)
    save_preview(proxy, tmp_path / "set.png")
    (tmp_path / "tile.png").write_bytes(png(torch.zeros(3, 3, dtype=torch.uint8)))
    write_figure(Figure(), tmp_path / "figure.png")
    checkpoint = Checkpoint(tmp_path / "set.checkpoint", 1, {})
    checkpoint.offer({"x": torch.zeros(2)})
    Image.new("L", (3, 3)).save(tmp_path / "user.png")
    Figure().savefig(tmp_path / "plot.png")
    whole = (tmp_path / "set.safetensors").read_bytes()
    (tmp_path / "damaged.safetensors").write_bytes(whole[:-10])
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    ours = {
        is_artefact: {"set.safetensors", "damaged.safetensors"},
        is_checkpoint: {"set.checkpoint"},
        is_picture: {"set.png", "tile.png", "figure.png"},
    }
    for check, names in ours.items():
        assert {path.name for path in tmp_path.iterdir() if check(path)} == names
        assert not check(tmp_path / "absent")


def test_a_set_in_python_is_read_back_or_refused(wanted: ProxySpec, session: Session, tmp_path: Path) -> None:
    path = tmp_path / "sets" / "set.safetensors"
    first = build_file(wanted, path, session=session, progress=False)
    before = snapshot(tmp_path)
    again = build_file(wanted, path, session=session, progress=False)
    assert again.provenance == first.provenance
    other = ProxySpec(wanted.dataset, Random(), 2)
    with pytest.raises(InputError, match="of other work: `force=True` replaces it"):
        build_file(other, path, session=session, progress=False)
    assert snapshot(tmp_path) == before
    build_file(other, path, session=session, progress=False, force=True)
    (path.parent / "weights.safetensors").write_bytes(b"weights")
    with pytest.raises(InputError, match="no proxy set of this program"):
        build_file(wanted, path.parent / "weights.safetensors", session=session, progress=False, force=True)
    assert sorted(os.listdir(path.parent)) == ["set.safetensors", "weights.safetensors"]


def test_a_user_picture_is_no_matter_to_what_draws_none(wanted: ProxySpec, session: Session, tmp_path: Path) -> None:
    path = tmp_path / "photo.safetensors"
    picture_path(path).write_bytes(b"holidays")
    with pytest.raises(InputError, match=r"photo\.png"):
        claim_set(path, force=True)
    build_file(wanted, path, session=session, progress=False)
    assert picture_path(path).read_bytes() == b"holidays"


def test_a_set_of_the_store_is_built_by_one_process_at_a_time(
    wanted: ProxySpec, session: Session, tmp_path: Path
) -> None:
    path = store_path(wanted, session, tmp_path / "store")
    with claim_set(path, resume=True), pytest.raises(InputError, match=f"another process .PID {os.getpid()} "):
        load_or_build(wanted, path, session=session, progress=False)
    assert os.listdir(tmp_path) == []
    made = load_or_build(wanted, path, session=session, progress=False)
    with claim_set(path, resume=True):  # what is finished is read by whoever wants it
        assert load_or_build(wanted, path, session=session).provenance == made.provenance


def test_what_a_killed_process_left_goes_with_the_next_claim(tmp_path: Path) -> None:
    path = tmp_path / "set.safetensors"
    for one in (path, checkpoint_path(path), picture_path(path)):
        (tmp_path / f".{one.name}.abcd1234.part").write_bytes(b"half")
    with claim_set(path):
        pass
    assert os.listdir(tmp_path) == []
