"""A user's own images: a folder with one sub-folder per class, an .npz file, or Hugging Face image parquet."""

import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from proxyset.data.images import ImageSet
from proxyset.settings import InputError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm"})
_NPZ_KEYS = (  # (images, labels) of the training and of the test split: Keras and our own export, MedMNIST, unsplit
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("images", "labels", "", ""),
)


@dataclass(frozen=True)
class Split:
    """What a source holds: a training split, and a test split.

    `test` is None where the source names a training split only; `whole` says that it names none, so that the
    caller splits it.
    """

    train: ImageSet
    test: ImageSet | None
    class_names: tuple[str, ...]
    whole: bool = False


def read_path(path: Path, size: int | None, channels: int | None) -> Split:
    """Read the dataset at `path`, whatever its form.

    Args:
        size, channels: bring every image to this size and channel count while decoding; None keeps what is there
            (then all images must be of one square size; any colour image makes the set a colour set).

    Raises:
        InputError: nothing readable there, or an image that does not fit; the message names the file.
    """
    if path.is_file() and path.suffix == ".npz":
        return _read_npz(path)
    if path.is_file() and path.suffix == ".parquet":
        return _read_parquet([path], [], True, size, channels)
    if path.is_file():
        raise InputError(f"{str(path)!r} is neither a folder, an .npz nor a .parquet file")
    if not path.is_dir():
        raise InputError(f"no dataset at {str(path)!r}: no such folder or file")
    tables = sorted(path.glob("*.parquet")) or sorted(path.glob("data/*.parquet"))
    if tables:
        train = [table for table in tables if table.name.startswith("train")]
        test = [table for table in tables if table.name.startswith("test")]
        return _read_parquet(train or tables, test if train else [], not train, size, channels)
    return _read_folder(path, size, channels)


# A folder of images.


def _read_folder(path: Path, size: int | None, channels: int | None) -> Split:
    whole = not (path / "train").is_dir()
    root = path if whole else path / "train"
    classes = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not classes:
        raise InputError(f"no class sub-folders in {str(root)!r}")
    train = _read_classes(root, classes, size, channels)
    test_root = path / "test"
    test = None
    if not whole and test_root.is_dir():
        extra = {entry.name for entry in test_root.iterdir() if entry.is_dir()} - set(classes)
        if extra:
            raise InputError(f"class {sorted(extra)[0]!r} is in {str(test_root)!r} but not in {str(root)!r}")
        present = [name for name in classes if (test_root / name).is_dir()]
        test = _read_classes(test_root, present, train.images.shape[-1], train.images.shape[1], classes)
    return Split(train, test, tuple(classes), whole)


def _read_classes(
    root: Path,
    names: Sequence[str],
    size: int | None,
    channels: int | None,
    labels_of: Sequence[str] | None = None,
) -> ImageSet:
    labels_of = labels_of or names
    files, labels = [], []
    for name in names:
        found = sorted(file for file in (root / name).iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
        if not found:
            raise InputError(f"class {name!r} has no images in {str(root / name)!r}")
        files += found
        labels += [labels_of.index(name)] * len(found)
    images = _decode(((str(file), file) for file in files), size, channels)
    return ImageSet(images, torch.tensor(labels))


# Parquet with an image column, as Hugging Face datasets lays it out.


def _read_parquet(train: list[Path], test: list[Path], whole: bool, size: int | None, channels: int | None) -> Split:
    first, names = _read_tables(train, size, channels)
    second = None
    if test:
        second, _ = _read_tables(test, first.images.shape[-1], first.images.shape[1])
    return Split(first, second, names or _numbers(first, train[0]), whole)


def _read_tables(files: list[Path], size: int | None, channels: int | None) -> tuple[ImageSet, tuple[str, ...]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names: tuple[str, ...] = ()
    cells: list[tuple[str, bytes]] = []
    labels: list[int] = []
    for file in files:
        try:
            schema = pq.read_schema(file)
            image, label = _image_and_label(schema, file)
            table = pq.read_table(file, columns=[image, label])
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"cannot read {str(file)!r}: {' '.join(str(error).split())[:160]}") from None
        if table[label].null_count:
            raise InputError(f"column {label!r} of {str(file)!r} has missing labels")
        names = names or _feature_names(schema, label)
        labels += table[label].to_pylist()
        for row, cell in enumerate(table[image].to_pylist()):
            cells.append((f"{file}, row {row}", (cell or {}).get("bytes") or b""))
    images = _decode(((name, io.BytesIO(data)) for name, data in cells), size, channels)
    return ImageSet(images, torch.tensor(labels, dtype=torch.int64)), names


def _image_and_label(schema: Any, file: Path) -> tuple[str, str]:
    """The names of the image column (a struct with bytes) and of the label column."""
    import pyarrow.types as kind

    images = [f.name for f in schema if kind.is_struct(f.type) and f.type.get_field_index("bytes") >= 0]
    labels = [f.name for f in schema if kind.is_integer(f.type)]
    for name in ("label", "labels", "fine_label"):
        if name in labels:
            labels = [name]
    if len(images) != 1 or len(labels) != 1:
        raise InputError(
            f"{str(file)!r} needs one image column (a struct with 'bytes') and an integer column 'label', "
            f"found {', '.join(f'{f.name}: {f.type}' for f in schema)}"
        )
    return images[0], labels[0]


def _feature_names(schema: Any, label: str) -> tuple[str, ...]:
    """Class names from the metadata that Hugging Face datasets writes, where they are there."""
    try:
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        return tuple(features[label]["names"])
    except (KeyError, TypeError, ValueError):
        return ()


# Arrays.


def _read_npz(path: Path) -> Split:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files if key != "normalised"}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise InputError(f"cannot read {str(path)!r}: {' '.join(str(error).split())[:160]}") from None
    for x_train, y_train, x_test, y_test in _NPZ_KEYS:
        if x_train in arrays and y_train in arrays:
            train = _arrays_to_set(arrays[x_train], arrays[y_train], f"{path}: {x_train}")
            test = None
            if x_test in arrays and y_test in arrays:
                test = _arrays_to_set(arrays[x_test], arrays[y_test], f"{path}: {x_test}")
            names = arrays["class_names"].astype(str).tolist() if "class_names" in arrays else _numbers(train, path)
            return Split(train, test, tuple(names), whole=x_train == "images")
    raise InputError(
        f"{str(path)!r} needs arrays x_train and y_train (or train_images and train_labels, or images and labels), "
        f"found {', '.join(sorted(arrays)) or 'none'}"
    )


