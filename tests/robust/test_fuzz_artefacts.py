"""2,400 damaged artefacts and 800 damaged checkpoints: refused in one line, or read as what they were."""

import hashlib
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from proxyset.artefact.proxy_set import ProxySet
from proxyset.checkpoint import Checkpoint, read_step
from proxyset.data.images import ImageSet
from proxyset.data.spec import DatasetSpec
from proxyset.errors import InputError
from proxyset.parsing import read_bytes
from proxyset.report.tables import print_provenance
from proxyset.tensors import SEAL, read_tensors, seal, write_bytes
from tests.robust.fuzz import changed, json_mutants, mutants, survives

SCORE = {"net": "mlp", "seed": 0, "protocol": {"epochs": 1}, "accuracies": [0.5, 0.25], "seconds": 1.0}
FACTS = {
    "dataset": {"source": "tiny", "size": 8, "sha256": "0f", "images": 12},
    "method": "dsa",
    "settings": {"lr": 0.1, "net": "mlp"},
    "ipc": 2,
    "seed": 3,
    "seconds": 2.5,
    "scores": [SCORE],
}


def tensors() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, 1, 8, 8, generator=generator)
    targets = torch.tensor([[0.7, 0.3], [1.0, 0.0], [0.25, 0.75], [0.0, 1.0]])
    return {"images": images, "labels": torch.tensor([0, 0, 1, 1]), "targets": targets}


def _set(parts: dict[str, torch.Tensor]) -> ImageSet:
    return ImageSet(parts["images"], parts["labels"], parts["targets"])


@pytest.fixture
def proxy() -> ProxySet:
    spec = DatasetSpec("tiny", 1, 8, ("naïve", "b/c"), (0.1307,), (0.3081,), False)
    return ProxySet(_set(tensors()), spec, FACTS)


@pytest.fixture
def path(proxy: ProxySet, tmp_path: Path) -> Path:
    proxy.save(tmp_path / "set.safetensors")
    return tmp_path / "set.safetensors"


def load(path: Path, data: bytes) -> ProxySet:
    path.write_bytes(data)
    return ProxySet.load(path)


def same(first: ProxySet, second: ProxySet) -> bool:
    return (first.data.sha256(), first.spec, first.provenance) == (second.data.sha256(), second.spec, second.provenance)


def test_damaged_artefacts(path: Path, proxy: ProxySet) -> None:
    counts = survives(
        lambda data: load(path, data), mutants(path.read_bytes(), 1200, seed=1), lambda found: same(found, proxy)
    )
    assert counts.total() == 1200
    assert counts["refused"] > 1150


def artefact(header: str, parts: dict[str, Tensor]) -> bytes:
    """A file whose hash is right, whatever it holds."""
    digest = hashlib.sha256()
    for name in ("images", "labels", "targets"):
        if name in parts:
            tensor = parts[name]
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)};".encode())
            digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    sha256 = hashlib.sha256(f"{digest.hexdigest()} {header}".encode("utf-8", "surrogatepass")).hexdigest()
    return safetensors.torch.save(parts, metadata={"proxyset": header, "sha256": sha256})


def use(proxy: ProxySet) -> ProxySet:
    """What the commands do with a set that loads."""
    print_provenance(proxy)
    assert len(repr(proxy)) < 1000
    proxy.with_scores([SCORE])
    return proxy


def test_artefacts_whose_header_was_edited_and_hashed_anew(
    path: Path, proxy: ProxySet, capsys: pytest.CaptureFixture[str]
) -> None:
    """Some are other sets that can be: those must be fit for use. None may be impossible."""
    header = json.loads(read_tensors(path)[1]["proxyset"])

    def fits(found: tuple[str, ProxySet]) -> bool:
        text, read = found
        use(read)
        spec = read.spec
        sound = spec.channels == 1 and spec.size == 8 and len(spec.class_names) == 2 and spec.std[0] > 0
        return sound and json.loads(text)["provenance"] == read.provenance

    damaged = json_mutants(header, 800, seed=2)
    counts = survives(lambda text: (text, load(path, artefact(text, tensors()))), damaged, fits)
    assert counts.total() == 800
    assert counts["refused"] > 400
    capsys.readouterr()


def impossible(draw: random.Random) -> dict[str, Tensor]:
    """The tensors of a set with one that does not fit."""
    parts = tensors()
    name = draw.choice(sorted(parts))
    one = parts[name]
    changes = (
        lambda: one.double(),
        lambda: one.to(torch.uint8),
        lambda: one.to(torch.bool),
        lambda: one.half(),
        lambda: one[:0],
        lambda: one[:3],
        lambda: one[None],
        lambda: one.flatten(),
        lambda: one.sum(),
        lambda: one.flip(0),
        lambda: one - 1,
        lambda: one + 2**40,
        lambda: torch.cat([one, one]),
        lambda: torch.full_like(one, 7),
        lambda: one / 0 if one.is_floating_point() else one * 0,
        lambda: one.repeat(1, *[2] * (one.ndim - 1)),
    )
    parts[name] = draw.choice(changes)().contiguous()
    if draw.random() < 0.1:
        del parts[name]
    if draw.random() < 0.1:
        parts["more"] = torch.zeros(1)
    return parts


