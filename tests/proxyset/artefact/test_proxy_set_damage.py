"""Every damaged, tampered, foreign or impossible artefact is refused in one line."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from proxyset.artefact.proxy_set import FORMAT, ProxySet
from proxyset.data.images import ImageSet
from proxyset.errors import InputError
from proxyset.report.figures import save_preview
from proxyset.report.tables import print_provenance
from tests.proxyset.artefact.test_proxy_set import header_of


def rewrite(path: Path, header: Any, tensors: dict[str, torch.Tensor] | None = None) -> None:
    tensors = tensors or {"images": torch.zeros(2, 1, 8, 8), "labels": torch.tensor([0, 1])}
    text = header if isinstance(header, str) else json.dumps(header)
    path.write_bytes(safetensors.torch.save(tensors, metadata={"proxyset": text, "sha256": "0"}))


def test_targets_that_are_no_probabilities_are_refused(soft: ProxySet, tmp_path: Path) -> None:
    path = tmp_path / "set.safetensors"
    soft.save(path)
    tensors = safetensors.torch.load_file(path)
    tensors["targets"] = tensors["targets"] * 2
    rewrite(path, header_of(path), tensors)
    with pytest.raises(InputError):
        ProxySet.load(path)


def test_every_changed_byte_is_noticed(proxy: ProxySet, tmp_path: Path) -> None:
    path = tmp_path / "set.safetensors"
    proxy.save(path)
    whole = path.read_bytes()
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x01]) + whole[position + 1 :])
        with pytest.raises(InputError) as raised:
            ProxySet.load(path)
        assert "set.safetensors" in str(raised.value), f"byte {position} of {len(whole)}"
        assert "\n" not in str(raised.value)


def test_every_changed_byte_of_soft_targets_is_noticed(soft: ProxySet, tmp_path: Path) -> None:
    path = tmp_path / "set.safetensors"
    soft.save(path)
    whole = path.read_bytes()
    for position in range(len(whole) - 4 * 8, len(whole)):  # what is written last
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x01]) + whole[position + 1 :])
        with pytest.raises(InputError):
            ProxySet.load(path)


def test_every_truncation_is_noticed(proxy: ProxySet, tmp_path: Path) -> None:
    path = tmp_path / "set.safetensors"
    proxy.save(path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 13):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"set\.safetensors"):
            ProxySet.load(path)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"format": FORMAT + 1}, "upgrade proxyset"),
        ({"format": FORMAT}, "damaged header"),
        ({"format": FORMAT, "spec": {"name": "x"}}, "damaged header"),
        ({"format": FORMAT, "spec": {"no": 1}, "provenance": {}}, "damaged header"),
        ({"format": "new"}, "damaged header"),
        ([], "damaged header"),
        ("not json", "damaged header"),
    ],
)
def test_damaged_and_newer_headers_are_refused(header: Any, words: str, tmp_path: Path) -> None:
    rewrite(tmp_path / "set.safetensors", header)
    with pytest.raises(InputError, match=rf"set\.safetensors.*{words}"):
        ProxySet.load(tmp_path / "set.safetensors")


def test_foreign_files_are_refused(proxy: ProxySet, tmp_path: Path) -> None:
    path = tmp_path / "set.safetensors"
    with pytest.raises(InputError, match="no such file"):
        ProxySet.load(path)
    with pytest.raises(InputError, match="no such file"):
        ProxySet.load(tmp_path)
    path.write_text("some text")
    with pytest.raises(InputError, match=r"not a whole \.safetensors file"):
        ProxySet.load(path)
    safetensors.torch.save_file({"weight": torch.zeros(3)}, path)  # a network's weights, say
    with pytest.raises(InputError, match="not a proxy set"):
        ProxySet.load(path)


# Whole, unchanged, and impossible all the same.


def changed_header(proxy: ProxySet, folder: Path, **spec: Any) -> dict[str, Any]:
    proxy.save(folder / "whole.safetensors")
    header = header_of(folder / "whole.safetensors")
    return header | {"spec": header["spec"] | spec}


def hashed(header: dict[str, Any], data: ImageSet) -> bytes:
    """A file whose hash is right, whatever it holds."""
    text = json.dumps(header)
    digest = hashlib.sha256(f"{data.sha256()} {text}".encode()).hexdigest()
    tensors = {"images": data.images, "labels": data.labels} | (
        {} if data.targets is None else {"targets": data.targets}
    )
    return safetensors.torch.save(tensors, metadata={"proxyset": text, "sha256": digest})


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"class_names": []}, "spec.class_names"),
        ({"class_names": ["a", 2]}, r"spec.class_names.1: must be a valid string"),
        ({"class_names": "ab"}, "spec.class_names"),
        ({"class_names": ["a", "b", "c"]}, "4 images of 3 classes"),
        ({"class_names": ["a"]}, "labels must be ordered"),
        ({"channels": 2}, "spec.channels"),
        ({"channels": 3}, "spec: needs a mean and a std for each of 3 channels"),
        ({"channels": True}, "spec.channels"),
        ({"channels": 3, "mean": [0, 0, 0], "std": [1, 1, 1]}, "images must be float32 N×3×8×8"),
        ({"size": 16}, "images must be float32 N×1×16×16"),
        ({"size": 7}, "spec.size"),
        ({"size": 257}, "spec.size"),
        ({"size": -8}, "spec.size"),
        ({"size": "8"}, "spec.size"),
        ({"std": [0]}, "spec.std.0"),
        ({"std": [-1]}, "spec.std.0"),
        ({"std": []}, "needs a mean and a std"),
        ({"mean": [None]}, "spec.mean.0"),
        ({"mean": [1e300]}, "spec.mean.0"),
        ({"name": None}, "spec.name"),
        ({"flip": 1}, "spec.flip"),
        ({"new": 1}, "spec.new"),
    ],
    ids=str,
)
def test_an_impossible_description_is_refused(
    spec: dict[str, Any], words: str, proxy: ProxySet, tmp_path: Path
) -> None:
    (tmp_path / "set.safetensors").write_bytes(hashed(changed_header(proxy, tmp_path, **spec), proxy.data))
    with pytest.raises(InputError, match=rf"set\.safetensors.*{words}"):
        ProxySet.load(tmp_path / "set.safetensors")


@pytest.mark.parametrize(
    "facts",
    [
        {"seed": -1},
        {"seed": 1.5},
        {"ipc": 0},
        {"seconds": -1},
        {"seconds": "1"},
        {"method": 1},
        {"settings": []},
        {"dataset": "x"},
        {"dataset": {"sha256": 1}},
        {"scores": {}},
        {"scores": [{}]},
        {"scores": [{"net": "mlp", "seed": 0, "protocol": {}, "accuracies": [0.5], "seconds": 1}]},
        {"scores": [{"net": "mlp", "seed": 0, "protocol": {"epochs": 1}, "accuracies": [], "seconds": 1}]},
        {"scores": [{"net": "mlp", "seed": 0, "protocol": {"epochs": 1}, "accuracies": [2], "seconds": 1}]},
    ],
    ids=str,
)
def test_impossible_facts_are_refused(facts: dict[str, Any], proxy: ProxySet, tmp_path: Path) -> None:
    header = changed_header(proxy, tmp_path)
    header["provenance"] |= facts
    (tmp_path / "set.safetensors").write_bytes(hashed(header, proxy.data))
    with pytest.raises(InputError, match=rf"set\.safetensors.*provenance\.{next(iter(facts))}"):
        ProxySet.load(tmp_path / "set.safetensors")


IMAGES = torch.zeros(4, 1, 8, 8)
ODD = {
    "pixels": ImageSet(IMAGES.byte(), torch.tensor([0, 0, 1, 1])),
    "unordered": ImageSet(IMAGES, torch.tensor([0, 1, 0, 1])),
    "uneven": ImageSet(IMAGES, torch.tensor([0, 1, 1, 1])),
    "beyond": ImageSet(IMAGES, torch.tensor([0, 0, 1, 2])),
    "below": ImageSet(IMAGES, torch.tensor([-1, -1, 1, 1])),
    "none": ImageSet(IMAGES[:0], torch.empty(0, dtype=torch.int64)),
    "odd": ImageSet(IMAGES[:3], torch.tensor([0, 0, 1])),
    "wide": ImageSet(IMAGES, torch.tensor([0, 0, 1, 1]), torch.full((4, 4), 0.25)),
    "flat": ImageSet(IMAGES.view(4, 1, 4, 16), torch.tensor([0, 0, 1, 1])),
}


@pytest.mark.parametrize("what", ODD)
def test_images_that_are_no_proxy_set_are_neither_read_nor_written(what: str, proxy: ProxySet, tmp_path: Path) -> None:
    path = tmp_path / "set.safetensors"
    with pytest.raises(InputError, match=r"cannot write .*set\.safetensors"):
        ProxySet(ODD[what], proxy.spec, {}).save(path)
    assert not path.exists()
    path.write_bytes(hashed(changed_header(proxy, tmp_path), ODD[what]))
    with pytest.raises(InputError, match=r"set\.safetensors"):
        ProxySet.load(path)


@pytest.mark.parametrize("facts", [{"a": float("nan")}, {"a": {1, 2}}, {"seed": -1}, {"a": 2**70}], ids=str)
def test_facts_that_could_not_be_read_are_not_written(facts: dict[str, Any], proxy: ProxySet, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot write"):
        ProxySet(proxy.data, proxy.spec, facts).save(tmp_path / "set.safetensors")
    assert not list(tmp_path.iterdir())


def test_any_class_name_is_kept_as_it_is_and_shown_in_one_line(
    proxy: ProxySet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("a\x00b\n\x1b[31m", "\ud800[/red]" + "n" * 1000)
    path = tmp_path / "set.safetensors"
    ProxySet(proxy.data, replace(proxy.spec, class_names=names, name="\x1b]0;x\x07"), {"method": "[/x]"}).save(path)
    found = ProxySet.load(path)
    assert found.spec.class_names == names
    print_provenance(found)
    shown = capsys.readouterr().out
    assert not set(shown) & set("\x00\x1b\x07\ud800")
    assert len(repr(found)) < 200
    save_preview(found, tmp_path / "set.png")
