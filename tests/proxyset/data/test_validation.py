"""The validation split: which images it holds, and that a set made without them says so."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from proxyset.artefact.build import build
from proxyset.cli.sets import real_data
from proxyset.data.load import load
from proxyset.data.spec import Dataset
from proxyset.data.validation import with_validation
from proxyset.errors import InputError
from proxyset.methods.coreset import Random
from tests.search.conftest import save_images


def test_a_share_of_every_class_is_held_out_of_training(make_dataset: Callable[..., Dataset]) -> None:
    whole = make_dataset(counts=(20, 30, 3))
    held = with_validation(whole, 0.1)
    assert held.validation is not None
    assert held.validation.labels.bincount().tolist() == [2, 3, 1]
    assert held.train.labels.bincount().tolist() == [18, 27, 2]
    pixels = {bytes(image.numpy().tobytes()) for image in whole.train.images}
    parts = [{bytes(image.numpy().tobytes()) for image in part.images} for part in (held.train, held.validation)]
    assert parts[0] | parts[1] == pixels
    assert not parts[0] & parts[1]
    assert torch.equal(held.test.images, whole.test.images)
    assert held.spec == whole.spec


def test_it_depends_on_the_data_alone(make_dataset: Callable[..., Dataset], tmp_path: Path) -> None:
    whole = make_dataset(counts=20)
    path = save_images(whole, tmp_path / "tiny.npz")
    loaded = load(path, validation=0.2)
    assert loaded.validation is not None
    again = with_validation(load(path), 0.2)
    assert again.validation is not None
    assert loaded.validation.sha256() == again.validation.sha256()
    assert loaded.source["validation"] == 0.2
    assert with_validation(loaded, 0.2) is loaded
    assert load(path).validation is None


def test_a_set_that_was_made_without_them_finds_its_data_again(
    make_dataset: Callable[..., Dataset], tmp_path: Path
) -> None:
    held = load(save_images(make_dataset(counts=20), tmp_path / "tiny.npz"), validation=0.2)
    proxy = build(held, Random(), 2, progress=False)
    assert real_data({"set": proxy}, None, tmp_path).sha256 == held.sha256


@pytest.mark.parametrize(("share", "words"), [(1.0, "below 1"), (-0.1, "at least 0"), (0.2, "'class1' has 1")])
def test_what_cannot_be_held_out_is_one_line(share: float, words: str, make_dataset: Callable[..., Dataset]) -> None:
    with pytest.raises(InputError, match=words):
        with_validation(make_dataset(counts=(5, 1, 5)), share)


def test_a_split_of_ones_own_is_not_split_again(make_dataset: Callable[..., Dataset]) -> None:
    held = with_validation(make_dataset(counts=10), 0.2)
    with pytest.raises(InputError, match="has a validation split already"):
        with_validation(held, 0.3)