def test_artefacts_whose_tensors_were_exchanged_and_hashed_anew(path: Path, proxy: ProxySet) -> None:
    header, draw = read_tensors(path)[1]["proxyset"], random.Random(3)

    def fits(found: ProxySet) -> bool:
        shape = found.data.images.dtype == torch.float32 and found.data.images.shape == (4, 1, 8, 8)
        return shape and found.data.labels.tolist() == [0, 0, 1, 1] and found.spec == proxy.spec

    counts = survives(lambda parts: load(path, artefact(header, parts)), (impossible(draw) for _ in range(400)), fits)
    assert counts.total() == 400
    assert counts["refused"] > 300


# Checkpoints.

IDENTITY = {"seed": 1, "settings": {"lr": 0.1, "nets": ["mlp"]}}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    checkpoint = Checkpoint(tmp_path / "set.checkpoint", 1, IDENTITY)
    checkpoint.offer(tensors() | {"count": torch.tensor(7), "on": torch.tensor([True, False]), "none": torch.empty(0)})
    return checkpoint.path


def restore(path: Path, data: bytes) -> tuple[int, dict[str, Tensor]]:
    path.write_bytes(data)
    checkpoint = Checkpoint(path, 1, IDENTITY)
    found = checkpoint.restore()
    assert found is not None
    return checkpoint.step, found


def is_state(found: tuple[int, dict[str, Tensor]]) -> bool:
    step, parts = found
    expected = tensors() | {"count": torch.tensor(7), "on": torch.tensor([True, False]), "none": torch.empty(0)}
    return step == 1 and parts.keys() == expected.keys() and all(torch.equal(parts[k], expected[k]) for k in parts)


def test_damaged_checkpoints(state: Path) -> None:
    counts = survives(lambda data: restore(state, data), mutants(state.read_bytes(), 500, seed=4), is_state)
    assert counts.total() == 500
    assert counts["refused"] > 480


def test_a_checkpoint_with_one_flipped_bit_is_never_gone_on_from(state: Path) -> None:
    whole, draw = state.read_bytes(), random.Random(5)

    def flipped() -> Iterator[bytes]:
        for _ in range(300):
            place = draw.randrange(len(whole))
            yield whole[:place] + bytes([whole[place] ^ (1 << draw.randrange(8))]) + whole[place + 1 :]

    assert survives(lambda data: restore(state, data), flipped()) == {"refused": 300}


def test_checkpoints_whose_header_was_edited_and_sealed_anew(state: Path) -> None:
    parts, metadata = read_tensors(state)
    header, draw = json.loads(metadata["checkpoint"]), random.Random(6)

    def edited() -> Iterator[bytes]:
        for _ in range(300):
            text = json.dumps(changed(header, draw))
            sealed = seal(parts, {}, "checkpoint")
            sealed[SEAL] = _seal_of(parts, text)
            yield write_bytes(parts, sealed | {"checkpoint": text})

    def sane(found: tuple[int, dict[str, Tensor]]) -> bool:
        return type(found[0]) is int and found[0] >= 0 and is_state((1, found[1]))

    counts = survives(lambda data: restore(state, data), edited(), sane)
    assert counts["refused"] > 150
    assert read_step(state) >= 0


def _seal_of(parts: dict[str, Tensor], text: str) -> str:
    from proxyset.tensors import _digest

    return _digest(parts, "checkpoint", text)


# What is checked is what is used.


def test_a_file_that_changes_after_it_was_read_changes_nothing(path: Path, proxy: ProxySet) -> None:
    found = ProxySet.load(path)
    before = found.data.sha256()
    with open(path, "r+b") as file:
        file.seek(-300, os.SEEK_END)
        file.write(b"\xff" * 300)
    assert found.data.sha256() == before
    os.truncate(path, 0)  # with a mapped file, the next look at the images would kill the process
    assert found.data.sha256() == before
    assert torch.equal(found.data.images, proxy.data.images)


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")
    for odd in (tmp_path, tmp_path / "pipe.safetensors", Path("/dev/null"), tmp_path / "no\0name"):
        with pytest.raises(InputError, match="cannot read"):
            read_bytes(odd)


def test_a_header_that_promises_more_than_the_file_holds_takes_no_memory(tmp_path: Path) -> None:
    def file(length: int, header: Any) -> bytes:
        text = json.dumps(header).encode()
        return (length or len(text)).to_bytes(8, "little") + text

    huge = {"x": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}
    wide = {"x": {"dtype": "F32", "shape": [2**62, 2**62, 0], "data_offsets": [0, 0]}}
    for name, data in {"huge": file(0, huge), "long": file(2**62, {}), "negative": file(2**64 - 1, {})}.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match="not a whole"):
            read_tensors(tmp_path / name)
    (tmp_path / "wide").write_bytes(file(0, wide))
    with pytest.raises(InputError, match="not a whole"):
        read_tensors(tmp_path / "wide")
