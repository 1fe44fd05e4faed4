"""Images from the generator that a set carries."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import proxyset
from proxyset.artefact.draw import draw
from proxyset.artefact.proxy_set import ProxySet
from proxyset.cli.app import main
from proxyset.data.spec import Dataset
from proxyset.errors import InputError
from proxyset.methods.coreset import Random
from proxyset.methods.gtn import GTN
from proxyset.tensors import read_tensors, write_bytes

SMALL: dict[str, Any] = {"net": "convnet-w4-d1", "iterations": 2, "batch_real": 8, "noise": 4, "width": 8}


@pytest.fixture
def made(tiny: Dataset) -> ProxySet:
    return proxyset.build(tiny, GTN(**SMALL), ipc=2, progress=False)


def test_a_file_keeps_the_generator_and_draws_the_same_images(made: ProxySet, tmp_path: Path) -> None:
    made.save(tmp_path / "set.safetensors")
    back = ProxySet.load(tmp_path / "set.safetensors")
    assert set(back.generator) == set(made.generator)
    one, other = draw(made, 5, seed=3).data, draw(back, 5, seed=3).data
    assert torch.equal(one.images, other.images)
    assert one.images.shape == (15, 1, 8, 8)
    assert one.labels.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    assert not torch.equal(draw(made, 5, seed=4).data.images, one.images)


def test_a_changed_generator_is_noticed(made: ProxySet, tmp_path: Path) -> None:
    path = tmp_path / "set.safetensors"
    made.save(path)
    tensors, metadata = read_tensors(path)
    tensors["generator.outer.weight"] += 1
    path.write_bytes(write_bytes(tensors, metadata))
    with pytest.raises(InputError, match="changed"):
        ProxySet.load(path)


def test_a_generator_of_another_type_is_refused(made: ProxySet, tmp_path: Path) -> None:
    path = tmp_path / "set.safetensors"
    made.save(path)
    tensors, metadata = read_tensors(path)
    tensors["generator.outer.weight"] = tensors["generator.outer.weight"].bfloat16()
    path.write_bytes(write_bytes(tensors, metadata))
    with pytest.raises(InputError, match="float32"):
        ProxySet.load(path)


def test_sets_without_a_generator_are_refused_and_stay_in_the_old_format(tiny: Dataset, tmp_path: Path) -> None:
    plain = proxyset.build(tiny, Random(), ipc=1, progress=False)
    with pytest.raises(InputError, match="no generator"):
        draw(plain, 1)
    plain.save(tmp_path / "plain.safetensors")
    assert '"format": 1' in read_tensors(tmp_path / "plain.safetensors")[1]["proxyset"]


@pytest.mark.parametrize(
    "settings", [{}, {"noise": "x", "width": 8}, {"noise": 5, "width": 8}, {"noise": -9, "width": 12}]
)
def test_a_generator_that_does_not_fit_is_refused(made: ProxySet, settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="generator"):
        draw(replace(made, provenance=made.provenance | {"settings": settings}), 1)


def test_export_draws_as_many_as_asked(made: ProxySet, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made.save(tmp_path / "set.safetensors")
    with pytest.raises(SystemExit, match="0"):
        main(["export", str(tmp_path / "set.safetensors"), "--draw", "7", "--seed", "1"])
    data = proxyset.load(str(tmp_path / "set-drawn"), size=8, channels=1)
    assert len(data.train) == 21
