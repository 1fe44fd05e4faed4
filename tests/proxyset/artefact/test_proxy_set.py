"""The artefact: exact round trip, soft targets, files of earlier versions, use as a torch dataset."""

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch

from proxyset.artefact.proxy_set import ProxyDataset, ProxySet
from proxyset.data.images import ImageSet
from proxyset.data.spec import DatasetSpec

# A file of format 1, as version 0.1 wrote it, compressed: two images of 1×8×8.
FORMAT_1 = zlib.decompress(
    base64.b64decode(
        "eNrtUFtOwzAQbG8S7beFHBO7Tj8oX0icoYmijWPTSHkpjhClitSTwVU4CrZTVBA3QFiK45nZsWf3Y70K6wRF0eoJK5ywKGB7gmHsX45WT7CFUwam"
        "H1ucMthGMYkysINWHjilw1b7YwZ9U2XgVXXArtONvZbXr6FGBrVBawtvCwX7DHCxlRnk/t9q7IJCb3gg7FRdMFsI09SDZww2Vs+ecWmfdYed0pdY"
        "rplDXy3BRuyqvl0eqQd1jaV1qKABqH68JMrnGQjYAzIuXPtxGnNGK6aESCinlMsKtcFNkqLkCRphRMI2aBRTmHKJumQSKZap2lCpNIWZQIOlG4if"
        "azUdB+1ufRTJ8ohHe5YTCLPvjXFDd5V7SmKRO2vd4pP+YX24Zd+tJCaSyN8XxIJwJl0zURStLmv9dVjdv7vNfee3BZ/v3LZz/O5f+/vaJyYp4rw="
    )
)


def test_a_saved_set_comes_back_exactly(proxy: ProxySet, tmp_path: Path) -> None:
    path = tmp_path / "folder" / "set.safetensors"
    proxy.save(path)
    found = ProxySet.load(str(path))
    assert torch.equal(found.data.images, proxy.data.images)
    assert torch.equal(found.data.labels, proxy.data.labels)
    assert found.spec == proxy.spec
    assert found.provenance == proxy.provenance
    assert found.ipc == 2


def test_the_same_set_is_the_same_bytes_of_tensors(proxy: ProxySet, tmp_path: Path) -> None:
    """safetensors writes its metadata's keys in any order, so only what follows the header is compared."""
    payloads = []
    for name in ("a", "b"):
        proxy.save(tmp_path / name)
        data = (tmp_path / name).read_bytes()
        payloads.append(data[8 + int.from_bytes(data[:8], "little") :])
    assert payloads[0] == payloads[1]
    assert len(payloads[0]) == proxy.data.images.numel() * 4 + proxy.data.labels.numel() * 8


def test_the_file_is_plain_safetensors_with_json_that_others_can_read(proxy: ProxySet, tmp_path: Path) -> None:
    proxy.save(tmp_path / "set.safetensors")
    tensors = safetensors.torch.load_file(tmp_path / "set.safetensors")
    assert set(tensors) == {"images", "labels"}
    with safetensors.safe_open(tmp_path / "set.safetensors", "np") as file:
        header = json.loads(file.metadata()["proxyset"])
        np.testing.assert_array_equal(file.get_tensor("images"), proxy.data.images.numpy())
    assert header["provenance"]["method"] == "dsa"
    assert header["spec"]["class_names"] == ["naïve", "b/c"]


def test_views_are_saved_as_what_they_show(proxy: ProxySet, tmp_path: Path) -> None:
    """Not contiguous: a slice, or NHWC memory."""
    images = proxy.data.images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    ProxySet(ImageSet(images, proxy.data.labels), proxy.spec).save(tmp_path / "set")
    assert torch.equal(ProxySet.load(tmp_path / "set").data.images, proxy.data.images)


# Soft targets, and files of earlier versions.


def header_of(path: Path) -> dict[str, Any]:
    with safetensors.safe_open(path, "np") as file:
        return json.loads(file.metadata()["proxyset"])


def test_soft_targets_come_back_exactly_in_format_2(soft: ProxySet, tmp_path: Path) -> None:
    path = tmp_path / "set.safetensors"
    soft.save(path)
    found = ProxySet.load(path)
    assert found.data.targets is not None
    assert soft.data.targets is not None
    assert torch.equal(found.data.targets, soft.data.targets)
    assert found.data.sha256() == soft.data.sha256()
    assert header_of(path)["format"] == 2
    assert set(safetensors.torch.load_file(path)) == {"images", "labels", "targets"}


def test_a_set_without_them_is_written_so_that_older_versions_read_it(proxy: ProxySet, tmp_path: Path) -> None:
    proxy.save(tmp_path / "set.safetensors")
    assert header_of(tmp_path / "set.safetensors")["format"] == 1


def test_a_file_of_format_1_still_loads(tmp_path: Path) -> None:
    path = tmp_path / "old.safetensors"
    path.write_bytes(FORMAT_1)
    found = ProxySet.load(path)
    assert torch.equal(found.data.images, (torch.arange(2 * 64).view(2, 1, 8, 8) % 7 - 3) / 4)
    assert found.data.labels.tolist() == [0, 1]
    assert found.data.targets is None
    assert found.spec == DatasetSpec("old", 1, 8, ("a", "b"), (0.5,), (0.25,), False)
    assert found.provenance == {"method": "random", "ipc": 1, "seed": 0, "scores": []}


# In use.


def test_scores_are_added_in_a_copy(proxy: ProxySet) -> None:
    score = {"net": "mlp", "seed": 0, "protocol": {"epochs": 1}, "accuracies": [0.5], "seconds": 1.0}
    other = score | {"seed": 1}
    scored = proxy.with_scores([score]).with_scores([other])
    assert proxy.provenance["scores"] == []
    assert scored.provenance["scores"] == [score, other]


def test_a_score_of_the_same_protocol_is_replaced(proxy: ProxySet) -> None:
    score = {"net": "mlp", "seed": 0, "protocol": {"epochs": 1}, "accuracies": [0.5], "seconds": 1.0}
    better = score | {"accuracies": [0.6]}
    assert proxy.with_scores([score]).with_scores([better]).provenance["scores"] == [better]


def test_as_a_torch_dataset(proxy: ProxySet) -> None:
    dataset = ProxyDataset(proxy)
    loader = torch.utils.data.DataLoader(dataset, batch_size=3, generator=torch.Generator())
    batches = list(loader)
    assert len(dataset) == 4
    assert torch.equal(torch.cat([images for images, _ in batches]), proxy.data.images)
    assert torch.cat([labels for _, labels in batches]).tolist() == [0, 0, 1, 1]


def test_as_a_torch_dataset_with_soft_targets(soft: ProxySet) -> None:
    assert soft.data.targets is not None
    dataset = ProxyDataset(soft)
    images, answers = next(iter(torch.utils.data.DataLoader(dataset, batch_size=4, generator=torch.Generator())))
    assert torch.equal(images, soft.data.images)
    assert torch.equal(answers, soft.data.targets)
    assert dataset.targets == [0, 0, 1, 1]  # labels, as torchvision's datasets have them
    assert ProxyDataset(soft, soft=False)[2][1] == 1


def test_it_says_what_it_is_in_a_line_and_shows_itself_in_a_notebook(proxy: ProxySet, soft: ProxySet) -> None:
    assert repr(proxy) == "ProxySet(tiny: dsa, 2 per class, 4 images 1×8×8)"
    assert repr(soft) == "ProxySet(tiny: dsa, 2 per class, soft targets, 4 images 1×8×8)"
    assert "<img" in proxy._repr_html_()
    assert repr(proxy) in proxy._repr_html_()
