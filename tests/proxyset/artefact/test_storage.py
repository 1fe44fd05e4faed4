"""Sets kept in 4, 2 or 1 bytes per value, with and without a formation."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import safetensors
import safetensors.torch
import torch

from proxyset.artefact.build import ProxySpec, build, build_file
from proxyset.artefact.proxy_set import FORMAT, ProxyDataset, ProxySet
from proxyset.artefact.same import is_same
from proxyset.artefact.storage import pack, rounded, stored_bytes, unpack
from proxyset.compute.plan import Engine
from proxyset.compute.session import Session
from proxyset.data.images import ImageSet
from proxyset.data.spec import Dataset, DatasetSpec
from proxyset.errors import InputError
from proxyset.methods.coreset import Random
from proxyset.settings import KeepAs

KINDS: tuple[KeepAs, ...] = get_args(KeepAs)
CPU = Session(device="cpu", compile="off")


def make_set(formation: int = 1, soft: bool = False, channels: int = 3) -> ImageSet:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, channels, 8, 8, generator=generator) * torch.tensor([0.1, 1, 30])[:channels].view(-1, 1, 1)
    shape = (4, 2) if formation == 1 else (4, formation**2, 2)
    targets = torch.randn(shape, generator=generator).mul(3).softmax(-1) if soft else None
    return ImageSet(images, torch.tensor([0, 0, 1, 1]), targets, formation)


def make_proxy(keep_as: KeepAs, formation: int = 1, soft: bool = False) -> ProxySet:
    spec = DatasetSpec("mine", 3, 8, ("a", "b"), (0.5,) * 3, (0.25,) * 3)
    return ProxySet(rounded(make_set(formation, soft), keep_as), spec, {"method": "dsa"}, keep_as)


@pytest.mark.parametrize("keep_as", KINDS)
@pytest.mark.parametrize("formation", [1, 2])
@pytest.mark.parametrize("soft", [False, True])
def test_rounding_twice_is_rounding_once(keep_as: KeepAs, formation: int, soft: bool) -> None:
    once = rounded(make_set(formation, soft), keep_as)
    assert once.images.dtype == torch.float32
    assert once.formation == formation
    assert rounded(once, keep_as).sha256() == once.sha256()
    assert (rounded(once, "float32").sha256()) == once.sha256()


def test_values_keep_their_distance() -> None:
    """A half has 11 bits; a byte has 255 steps over at least half of the range, for each channel."""
    data = make_set()
    assert torch.equal(rounded(data, "float32").images, data.images)
    error = (rounded(data, "float16").images - data.images).abs()
    assert (error <= data.images.abs() * 2**-11 + 2**-24).all()
    error = (rounded(data, "uint8").images - data.images).abs().amax((0, 2, 3))
    span = data.images.amax((0, 2, 3)) - data.images.amin((0, 2, 3))
    assert (error <= span / 255 * 1.0001).all()
    assert (error > 0).all()


def test_values_beyond_a_half_and_channels_of_one_value_stay_finite() -> None:
    images = torch.zeros(2, 3, 8, 8)
    images[0, 0, 0, 0], images[:, 1] = 1e6, -3.0
    data = ImageSet(images, torch.tensor([0, 1]))
    assert rounded(data, "float16").images[0, 0, 0, 0] == 65504
    found = rounded(data, "uint8").images
    assert found.isfinite().all()
    assert (found[:, 1] == -3).all()
    assert found[0, 0, 0, 0] == pytest.approx(1e6, rel=0.01)


@pytest.mark.parametrize(("keep_as", "values", "targets"), [("float32", 4, 4), ("float16", 2, 2), ("uint8", 1, 2)])
def test_bytes_are_those_of_the_tensors_in_the_file(keep_as: KeepAs, values: int, targets: int, tmp_path: Path) -> None:
    proxy = make_proxy(keep_as, formation=2, soft=True)
    assert proxy.nbytes == stored_bytes(proxy.data, keep_as) == 4 * (3 * 64 * values + 4 * 2 * targets)
    proxy.save(tmp_path / "set.safetensors")
    tensors = safetensors.torch.load_file(tmp_path / "set.safetensors")
    assert proxy.nbytes == tensors["images"].nbytes + tensors["targets"].nbytes


@pytest.mark.parametrize("keep_as", KINDS)
@pytest.mark.parametrize("formation", [1, 2])
@pytest.mark.parametrize("soft", [False, True])
def test_what_is_saved_reads_back(keep_as: KeepAs, formation: int, soft: bool, tmp_path: Path) -> None:
    proxy, path = make_proxy(keep_as, formation, soft), tmp_path / "set.safetensors"
    proxy.save(path)
    found = ProxySet.load(path)
    assert found.data.sha256() == proxy.data.sha256()
    assert (found.keep_as, found.data.formation) == (keep_as, formation)
    found.with_scores([]).save(path)  # as `eval` does it
    assert ProxySet.load(path).data.sha256() == proxy.data.sha256()
    assert len(ProxyDataset(found)) == 4 * formation**2


@pytest.mark.parametrize(
    ("keep_as", "formation", "soft", "number"),
    [("float32", 1, False, 1), ("float32", 1, True, 2), ("float32", 2, False, 3), ("uint8", 1, False, 3)],
)
def test_files_have_the_oldest_format_that_holds_them(
    keep_as: KeepAs, formation: int, soft: bool, number: int, tmp_path: Path
) -> None:
    make_proxy(keep_as, formation, soft).save(tmp_path / "set.safetensors")
    with safetensors.safe_open(tmp_path / "set.safetensors", "pt") as file:
        header = json.loads(file.metadata()["proxyset"])
    assert header["format"] == number <= FORMAT
    assert ("formation" in header) == (formation > 1)


# Damage.


def packed() -> dict[str, torch.Tensor]:
    return pack(make_set(), "uint8")


@pytest.mark.parametrize(
    "change",
    [
        {"scale": None},
        {"lowest": None},
        {"scale": torch.ones(2)},
        {"scale": torch.ones(3, dtype=torch.float64)},
        {"lowest": torch.full((3,), float("nan"))},
        {"scale": torch.full((3,), float("inf"))},
        {"images": torch.zeros(4, 3, 8, 8)},
    ],
)
def test_a_damaged_scale_is_refused(change: dict[str, Any]) -> None:
    tensors = {name: tensor for name, tensor in (packed() | change).items() if tensor is not None}
    with pytest.raises(InputError):
        unpack(tensors, 1)


def test_a_changed_scale_does_not_match_the_hash(tmp_path: Path) -> None:
    path = tmp_path / "set.safetensors"
    make_proxy("uint8").save(path)
    tensors = safetensors.torch.load_file(path)
    with safetensors.safe_open(path, "pt") as file:
        metadata = file.metadata()
    safetensors.torch.save_file(tensors | {"scale": tensors["scale"] * 2}, path, metadata)
    with pytest.raises(InputError, match="content hash does not match"):
        ProxySet.load(path)


# From a dataset to a file.


@pytest.mark.parametrize("keep_as", KINDS)
def test_what_is_built_is_what_reads_back(keep_as: KeepAs, tiny: Dataset, tmp_path: Path) -> None:
    wanted, path = ProxySpec(tiny, Random(formation=2), 2, keep_as=keep_as), tmp_path / "set.safetensors"
    proxy = build_file(wanted, path, session=CPU, progress=False)
    found = ProxySet.load(path)
    assert found.data.sha256() == proxy.data.sha256()
    assert found.keep_as == proxy.keep_as == found.provenance["keep_as"] == keep_as
    assert found.provenance["bytes"] == found.nbytes == 6 * 64 * {"float32": 4, "float16": 2, "uint8": 1}[keep_as]
    assert is_same(found, wanted, CPU)
    assert not is_same(found, replace(wanted, keep_as="float16" if keep_as == "uint8" else "uint8"), CPU)
    by_call = build(tiny, Random(formation=2), 2, keep_as=keep_as, session=CPU, progress=False)
    assert by_call.data.sha256() == found.data.sha256()


def test_sets_of_before_there_was_a_choice_are_still_the_same(tiny: Dataset) -> None:
    wanted = ProxySpec(tiny, Random(), 2)
    assert "keep_as" not in wanted.identity(Engine())
    assert replace(wanted, keep_as="uint8").identity(Engine())["keep_as"] == "uint8"
    proxy = build(tiny, Random(), 2, session=CPU, progress=False)
    older = {name: value for name, value in proxy.provenance.items() if name not in ("keep_as", "bytes")}
    assert is_same(replace(proxy, provenance=older), wanted, CPU)


def test_another_way_to_keep_a_set_is_refused(tiny: Dataset) -> None:
    other: Any = "int4"
    with pytest.raises(InputError, match="`keep_as` is one of float32, float16, uint8, got 'int4'"):
        build(tiny, Random(), 2, keep_as=other)