def _numbers(train: ImageSet, path: Path) -> tuple[str, ...]:
    """The labels as class names, where the source has none."""
    highest = int(train.labels.max()) if len(train) else -1
    if highest >= max(len(train), 1):  # before as many names are made
        raise InputError(f"{str(path)!r}: labels are out of range, found {highest} with {len(train)} images")
    return tuple(str(label) for label in range(highest + 1))


def _arrays_to_set(images: np.ndarray, labels: np.ndarray, where: str) -> ImageSet:
    labels = labels.squeeze(-1) if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or len(labels) != len(images):
        raise InputError(f"{where}: needs one integer label per image, found {labels.dtype} {labels.shape}")
    if images.ndim == 3:
        images = images[:, None]
    elif images.ndim == 4 and images.shape[-1] in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise InputError(f"{where}: images must be N×H×W, N×H×W×C or N×C×H×W with C 1 or 3, found {images.shape}")
    if images.dtype.kind == "f":
        if not np.isfinite(images).all():
            raise InputError(f"{where}: images hold NaN or infinite values")
        if images.size and (images.min() < 0 or images.max() > 1):
            raise InputError(f"{where}: images of real numbers must lie in 0..1, found {images.min()}..{images.max()}")
        images = np.round(images * 255)
    elif images.dtype.kind not in "iu" or (images.size and (images.min() < 0 or images.max() > 255)):
        raise InputError(f"{where}: images must hold 0..255, found {images.dtype} {images.min()}..{images.max()}")
    pixels = torch.from_numpy(np.ascontiguousarray(images.astype(np.uint8)))
    return ImageSet(pixels, torch.from_numpy(labels.astype(np.int64)))


# Decoding.


def _decode(sources: Iterator[tuple[str, Any]], size: int | None, channels: int | None) -> Tensor:
    """Decode named files or byte streams in threads (Pillow releases the lock) to N×C×S×S uint8."""
    with ThreadPoolExecutor() as pool:
        decoded = list(pool.map(lambda named: _decode_one(named, size, channels), sources))
    colour = channels == 3 or (channels is None and any(array.ndim == 3 for _, array in decoded))
    expected = decoded[0][1].shape[0] if decoded else 0
    for name, array in decoded:
        if array.shape[:2] != (expected, expected):
            height, width = array.shape[:2]
            wanted = f"{expected}×{expected} like the first" if height == width else "square"
            raise InputError(f"image {name} is {width}×{height}, not {wanted}; --size N brings all to N×N")
    images = torch.empty(len(decoded), 3 if colour else 1, expected, expected, dtype=torch.uint8)
    for row, (_, array) in enumerate(decoded):
        image = torch.from_numpy(array)
        images[row] = image.permute(2, 0, 1) if image.ndim == 3 else image
    return images


def _decode_one(named: tuple[str, Any], size: int | None, channels: int | None) -> tuple[str, np.ndarray]:
    from PIL import Image

    name, source = named
    try:
        with Image.open(source) as stored:
            grey = channels == 1 or (channels is None and stored.mode in ("1", "L", "I;16"))
            image = stored.convert("L" if grey else "RGB")
            if size is not None and image.size != (size, size):
                image = image.resize((size, size), Image.Resampling.BILINEAR)
            return name, np.array(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"cannot read image {name}: {' '.join(str(error).split())[:160]}") from None
