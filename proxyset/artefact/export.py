"""A proxy set as files that other tools read, and that `load` reads back as a dataset."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from proxyset.artefact.proxy_set import ProxySet
from proxyset.data.folder import TARGETS as TABLE
from proxyset.data.npz import TARGETS as ARRAY
from proxyset.data.parquet import TARGET as COLUMN
from proxyset.data.picture import png
from proxyset.data.spec import to_pixels
from proxyset.files import check_writable, write_atomic

FORMATS = ("folder", "npz", "parquet")


def export(proxy: ProxySet, path: Path, form: str) -> float:
    """Write the set to `path`: a folder of PNGs under train/CLASS/, an .npz, or a folder with train.parquet.

    Pixels are 8-bit, as those tools expect. The .npz also holds the exact float images as `normalised`. Soft targets go
    into the array `targets`, the column `target`, or the table targets.csv; `load` reads all three.

    Returns:
        The share of values that lay outside 0..255 and were clipped.

    Raises:
        InputError: the place cannot be written.
    """
    pixels = to_pixels(proxy.data.images, proxy.spec)
    {"folder": _to_folder, "npz": _to_npz, "parquet": _to_parquet}[form](proxy, pixels, path)
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (proxy.spec.mean, proxy.spec.std))
    values = proxy.data.images * std + mean
    return ((values < -0.5 / 255) | (values > 1 + 0.5 / 255)).float().mean().item()


def _png(pixels: Tensor) -> bytes:
    return png(pixels.permute(1, 2, 0).squeeze(-1) if len(pixels) == 1 else pixels.permute(1, 2, 0))


def _to_folder(proxy: ProxySet, pixels: Tensor, path: Path) -> None:
    check_writable(path)
    counts = [0] * proxy.spec.classes
    width = len(str(proxy.spec.classes - 1))
    names = [name.replace("/", "-") for name in proxy.spec.class_names]
    ordered = names == sorted(set(names)) and not any(name.startswith(".") for name in names)
    files = []
    for image, label in zip(pixels, proxy.data.labels.tolist(), strict=True):
        # Folders are read back in alphabetical order and hidden ones are not; a number in front keeps the labels where
        # that would change them.
        folder = names[label] if ordered else f"{label:0{width}d}-{names[label]}"
        files.append(f"train/{folder}/{counts[label]:04d}.png")
        write_atomic(path / files[-1], _png(image))
        counts[label] += 1
    if proxy.data.targets is not None:
        folders = names if ordered else [f"{label:0{width}d}-{name}" for label, name in enumerate(names)]
        write_atomic(path / TABLE, _table(files, folders, proxy.data.targets))


def _table(files: list[str], classes: list[str], targets: Tensor) -> bytes:
    """Soft targets as CSV: a line per file with a probability for each class, to nine digits, which is exact."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["file", *classes])
    for file, row in zip(files, targets.tolist(), strict=True):
        writer.writerow([file, *(f"{value:.9g}" for value in row)])
    return buffer.getvalue().encode()


def _to_npz(proxy: ProxySet, pixels: Tensor, path: Path) -> None:
    buffer = io.BytesIO()
    soft: dict[str, Any] = {} if proxy.data.targets is None else {ARRAY: proxy.data.targets.numpy()}
    np.savez_compressed(
        buffer,
        x_train=pixels.permute(0, 2, 3, 1).numpy(),
        y_train=proxy.data.labels.numpy(),
        class_names=np.array(proxy.spec.class_names),
        normalised=proxy.data.images.numpy(),
        mean=np.array(proxy.spec.mean),
        std=np.array(proxy.spec.std),
        **soft,
    )
    write_atomic(path, buffer.getvalue())


def _to_parquet(proxy: ProxySet, pixels: Tensor, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    features: dict[str, dict[str, object]] = {
        "image": {"_type": "Image"},
        "label": {"_type": "ClassLabel", "names": list(proxy.spec.class_names)},
    }
    images = [{"bytes": _png(image), "path": None} for image in pixels]
    image_type = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {"image": pa.array(images, image_type), "label": pa.array(proxy.data.labels.tolist(), pa.int64())}
    if proxy.data.targets is not None:
        columns[COLUMN] = pa.array(proxy.data.targets.tolist(), pa.list_(pa.float32()))
        features[COLUMN] = {"_type": "Sequence", "feature": {"_type": "Value", "dtype": "float32"}}
    table = pa.table(columns)
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    write_atomic(path / "train.parquet", buffer.getvalue())
