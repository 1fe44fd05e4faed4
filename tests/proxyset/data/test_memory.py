"""Images that are already in memory: torch datasets, tuples of arrays, tensors and lists."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from proxyset.data.load import load
from proxyset.errors import InputError
from tests.proxyset.data.made import pixels


class Pairs(torch.utils.data.Dataset[Any]):
    """A torch `Dataset` of (image, label)."""

    def __init__(self, images: Any, labels: Any) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, position: int) -> tuple[Any, Any]:
        return self.images[position], self.labels[position]


class Endless(torch.utils.data.IterableDataset[Any]):
    """Pairs that only come one after another."""

    def __iter__(self) -> Any:
        return iter([])


IMAGES, LABELS = pixels(20, 8, 8), [0, 1] * 10
FORMS = {
    "PIL images": [Image.fromarray(image) for image in IMAGES],
    "arrays": list(IMAGES),
    "tensors of bytes": list(torch.from_numpy(IMAGES)[:, None]),
    "tensors of real numbers": list(torch.from_numpy(IMAGES)[:, None] / 255),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_torch_dataset_of_any_kind_of_image(form: str) -> None:
    data = load(Pairs(FORMS[form], LABELS), name="mine")
    assert (data.spec.name, data.spec.channels, data.spec.size) == ("mine", 1, 8)
    assert data.spec.class_names == ("0", "1")
    assert (len(data.train), len(data.test)) == (16, 4)  # it names no split
    together = torch.cat([data.train.images, data.test.images]).flatten(1).numpy()
    assert sorted(map(bytes, together)) == sorted(image.tobytes() for image in IMAGES)


def test_a_torch_dataset_may_name_its_classes() -> None:
    pairs = Pairs(list(IMAGES), torch.tensor(LABELS))
    pairs.classes = ["no", "yes"]  # type: ignore[attr-defined]
    assert load(pairs).spec.class_names == ("no", "yes")


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor, list])
def test_tuples_of_images_and_labels(kind: Any) -> None:
    split = load((kind(IMAGES), kind(LABELS)))
    assert (len(split.train), len(split.test)) == (16, 4)
    data = load((kind(IMAGES), kind(LABELS), kind(IMAGES[:4]), kind(LABELS[:4])))
    assert torch.equal(data.train.images[:, 0], torch.from_numpy(IMAGES))
    assert data.train.labels.tolist() == LABELS
    assert torch.equal(data.test.images[:, 0], torch.from_numpy(IMAGES[:4]))


def test_real_numbers_may_lie_beyond_by_rounding() -> None:
    overshot = np.where(IMAGES.max() == IMAGES, 1 + 1e-6, IMAGES / 255)
    expected = np.where(IMAGES.max() == IMAGES, 255, IMAGES)
    assert np.array_equal(load((overshot, LABELS, overshot, LABELS)).train.images[:, 0], expected)


def test_two_torch_datasets_are_one_to_train_on_and_one_to_test_on() -> None:
    pictures = [Image.fromarray(image) for image in IMAGES]
    data = load((Pairs(pictures, LABELS), Pairs(pictures[:6], LABELS[:6])))
    assert len(data.train) == len(IMAGES)
    assert np.array_equal(data.test.images[:, 0], IMAGES[:6])
    train, test = Pairs(pictures, LABELS), Pairs(pictures[:6], LABELS[:6])
    train.classes, test.classes = ["no", "yes"], ["yes", "no"]  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="number other classes"):
        load((train, test))


def test_colour_images_and_a_wanted_size() -> None:
    data = load(([Image.fromarray(image) for image in pixels(20, 12, 12, 3)], LABELS), size=9, channels=1)
    assert data.train.images.shape[1:] == (1, 9, 9)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (Pairs([], []), "must give .image, label. pairs"),
        (Endless(), "must have a length"),
        (Pairs(list(IMAGES), ["cat", "dog"] * 10), "labels must be integers"),
        (([*IMAGES[:19], pixels(9, 9)], LABELS), "one shape"),
        ((IMAGES, LABELS[:-1]), "one integer label per image"),
        ((IMAGES, [0.2, 1.9] * 10), "labels must be integers"),
        ((IMAGES, ["0", "1"] * 10), "labels must be integers"),
        ((IMAGES, [0.0, float("inf")] * 10), "labels must be integers"),
        ((IMAGES / 100.0, LABELS), "must lie in 0..1"),
        ((IMAGES / 1.0, LABELS), "x / 255 brings them there"),
        ((IMAGES / 127.5 - 1, LABELS), r"\(x \+ 1\) / 2 brings them there"),
        ((IMAGES, [0, 7] * 10), "has no images"),
    ],
)
def test_what_cannot_be_read_is_refused(source: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        load(source)


def test_tensors_that_numpy_does_not_take_as_they_are() -> None:
    images = torch.from_numpy(IMAGES)[:, None] / 255
    expected = load((images.bfloat16().float(), LABELS)).train
    assert load((images.bfloat16().requires_grad_(), LABELS)).train.sha256() == expected.sha256()


def test_images_from_memory_cannot_be_loaded_again_by_their_provenance() -> None:
    assert "source" not in load((IMAGES, LABELS)).source


def test_a_torch_dataset_of_pil_images_is_decoded_one_after_another() -> None:
    """As torchvision's ImageFolder gives them: of any size, and each asked for once."""
    asked: list[int] = []

    class Photos(torch.utils.data.Dataset[tuple[Image.Image, int]]):
        def __len__(self) -> int:
            return 20

        def __getitem__(self, position: int) -> tuple[Image.Image, int]:
            asked.append(position)
            return Image.fromarray(pixels(10 + position, 20, 3, seed=position)), position % 2

    data = load(Photos(), size=8)
    assert asked == list(range(20))
    assert (data.spec.channels, len(data.train)) == (3, 16)
    assert data.notes == ("20 resized to 8×8", "19 cropped to squares")


def test_one_label_for_each_pil_image() -> None:
    images = [Image.fromarray(pixels(8, 8))] * 4
    with pytest.raises(InputError, match="one integer label per image, found 3 for 4"):
        load((images, [0, 1, 0]))
