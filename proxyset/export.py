"""A proxy set as files that other tools read, and that `load` reads back as a dataset."""

import io
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from proxyset.checkpoint import check_writable, write_atomic
from proxyset.data import to_pixels
from proxyset.proxy import ProxySet

FORMATS = ("folder", "npz", "parquet")


def export(proxy: ProxySet, path: Path, form: str) -> float:
    """Write the set to `path`: a folder of PNGs under train/CLASS/, an .npz, or a folder with train.parquet.

    Pixels are 8-bit, as those tools expect. The .npz also holds the exact float images as `normalised`.

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
    from PIL import Image

    array = pixels.permute(1, 2, 0).numpy()
    buffer = io.BytesIO()
    Image.fromarray(array.squeeze(-1) if array.shape[-1] == 1 else array).save(buffer, "PNG")
    return buffer.getvalue()


def _to_folder(proxy: ProxySet, pixels: Tensor, path: Path) -> None:
    check_writable(path)
    counts = [0] * proxy.spec.classes
    width = len(str(proxy.spec.classes - 1))
    names = [name.replace("/", "-") for name in proxy.spec.class_names]
    ordered = names == sorted(set(names)) and not any(name.startswith(".") for name in names)
    for image, label in zip(pixels, proxy.data.labels.tolist(), strict=True):
        # Folders are read back in alphabetical order and hidden ones are not; a number in front keeps the labels where
        # that would change them.
        folder = names[label] if ordered else f"{label:0{width}d}-{names[label]}"
        write_atomic(path / "train" / folder / f"{counts[label]:04d}.png", _png(image))
        counts[label] += 1


def _to_npz(proxy: ProxySet, pixels: Tensor, path: Path) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        x_train=pixels.permute(0, 2, 3, 1).numpy(),
        y_train=proxy.data.labels.numpy(),
        class_names=np.array(proxy.spec.class_names),
        normalised=proxy.data.images.numpy(),
        mean=np.array(proxy.spec.mean),
        std=np.array(proxy.spec.std),
    )
    write_atomic(path, buffer.getvalue())


def _to_parquet(proxy: ProxySet, pixels: Tensor, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    features = {
        "image": {"_type": "Image"},
        "label": {"_type": "ClassLabel", "names": list(proxy.spec.class_names)},
    }
    images = [{"bytes": _png(image), "path": None} for image in pixels]
    image_type = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array(images, image_type), "label": pa.array(proxy.data.labels.tolist(), pa.int64())})
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    write_atomic(path / "train.parquet", buffer.getvalue())
